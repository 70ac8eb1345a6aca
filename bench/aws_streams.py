"""CPU time of many Transcribe streams, and time from endpoint to final on one.

    python -m bench.aws_streams --streams 30 --seconds 20

The emulator answers at once and runs in a process of its own, so only the client is measured.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import anyio

from app.domain.audio import AudioChunk, ms
from providers.aws.transcribe import TranscribeEngine, open_transcribe

_CHUNK = ms(100)
_SOUND = b"\x00\x10" * _CHUNK


@dataclass(frozen=True, slots=True)
class Overhead:
    """Milliseconds between the endpoint and the final, of each utterance."""

    milliseconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        return median(self.milliseconds)

    @property
    def p95(self) -> float:
        return quantiles(self.milliseconds, n=20)[-1]


@contextmanager
def emulator() -> Iterator[str]:
    """The URL of an emulator in another process, which this one trusts and has an account with."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.emulators.transcribe", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            os.environ["AWS_CA_BUNDLE"] = str(Path(folder) / "ca.pem")
            os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "testing"
            yield url
            process.stdin.close()


async def processor_share(engine: TranscribeEngine, *, streams: int, seconds: float) -> float:
    """The share of one core that this process needs while so many people speak at once."""

    async def speak() -> None:
        async with aclosing(engine.transcribe(_spoken(round(seconds * 10), every_s=0.1))) as hypotheses:
            async for _ in hypotheses:
                pass

    used = took = 0.0
    async with anyio.create_task_group() as people:
        for _ in range(streams):
            people.start_soon(speak)
        await anyio.sleep(1.5)  # because opening is another cost
        used, began = time.process_time(), time.perf_counter()
        await anyio.sleep(seconds - 2.5)
        used, took = time.process_time() - used, time.perf_counter() - began
    return used / took


async def overhead(engine: TranscribeEngine, *, utterances: int) -> Overhead:
    """One person speaks, again and again, on one stream."""
    taken = []
    async with engine.session() as session:
        for _ in range(utterances):
            ended_at = answered_at = 0.0

            async def spoken() -> AsyncIterator[AudioChunk]:
                async for chunk in _spoken(10, every_s=0.02):
                    yield chunk
                nonlocal ended_at
                ended_at = time.perf_counter()

            async with aclosing(session.transcribe(spoken())) as hypotheses:
                async for _ in hypotheses:
                    answered_at = time.perf_counter()
            taken.append((answered_at - ended_at) * 1000)
    return Overhead(tuple(taken[1:]))  # because the first one opens the stream


async def _spoken(chunks: int, *, every_s: float) -> AsyncIterator[AudioChunk]:
    began = time.perf_counter()
    for n in range(chunks):
        yield AudioChunk(_SOUND, n * _CHUNK)
        await anyio.sleep(max(0, began + (n + 1) * every_s - time.perf_counter()))


async def _main(streams: int, seconds: float) -> None:
    with emulator() as url:
        async with open_transcribe(region="us-east-1", endpoint_url=url, max_streams=streams + 5) as engine:
            figures = await overhead(engine, utterances=40)
            print(f"endpoint to final: p50 {figures.p50:.1f} ms, p95 {figures.p95:.1f} ms")
            for count in (1, streams):
                share = await processor_share(engine, streams=count, seconds=seconds)
                print(f"{count} streams: {share:.1%} of a core")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--streams", type=int, default=30)
    arguments.add_argument("--seconds", type=float, default=15)
    given = arguments.parse_args()
    anyio.run(_main, given.streams, given.seconds)
