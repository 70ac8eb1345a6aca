"""Every Transcriber and DraftTranscriber, opened for its contract; the names are the registry's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.domain.ports import DraftTranscriber, Transcriber
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.worker import Worker
from app.web.openai.worker import create_worker
from providers.local.asr.engine import SpeechEngine, open_speech_engine
from providers.local.vad.webrtc import open_webrtc_vad
from providers.openai.transcription import open_transcription
from tests.contracts.aws_cases import aws
from tests.models import model
from tests.serving import serving


@asynccontextmanager
async def local() -> AsyncIterator[SpeechEngine]:
    async with open_speech_engine(model=model("whisper-tiny.en"), device="cpu") as engine:
        yield engine


@asynccontextmanager
async def openai() -> AsyncIterator[Transcriber]:
    """Over a worker of our own, with the same small model."""
    async with local() as engine, open_webrtc_vad() as detector:
        queue = AdmissionQueue("worker", SystemClock(), concurrency=1, max_waiting=8)
        worker = Worker("tiny", engine, engine.for_batch(), detector, queue, "en")
        async with (
            serving(create_worker(worker)) as address,
            open_transcription(
                provider_name="worker", base_url=f"http://{address}/v1", api_key="", model="tiny"
            ) as transcriber,
        ):
            yield transcriber


TRANSCRIBER_CASES: dict[str, Callable[[], AbstractAsyncContextManager[Transcriber]]] = {
    "aws": aws,
    "local": local,
    "openai": openai,
}
DRAFT_CASES: dict[str, Callable[[], AbstractAsyncContextManager[DraftTranscriber]]] = {
    "local": local,
}
