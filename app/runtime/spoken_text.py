"""A text that a client wants spoken outside of a session, with the voices and under the budgets of one."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.domain.audio import AudioChunk
from app.domain.dialog.sentences import SentenceChunker
from app.domain.errors import ClientError, ClientFault, NoCapacity, ProviderBusy, RequestRefused
from app.domain.tenant import Tenant
from app.runtime.ids import new_id
from app.runtime.service import Service


async def spoken_text(
    service: Service, tenant: Tenant, text: str, *, voice: str | None = None
) -> AsyncGenerator[AudioChunk, None]:
    """16 kHz audio, sentence by sentence; it takes one of the tenant's places for so long.

    Raises ClientError for a voice that there is not, ProviderBusy where there is no place, BudgetExhausted, or what
    the voices raise.
    """
    session = new_id()
    try:
        with service.admission.admitted(session, tenant):
            async with service.session_engines(session, tenant) as engines:
                if engines.synthesizer is None:
                    raise ClientError(ClientFault.BAD_MESSAGE, "this server has no voice", param="model")
                if refusal := engines.refuse_speech():
                    raise refusal
                async with (
                    aclosing(_each(sentences(text))) as pieces,
                    aclosing(engines.synthesizer.synthesize(pieces, voice=voice)) as speech,
                ):
                    async for chunk in speech:
                        yield chunk
    except NoCapacity as error:
        raise ProviderBusy("speech", str(error)) from error
    except RequestRefused as error:
        if voice is None:
            raise
        raise ClientError(ClientFault.BAD_MESSAGE, str(error), param="voice") from error


def sentences(text: str) -> Sequence[str]:
    """The pieces that are synthesized one after the other."""
    chunker, pieces = SentenceChunker().push(text)
    return [*pieces, *chunker.finish()]


async def _each(pieces: Sequence[str]) -> AsyncGenerator[str, None]:
    for piece in pieces:
        yield piece
