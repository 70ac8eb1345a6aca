"""Finals from Amazon Transcribe streaming."""

import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import aioboto3
import anyio

from app.domain.audio import AudioChunk
from app.domain.transcript import Hypothesis
from providers.aws.credentials import CredentialChain, trusted_certificates
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.lifetime import StreamLimits
from providers.aws.pool import ReportDefect, StreamPool, StreamSettings
from providers.aws.session import TranscribeSession
from providers.aws.streaming_client import TranscribeClient


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
        session = TranscribeSession(self._pool, reuses_streams=False)
        async with aclosing(session.transcribe(utterance, language=language)) as hypotheses:
            async for hypothesis in hypotheses:
                yield hypothesis


def log_defect(where: str, error: Exception) -> None:
    """Log an unforeseen exception with its traceback."""
    logging.getLogger(__name__).error("unexpected error in a %s", where, exc_info=error)


@asynccontextmanager
async def open_transcribe(
    *,
    region: str,
    endpoint_url: str | None = None,
    language: str = "en-US",
    vocabulary: str | None = None,
    max_streams: int = 25,
    open_timeout_s: float = 5.0,
    timeouts: FinalizationTimeouts | None = None,
    limits: StreamLimits | None = None,
    report_defect: ReportDefect = log_defect,
) -> AsyncIterator[TranscribeEngine]:
    """The engine, for as long as the context lasts.

    Credentials, and the authorities to trust (`AWS_CA_BUNDLE`), come from the SDK's own chain. `max_streams` is the
    account's quota of concurrent streams. `report_defect` gets the unforeseen exceptions of a stream's
    background tasks, which end that stream alone.
    """
    boto = aioboto3.Session(region_name=region)
    certificates = trusted_certificates(boto)
    client = await anyio.to_thread.run_sync(
        lambda: TranscribeClient(region=region, endpoint_url=endpoint_url, ca_file=certificates)
    )
    settings = StreamSettings(
        language=language,
        vocabulary=vocabulary,
        limits=limits or StreamLimits(),
        timeouts=timeouts or FinalizationTimeouts(),
        open_timeout_s=open_timeout_s,
        max_streams=max_streams,
    )
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield TranscribeEngine(StreamPool(client, CredentialChain(boto), settings, tasks, report_defect))
        except Exception as error:  # noqa: BLE001 because a task group would wrap what its user raises
            raised = error
        tasks.cancel_scope.cancel()
    if raised is not None:
        raise raised
