"""Amazon Transcribe streaming: finals from the cloud."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import aioboto3
import anyio

from app.domain.audio import AudioChunk
from app.domain.transcript import Hypothesis
from providers.aws.credentials import CredentialChain, trusted_certificates
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.lifetime import StreamLimits
from providers.aws.pool import StreamPool, StreamSettings
from providers.aws.session import TranscribeSession
from providers.aws.streaming_client import Recognition, TranscribeClient


class TranscribeEngine:
    """One account in one region. A session keeps its stream between utterances; the engine itself keeps none."""

    def __init__(self, pool: StreamPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def session(self) -> AsyncIterator[TranscribeSession]:
        """A Transcriber for one speaker, whose utterances share a stream."""
        session = TranscribeSession(self._pool)
        try:
            yield session
        finally:
            with anyio.CancelScope(shield=True):
                await session.close()

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """A single utterance, on a stream of its own."""
        session = TranscribeSession(self._pool, keeps=False)
        async with aclosing(session.transcribe(utterance, language=language)) as hypotheses:
            async for hypothesis in hypotheses:
                yield hypothesis


@asynccontextmanager
async def open_transcribe(
    *,
    region: str,
    endpoint_url: str | None = None,
    language: str = "en-US",
    vocabulary: str | None = None,
    vocabulary_filter: str | None = None,
    language_model: str | None = None,
    speaker_labels: bool = False,
    max_streams: int = 25,
    open_within_s: float = 5.0,
    patience: FinalizationTimeouts | None = None,
    limits: StreamLimits | None = None,
    on_billed: Callable[[int], None] | None = None,
) -> AsyncIterator[TranscribeEngine]:
    """The engine, for as long as the context lasts.

    Credentials, and the authorities to trust (`AWS_CA_BUNDLE`), come from the SDK's own
    chain. `max_streams` is the account's quota of concurrent streams. `on_billed` is told the seconds that a
    stream costs, once, when it ends.
    """
    boto = aioboto3.Session(region_name=region)
    certificates = trusted_certificates(boto)
    client = await anyio.to_thread.run_sync(
        lambda: TranscribeClient(region=region, endpoint_url=endpoint_url, ca_file=certificates)
    )
    settings = StreamSettings(
        language=language,
        recognition=Recognition(vocabulary, vocabulary_filter, language_model, speaker_labels),
        limits=limits or StreamLimits(),
        patience=patience or FinalizationTimeouts(),
        open_within_s=open_within_s,
        max_streams=max_streams,
    )
    fault: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield TranscribeEngine(StreamPool(client, CredentialChain(boto), settings, tasks, on_billed))
        except Exception as raised:  # noqa: BLE001 because a task group would wrap what its user raises
            fault = raised
        tasks.cancel_scope.cancel()
    if fault is not None:
        raise fault
