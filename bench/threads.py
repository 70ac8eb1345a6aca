"""Allocation of cores: concurrent passes times threads per pass, with finals and drafts mixed.

    python -m bench.threads --drafts models/whisper-tiny.en --finals models/whisper-base

Each division runs in a process of its own, pinned to the cores it may use; they take turns, round by round, so that
what else the machine does weighs on all of them. A session requests three drafts of a sentence in progress and then its
final, one after the other.
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
from providers.local.asr.recognizer import DecodeRequest
from providers.local.asr.whisper.fallback import decode
from providers.local.asr.whisper.model import WhisperModel, load
from providers.local.inference_pool import InferencePool
from providers.local.mel import Samples, samples_of
from providers.local.scheduler import Priority, QueueLimits
from providers.local.thread_plan import ThreadPlan

DIVISIONS = {1: ((1, 1), (1, 2), (2, 1)), 2: ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4))}
"""Cores -> (concurrent passes, threads in a pass)."""

SESSIONS = (1, 8)
DRAFTS = 3


@dataclass(frozen=True, slots=True)
class Round:
    """Times of one round, in seconds."""

    wall: float
    finals: list[float] = field(default_factory=list)
    drafts: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """Two models behind one inference pool, and a sentence for them."""

    finals: WhisperModel
    drafts: WhisperModel
    pool: InferencePool
    samples: Samples

    async def round(self, sessions: int) -> Round:
        round_ = Round(0.0)
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for session in range(sessions):
                tasks.start_soon(self._session, session, round_)
        return Round(time.perf_counter() - began, round_.finals, round_.drafts)

    async def _session(self, session: int, round_: Round) -> None:
        for n in range(1, DRAFTS + 1):
            part = self.samples[: len(self.samples) * n // DRAFTS]
            request = DecodeRequest(part, language="en", allow_fallback=False)
            round_.drafts.append(await self._timed(self.drafts, request, Priority.DRAFT, session))
        request = DecodeRequest(self.samples, language="en")
        round_.finals.append(await self._timed(self.finals, request, Priority.FINAL, session))

    async def _timed(self, model: WhisperModel, request: DecodeRequest, priority: Priority, session: int) -> float:
        began = time.perf_counter()
        await self.pool.run(
            lambda requests: decode(model, requests),
            request,
            priority=priority,
            session=session,
            kind=(id(model), priority),
        )
        return time.perf_counter() - began


async def run_child(args: argparse.Namespace) -> None:
    """A child process: for each line that it reads, a number of sessions, it prints a round as a line of JSON."""
    samples = samples_of(next(clip.pcm for clip in clips(args.speech) if 4 <= clip.seconds <= 6))
    models = [
        load(folder, device="cpu", compute_type="int8", plan=ThreadPlan(args.one[1], args.one[2]))
        for folder in (args.finals, args.drafts)
    ]
    pool = InferencePool(args.one[1], QueueLimits(draft_expires_after_s=1e9))
    bench = Bench(models[0], models[1], pool, samples)
    await bench.round(1)
    print("ready", flush=True)
    while line := await to_thread.run_sync(sys.stdin.readline):
        print(json.dumps(asdict(await bench.round(int(line)))), flush=True)
    pool.close()


def sweep(args: argparse.Namespace) -> None:
    """Run all divisions in turns, and print a table."""
    known = sorted(os.sched_getaffinity(0))
    divisions = [(cores, *shape) for cores in DIVISIONS if cores <= len(known) for shape in DIVISIONS[cores]]
    children = {division: _child(args, division) for division in divisions}
    for child in children.values():
        _request(child)
    rounds: dict[tuple[Any, int], list[Round]] = {}
    for _ in range(args.rounds):
        for division, child in children.items():
            for sessions in SESSIONS:
                round_ = Round(**json.loads(_request(child, f"{sessions}\n")))
                rounds.setdefault((division, sessions), []).append(round_)
    for child in children.values():
        child.communicate()
    print(
        "| cores | concurrent passes x threads | sessions | passes a second "
        "| to one pass on all cores | final | draft |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for ((cores, workers, threads), sessions), row in sorted(rounds.items()):
        ratios = [a.wall / b.wall for a, b in zip(rounds[(cores, 1, cores), sessions], row, strict=True)]
        a_second = median((len(round_.finals) + len(round_.drafts)) / round_.wall for round_ in row)
        print(
            f"| {cores} | {workers} x {threads} | {sessions} | {a_second:.1f} | {median(ratios):.2f} "
            f"| {_percentiles([round_.finals for round_ in row])} | {_percentiles([round_.drafts for round_ in row])} |"
        )


def _percentiles(rounds: Sequence[Sequence[float]]) -> str:
    """Medians over the rounds of each round's percentiles, in milliseconds."""
    return " / ".join(f"{1000 * median(np.percentile(one, q) for one in rounds):.0f} ms" for q in (50, 95))


def _child(args: argparse.Namespace, division: tuple[int, int, int]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.threads", "--speech", args.speech, "--drafts", args.drafts]
    command += ["--finals", args.finals, "--one", *map(str, division)]
    return subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _request(child: "subprocess.Popen[str]", line: str = "") -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line)
    child.stdin.flush()
    return child.stdout.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=DEFAULT, help="the corpus")
    parser.add_argument("--drafts", type=Path, required=True, help="folder of the model for drafts")
    parser.add_argument("--finals", type=Path, required=True, help="folder of the model for finals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, nargs=3, help="a child process: cores, concurrent passes, threads")
    args = parser.parse_args()
    if args.one:
        # Before any thread is born, because threads inherit it.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.one[0]])
        anyio.run(run_child, args)
    else:
        sweep(args)


if __name__ == "__main__":
    main()
