"""Time to silence over a real socket: from a person's first sound, and from a client's `cancel`, to the order to stop.

    python -m bench.silence --sessions 1 --sessions 4

A server process with the engines of the settings speaks a text; the client's recorded speech begins over it, in real
time, without an echo. A client stops playing when the order arrives, with a fade of 20 ms.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import click
import numpy as np
from parley_client import ReplyAudio, ReplyCancelled, ReplyInterrupted, ReplyPaused, Session, paced

from app.domain.audio import SAMPLE_RATE
from bench import overlap_sounds
from bench.overlap_sounds import OverlapSound
from bench.report import percentile
from bench.rooms import microphone, pcm16
from bench.server import open_server
from providers.local.vad.silero import load_network
from providers.local.vad.speech_segments import SpeechFinder

LISTENS_S = 1.5
"""Until the person speaks, of a reply whose sound has begun."""
TIMEOUT_S = 20
TEXT = " ".join(text for reply in overlap_sounds.REPLIES for text in reply)
STOPS = (ReplyPaused, ReplyCancelled, ReplyInterrupted)
T = TypeVar("T")


async def next_of(session: Session, kinds: tuple[type[T], ...]) -> float:
    """When the next event of these kinds arrives."""
    with anyio.fail_after(TIMEOUT_S):
        async for event in session:
            if isinstance(event, kinds):
                return anyio.current_time()
    raise TimeoutError


async def interrupted_by_speech(url: str, sound: OverlapSound) -> float:
    """Milliseconds from the sound's onset to the order to stop."""
    before = np.zeros(int(LISTENS_S * SAMPLE_RATE), np.float32)
    played = np.concatenate([before, sound.audio])
    pcm = pcm16(
        microphone(np.random.default_rng(1), 0 * played, level_db=None, delay=0, over=(sound.audio, len(before)))
    )
    async with Session(url, language=sound.language, pauses=True, archive=False) as session:
        await session.say(TEXT)
        await next_of(session, (ReplyAudio,))
        onset = anyio.current_time() + LISTENS_S + sound.onset / SAMPLE_RATE

        async def speak() -> None:
            async for packet in paced(pcm, SAMPLE_RATE):
                await session.send(packet)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak)
            stopped = await next_of(session, STOPS)
            tasks.cancel_scope.cancel()
    return 1000 * (stopped - onset)


async def cancelled(url: str) -> float:
    """Milliseconds from `cancel` to the order to stop, while the reply's sound is being made and sent."""
    async with Session(url, pauses=True, archive=False) as session:
        await session.say(TEXT)
        await next_of(session, (ReplyAudio,))
        await anyio.sleep(0.1)
        began = anyio.current_time()
        await session.interrupt()
        return 1000 * (await next_of(session, STOPS) - began)


async def measure(sounds: Sequence[OverlapSound], sessions: int, language: str) -> None:
    """Print the row of so many sessions at once."""
    speech: list[float] = []
    orders: list[float] = []
    limit = anyio.CapacityLimiter(sessions)

    async def one(url: str, sound: OverlapSound) -> None:
        async with limit:
            speech.append(await interrupted_by_speech(url, sound))
            orders.append(await cancelled(url))

    async with (
        open_server(max_sessions=sessions, PARLEY_LANGUAGE=language) as server,
        anyio.create_task_group() as each,
    ):
        for sound in sounds:
            each.start_soon(one, server.url, sound)
    cells = [f"{percentile(times, 50):.0f} / {percentile(times, 95):.0f}" for times in (orders, speech)]
    in_time = sum(time <= 500 for time in speech)
    print(f"| {sessions} | {len(sounds)} | {' | '.join(cells)} | {in_time} of {len(speech)} |")


@click.command()
@click.option("--sessions", multiple=True, type=click.IntRange(1), default=(1,))
@click.option("--sounds", "count", type=click.IntRange(1), default=24, show_default=True)
@click.option(
    "--speech", type=click.Path(path_type=Path), default=os.environ.get("PARLEY_SPEECH_DIR", "../shared/speech")
)
def main(sessions: tuple[int, ...], count: int, speech: Path) -> None:
    """Recorded interruptions of the reported half, at several numbers of sessions at once."""
    recorded = list(overlap_sounds.recorded_interruptions(speech, SpeechFinder(load_network())))
    _, reported = overlap_sounds.halves(recorded)
    sounds = reported[:: max(1, len(reported) // count)][:count]
    print("| sessions | sounds | `cancel` to stop p50 / p95 ms | onset to stop p50 / p95 ms | in 500 ms |")
    print("| --- | --- | --- | --- | --- |")
    for number in sessions:
        anyio.run(measure, sounds, number, "en")


if __name__ == "__main__":
    main()
