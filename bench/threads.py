"""Allocation of cores: concurrent passes times threads per pass, with finals and drafts mixed.

    python -m bench.threads --drafts models/whisper-tiny.en --finals models/whisper-base

Each sharing runs in a process of its own, tied to the cores it may use; they take turns, round
by round, so that what else the machine does weighs on all of them. A session asks for three
drafts of a sentence in progress and then for its final, one after the other.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import numpy as np
from anyio import to_thread

from bench.speech import DEFAULT, clips
from providers.local.asr.decode import DecodeRequest
from providers.local.asr.fallback import decode
from providers.local.asr.whisper_model import WhisperModel, load
from providers.local.inference_pool import InferencePool
from providers.local.mel import samples_of
from providers.local.scheduler import Priority, QueueLimits

SHARINGS = {1: ((1, 1), (1, 2), (2, 1)), 2: ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4))}
"""Cores -> passes at once, threads in one."""

SESSIONS = (1, 8)
DRAFTS = 3


@dataclass(frozen=True, slots=True)
class Taken:
    """What one round took, in seconds."""

    wall: float
    finals: list[float] = field(default_factory=list)
    drafts: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """Two models behind one queue, and a sentence to say to them."""

    finals: WhisperModel
    drafts: WhisperModel
    cores: InferencePool
    sound: Any

    async def round(self, sessions: int) -> Taken:
        taken = Taken(0.0)
        begun = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for session in range(sessions):
                tasks.start_soon(self._session, session, taken)
        return Taken(time.perf_counter() - begun, taken.finals, taken.drafts)

    async def _session(self, session: int, taken: Taken) -> None:
        for n in range(1, DRAFTS + 1):
            part = self.sound[: len(self.sound) * n // DRAFTS]
            ask = DecodeRequest(self.drafts.filters.columns(part), language="en", careful=False)
            taken.drafts.append(await self._timed(self.drafts, ask, Priority.DRAFT, session))
        ask = DecodeRequest(self.finals.filters.columns(self.sound), language="en")
        taken.finals.append(await self._timed(self.finals, ask, Priority.FINAL, session))

    async def _timed(self, model: WhisperModel, ask: DecodeRequest, urgency: Priority, session: int) -> float:
        begun = time.perf_counter()
        await self.cores.run(
            lambda asks: decode(model, asks), ask, urgency=urgency, session=session, kind=(id(model), urgency)
        )
        return time.perf_counter() - begun


async def one(args: argparse.Namespace) -> None:
    """A child: a line of JSON for each line that comes in, which is a number of sessions."""
    sound = samples_of(next(clip.pcm for clip in clips(args.speech) if 4 <= clip.seconds <= 6))
    models = [
        load(folder, device="cpu", compute_type="int8", threads=args.one[2], workers=args.one[1])
        for folder in (args.finals, args.drafts)
    ]
    cores = InferencePool(args.one[1], QueueLimits(draft_expires_after=1e9))
    bench = Bench(models[0], models[1], cores, sound)
    await bench.round(1)
    print("ready", flush=True)
    while line := await to_thread.run_sync(sys.stdin.readline):
        print(json.dumps(asdict(await bench.round(int(line)))), flush=True)
    cores.close()


def sweep(args: argparse.Namespace) -> None:
    """All sharings, in turns, and a table."""
    known = sorted(os.sched_getaffinity(0))
    sharings = [(cores, *shape) for cores in SHARINGS if cores <= len(known) for shape in SHARINGS[cores]]
    children = {sharing: _child(args, sharing) for sharing in sharings}
    for child in children.values():
        _answer(child)
    rounds: dict[tuple[Any, int], list[Taken]] = {}
    for _ in range(args.rounds):
        for sharing, child in children.items():
            for sessions in SESSIONS:
                taken = Taken(**json.loads(_answer(child, f"{sessions}\n")))
                rounds.setdefault((sharing, sessions), []).append(taken)
    for child in children.values():
        child.communicate()
    print(
        "| cores | passes at once x threads | sessions | passes a second | to one pass on all cores | final | draft |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for ((cores, workers, threads), sessions), row in sorted(rounds.items()):
        ratios = [a.wall / b.wall for a, b in zip(rounds[(cores, 1, cores), sessions], row, strict=True)]
        a_second = median((len(taken.finals) + len(taken.drafts)) / taken.wall for taken in row)
        print(
            f"| {cores} | {workers} x {threads} | {sessions} | {a_second:.1f} | {median(ratios):.2f} "
            f"| {_percentiles([taken.finals for taken in row])} | {_percentiles([taken.drafts for taken in row])} |"
        )


def _percentiles(rounds: Sequence[Sequence[float]]) -> str:
    """Medians over the rounds of each round's percentiles, in milliseconds."""
    return " / ".join(f"{1000 * median(np.percentile(one, q) for one in rounds):.0f} ms" for q in (50, 95))


def _child(args: argparse.Namespace, sharing: tuple[int, int, int]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.threads", "--speech", args.speech, "--drafts", args.drafts]
    command += ["--finals", args.finals, "--one", *map(str, sharing)]
    return subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _answer(child: "subprocess.Popen[str]", question: str = "") -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(question)
    child.stdin.flush()
    return child.stdout.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    parser.add_argument("--drafts", type=Path, required=True, help="folder of the model for drafts")
    parser.add_argument("--finals", type=Path, required=True, help="folder of the model for finals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, nargs=3, help="a child: cores, passes at once, threads")
    args = parser.parse_args()
    if args.one:
        # Before any thread is born, because threads inherit it.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.one[0]])
        anyio.run(one, args)
    else:
        sweep(args)


if __name__ == "__main__":
    main()
