"""Every engine that writes down speech, opened for its contract; the names are the registry's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.domain.ports import DraftTranscriber, Transcriber
from providers.local.whisper import WhisperEngine, open_whisper
from tests.contracts.aws_cases import aws
from tests.models import model


@asynccontextmanager
async def local() -> AsyncIterator[WhisperEngine]:
    async with open_whisper(model=model("whisper-tiny.en"), device="cpu") as engine:
        yield engine


TRANSCRIBER_CASES: dict[str, Callable[[], AbstractAsyncContextManager[Transcriber]]] = {
    "aws": aws,
    "local": local,
}
DRAFT_CASES: dict[str, Callable[[], AbstractAsyncContextManager[DraftTranscriber]]] = {
    "local": local,
}
