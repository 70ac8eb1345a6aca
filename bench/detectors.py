"""Voice activity detectors on noise and on speech: false triggers, missed clips, cost.

python -m bench.detectors
"""

import argparse
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from itertools import groupby
from pathlib import Path

import anyio

from app.domain.audio import SAMPLE_RATE, AudioChunk, ScoredChunk, ms
from app.domain.ports import SpeechDetector
from bench.speech import DEFAULT, Clip, clips
from providers.local.vad.silero import open_silero_vad
from providers.local.vad.webrtc import open_webrtc_vad

SPEECH = 0.5
TRIGGER = ms(200)
"""So much speech in a row would open an utterance."""


async def chunked(pcm: bytes) -> AsyncGenerator[AudioChunk, None]:
    for at in range(0, len(pcm), 640):
        yield AudioChunk(pcm[at : at + 640], at // 2)


async def scores(detector: SpeechDetector, clip: Clip) -> list[ScoredChunk]:
    async with aclosing(detector.score(chunked(clip.pcm))) as scored:
        return [one async for one in scored]


def triggers(scored: list[ScoredChunk]) -> int:
    runs = (list(run) for speech, run in groupby(scored, lambda one: one.speech >= SPEECH) if speech)
    return sum(sum(one.chunk.samples for one in run) >= TRIGGER for run in runs)


async def run(corpus: Path) -> None:
    noise = [clip for clip in clips(corpus, "noise") if clip.text == ""]
    speech = [clip for clip in clips(corpus) if clip.text]
    minutes = sum(clip.seconds for clip in noise) / 60
    print("| detector | false triggers a minute of noise | noise scored as speech | speech clips missed | cost, RTF |")
    print("| --- | --- | --- | --- | --- |")
    detectors: dict[str, AbstractAsyncContextManager[SpeechDetector]] = {"silero": open_silero_vad()}
    detectors |= {f"webrtc, {level}": open_webrtc_vad(aggressiveness=level) for level in range(4)}
    for name, opened in detectors.items():
        async with opened as detector:
            began = time.perf_counter()
            quiet = [await scores(detector, clip) for clip in noise]
            spent = time.perf_counter() - began
            loud = [await scores(detector, clip) for clip in speech]
        wrong = sum(one.chunk.samples for scored in quiet for one in scored if one.speech >= SPEECH) / SAMPLE_RATE
        missed = sum(triggers(scored) == 0 for scored in loud)
        print(
            f"| {name} | {sum(map(triggers, quiet)) / minutes:.1f} | {100 * wrong / (60 * minutes):.1f} % "
            f"| {missed} of {len(loud)} | {spent / (60 * minutes):.4f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    anyio.run(run, parser.parse_args().speech)


if __name__ == "__main__":
    main()
