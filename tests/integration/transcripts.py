"""What a transcriber yields for one utterance, and waiting for what happens on another thread."""

from collections.abc import AsyncIterable, Callable
from contextlib import aclosing

import anyio

from app.domain.audio import AudioChunk
from app.domain.ports import Transcriber
from app.domain.transcript import Hypothesis


async def hypotheses_of(
    engine: Transcriber, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
) -> list[Hypothesis]:
    async with aclosing(engine.transcribe(utterance, language=language)) as hypotheses:
        return [hypothesis async for hypothesis in hypotheses]


async def final_text(engine: Transcriber, utterance: AsyncIterable[AudioChunk]) -> str:
    return (await hypotheses_of(engine, utterance))[-1].text


async def eventually(condition: Callable[[], bool], *, within_s: float = 2.0) -> None:
    """Wait for something that happens on another thread."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 because the other thread has no event of this loop
            await anyio.sleep(0.01)
