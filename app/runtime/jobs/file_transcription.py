"""Transcribes a short audio file whose sender waits, and keeps nothing of it."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import BinaryIO

from app.domain.errors import NoCapacity, ProviderBusy
from app.domain.key_terms import merge_key_terms
from app.domain.recording.subtitles import Segment
from app.domain.tenant import Tenant
from app.runtime.admission import Admission
from app.runtime.ids import new_id
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.jobs.batch_transcription import BatchTranscriber


async def transcribe_file(
    file: BinaryIO,
    *,
    tenant: Tenant,
    admission: Admission,
    decoder: AudioDecoder,
    batch_transcriber: BatchTranscriber | None,
    language: str | None = None,
    key_terms: Sequence[str] = (),
) -> list[Segment]:
    """Its segments of speech, while it takes one of the tenant's places.

    Raises ClientError where it is no audio, ProviderBusy where there is no place or no transcriber, or what the engines
    raise.
    """
    if batch_transcriber is None:
        raise ProviderBusy("recordings", "this service transcribes no recordings")
    terms = merge_key_terms(key_terms, tenant.key_terms)
    try:
        with admission.admitted(new_id(), tenant):
            async with (
                aclosing(decoder.decode(file)) as audio,
                aclosing(batch_transcriber.transcribe(audio, language=language, key_terms=terms)) as segments,
            ):
                return [segment async for segment in segments]
    except NoCapacity as error:
        raise ProviderBusy("recordings", str(error)) from error
