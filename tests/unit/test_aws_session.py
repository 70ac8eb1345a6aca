"""Unforeseen exceptions of one Transcribe stream: reported, raised to its own utterance, and to no other."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.errors import ProviderMisbehaved
from providers.aws.credentials import Credentials
from providers.aws.lifetime import StreamLimits
from providers.aws.pool import StreamPool, StreamSettings
from providers.aws.results import TranscribeResult
from providers.aws.session import TranscribeSession

pytestmark = pytest.mark.anyio

SOUND, SILENCE = b"\x00\x10" * ms(100), b"\x00\x00"


class ScriptedChain:
    async def freeze(self, _provider: str) -> Credentials:
        return Credentials("key", "secret", None, float("inf"))


class ScriptedConnection:
    """Takes sound; raises `error` for silence, which is a keep-alive."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self._closed = anyio.Event()

    async def send(self, pcm: bytes) -> None:
        if self._error is not None and not any(pcm):
            raise self._error

    async def end(self) -> None:
        self._closed.set()

    def close(self) -> None:
        self._closed.set()

    async def results(self) -> AsyncGenerator[TranscribeResult, None]:
        await self._closed.wait()
        for _ in ():
            yield _


class ScriptedClient:
    """Opens one scripted connection after the other, or raises what stands in its place."""

    def __init__(self, *opened: ScriptedConnection | Exception) -> None:
        self._opened = iter(opened)

    async def open(self, **_: object) -> ScriptedConnection:
        opened = next(self._opened)
        if isinstance(opened, Exception):
            raise opened
        return opened


@asynccontextmanager
async def open_pool(client: ScriptedClient, defects: list[Exception]) -> AsyncIterator[StreamPool]:
    settings = StreamSettings(limits=StreamLimits(keepalive_every_s=0.01))
    async with anyio.create_task_group() as tasks:
        yield StreamPool(client, ScriptedChain(), settings, tasks, lambda _, error: defects.append(error))
        tasks.cancel_scope.cancel()


async def endless_pause() -> AsyncIterator[AudioChunk]:
    yield AudioChunk(SOUND, 0)
    await anyio.sleep_forever()


async def no_audio() -> AsyncIterator[AudioChunk]:
    for _ in ():
        yield _


async def test_an_unforeseen_exception_of_a_keepalive_ends_its_utterance_and_no_other():
    """The utterance that waits for its endpoint does not wait for ever, and the pool opens the next stream."""
    defects: list[Exception] = []
    client = ScriptedClient(ScriptedConnection(RuntimeError("unforeseen")), ScriptedConnection(None))
    async with open_pool(client, defects) as pool:
        session = TranscribeSession(pool)
        with anyio.fail_after(10), pytest.raises(ProviderMisbehaved):
            async with aclosing(session.transcribe(endless_pause())) as hypotheses:
                await anext(hypotheses)

        async with aclosing(session.transcribe(no_audio())) as hypotheses:
            final = [hypothesis async for hypothesis in hypotheses][-1]

    assert (final.text, final.is_final) == ("", True)
    assert len(defects) == 1
    assert "RuntimeError('unforeseen')" in repr(defects[0])


async def test_an_unforeseen_exception_of_opening_a_stream_leaves_its_place_free():
    """A response whose body is no JSON object, say; the quota counts no stream that was never opened."""
    defects: list[Exception] = []
    client = ScriptedClient(*[TypeError("argument of type 'int' is not iterable")] * 30, ScriptedConnection(None))
    async with open_pool(client, defects) as pool:
        for _ in range(30):
            with pytest.raises(ProviderMisbehaved):
                await pool.open("en-US")

        stream = await pool.open("en-US")

    assert stream.locale == "en-US"
    assert len(defects) == 30
