"""Listening to an engine to the end."""

from collections.abc import AsyncIterable
from contextlib import aclosing

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
