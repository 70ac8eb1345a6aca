"""Every SpeechSynthesizer, opened for its contract; the names are the registry's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.domain.ports import SpeechSynthesizer
from providers.local.tts.piper import open_piper
from tests.contracts.aws_cases import polly
from tests.models import model


@asynccontextmanager
async def piper() -> AsyncIterator[SpeechSynthesizer]:
    async with open_piper(model=model("piper-en_US-joe-medium")) as engine:
        yield engine


SYNTHESIZER_CASES: dict[str, Callable[[], AbstractAsyncContextManager[SpeechSynthesizer]]] = {
    "polly": polly,
    "piper": piper,
}

NEEDS_MODELS = frozenset({"piper"})
