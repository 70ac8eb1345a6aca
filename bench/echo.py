"""Echo detection: utterances that a reply's own echo opens, and how soon a person over it is heard.

python -m bench.echo

No engine but the detectors of speech and of echo runs. Each clip is a reply in a simulated room, at several levels,
with a random delay and reverberation; with and without another clip as the person who speaks over it.
"""

import argparse
import os
import statistics
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import numpy as np

from app.domain.audio import SAMPLE_RATE, AudioChunk
from app.domain.dialog.endpointing import Boundary, Endpointer
from app.domain.ports import EchoDetector
from app.runtime.dialog.echo import score_near_end
from bench.clips import choose, load_clip, read_manifest
from bench.detectors import chunked
from bench.rooms import Samples, at_level, microphone, pcm16
from providers.local.vad.echo import MelEchoDetector
from providers.local.vad.silero import SileroDetector, open_silero_vad

LEVELS: tuple[float | None, ...] = (-6, -12, -20, -30, None)
SENT_AHEAD = SAMPLE_RATE
"""Samples of the reply that are sent ahead of its playback."""
SPEAKS_AFTER = 4 * SAMPLE_RATE
END_AFTER_MS = 640
FIRST = 2 * SAMPLE_RATE
"""Until here the delay of a session may be unknown."""
LONGEST = 15 * SAMPLE_RATE


async def boundaries(
    detector: SileroDetector, echo: EchoDetector | None, reply: Samples, heard: Samples
) -> list[tuple[int, Boundary]]:
    """Where utterances begin and end, in samples, as a session would find them."""
    pcm, sent = pcm16(reply), 0

    async def played() -> AsyncGenerator[AudioChunk, None]:
        nonlocal sent
        async for chunk in chunked(pcm16(heard)):
            while echo is not None and sent < min(len(pcm), 2 * (chunk.start + SENT_AHEAD)):
                echo.play(pcm[sent : sent + 3200], chunk.start)
                sent += 3200
            yield chunk

    endpointer = Endpointer()
    found: list[tuple[int, Boundary]] = []
    async with aclosing(score_near_end(detector, played(), echo)) as speech:
        async for one in speech:
            endpointer, boundary = endpointer.update(one, end_after_ms=END_AFTER_MS)
            if boundary is not Boundary.NONE:
                found.append((one.chunk.end, boundary))
    return found


def starts(found: Iterable[tuple[int, Boundary]], after: int = 0) -> list[int]:
    return [at for at, boundary in found if boundary is Boundary.START and at > after]


def is_open(found: Iterable[tuple[int, Boundary]], at: int) -> bool:
    """Whether an utterance is open here."""
    edges = [boundary for end, boundary in found if end <= at and boundary in (Boundary.START, Boundary.END)]
    return bool(edges) and edges[-1] is Boundary.START


async def measure(detector: SileroDetector, clips: Sequence[tuple[Samples, float]], seed: int) -> None:
    """Print one row for each level."""
    print("Off: utterances that the echo opens. On: the same in the first 2 s of a session, and later.\n")
    print("| echo | off, per minute | on, per session | on, per minute | person, p50 / p95 s | opened before |")
    print("| --- | --- | --- | --- | --- | --- |")
    rng = np.random.default_rng(seed)
    rooms = [(int(rng.integers(800, 9600)), float(rng.uniform(0.2, 0.6))) for _ in clips]
    for level in LEVELS:
        without, early, late, open_already, minutes = 0, 0, 0, 0, 0.0
        onsets: list[float] = []
        for at, (reply, _) in enumerate(clips):
            delay, reverberation = rooms[at]
            person, begins_s = clips[(at + 1) % len(clips)]
            speaks_at = SPEAKS_AFTER + int(begins_s * SAMPLE_RATE)
            room = np.random.default_rng([seed, at])
            alone = microphone(room, reply, level_db=level, delay=delay, reverberation_s=reverberation)
            over = microphone(
                room, reply, level_db=level, delay=delay, reverberation_s=reverberation, over=(person, SPEAKS_AFTER)
            )
            minutes += len(reply) / SAMPLE_RATE / 60
            without += len(starts(await boundaries(detector, None, reply, alone)))
            opened = starts(await boundaries(detector, MelEchoDetector(), reply, alone))
            early += sum(start < FIRST for start in opened)
            late += sum(start >= FIRST for start in opened)
            found = await boundaries(detector, MelEchoDetector(), reply, over)
            if is_open(found, speaks_at - SAMPLE_RATE // 4):
                open_already += 1
            else:
                later = starts(found, speaks_at - SAMPLE_RATE // 4)
                onsets.append((later[0] - speaks_at) / SAMPLE_RATE if later else LONGEST / SAMPLE_RATE)
        name = "none (headset)" if level is None else f"{level} dB"
        onset = f"{statistics.median(onsets):.2f} / {np.percentile(onsets, 95):.2f}"
        late_per_minute = late / (minutes - len(clips) * FIRST / SAMPLE_RATE / 60)
        counts = f"{without / minutes:.1f} | {early / len(clips):.2f} | {late_per_minute:.1f}"
        print(f"| {name} | {counts} | {onset} | {open_already} of {len(clips)} |")


async def main(folder: Path, count: int, seed: int) -> None:
    entries = [entry for entry in read_manifest(folder) if entry.seconds >= 6]
    clips = []
    for entry in choose(entries, count):
        clip = load_clip(folder, entry)
        clips.append((at_level(clip.pcm)[:LONGEST], clip.onset))
    async with open_silero_vad() as detector:
        await measure(detector, clips, seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=0, help="how many, of 6 s at least; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of delays, rooms and noise")
    parser.add_argument("--speech", type=Path, default=Path(os.environ.get("PARLEY_SPEECH_DIR", "../shared/speech")))
    asked = parser.parse_args()
    anyio.run(main, asked.speech, asked.clips, asked.seed)
