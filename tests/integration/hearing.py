"""Listening to an engine to the end."""

from collections.abc import AsyncIterable, Callable
from contextlib import aclosing

import anyio

from app.domain.audio import AudioChunk
from app.domain.ports import Transcriber
from app.domain.transcript import Hypothesis


async def hear(
    engine: Transcriber, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
) -> list[Hypothesis]:
    async with aclosing(engine.transcribe(utterance, language=language)) as hypotheses:
        return [hypothesis async for hypothesis in hypotheses]


async def final(engine: Transcriber, utterance: AsyncIterable[AudioChunk]) -> str:
    return (await hear(engine, utterance))[-1].text


async def eventually(condition: Callable[[], bool], *, within_s: float = 2.0) -> None:
    """Wait for something that happens in another thread."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 because that thread rings no bell of ours
            await anyio.sleep(0.01)
