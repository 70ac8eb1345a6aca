"""A worker dies while people speak: what they notice, and how long it takes until all is as before.

A gateway (`parley serve`) and two workers (`parley worker`) are processes of their own. The better worker is
preferred by the rules; it is killed with SIGKILL, and started again later.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import anyio
import msgspec
from anyio import to_thread
from rich.console import Console
from rich.table import Table

from app.domain.errors import ProviderDown
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.protocols.parley import open_parley
from bench.score import Errors, Scorer, load_scorer
from bench.server import free_port, open_server, stop
from bench.voice import Said, say

LONGEST_CLIP_S = 8.0
CLIPS = 12
LOOK_EVERY_S = 0.1
READY_SECONDS = 120

RULES = 'objective = "accuracy"\n'
ROUTES = """
[preferred]
engine = "openai"
base_url = "http://127.0.0.1:{preferred}/v1"
model = "{model}"
place = "on_prem"
quality = 0.6

[other]
engine = "openai"
base_url = "http://127.0.0.1:{other}/v1"
model = "{model}"
place = "on_prem"
quality = 0.5
"""


@dataclass(slots=True)
class Worker:
    """`parley worker` on a port of its own."""

    model: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "app", "worker", "--port", str(self.port), "--model", self.model]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, env=os.environ | {"PARLEY_LOG_LEVEL": "error"}, stdout=quiet, stderr=quiet
        )

    def kill(self) -> None:
        """With SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def ready(self) -> None:
        """Wait until it answers. Raises ProviderDown."""
        with anyio.move_on_after(READY_SECONDS):
            while self.process is not None and self.process.poll() is None:
                if await asked(f"http://127.0.0.1:{self.port}/health") is not None:
                    return
                await anyio.sleep(LOOK_EVERY_S)
        raise ProviderDown("a worker", "it did not start")


async def asked(url: str) -> Any:
    """What a page says, or None where nobody answers."""

    def ask() -> Any:
        with urlopen(url, timeout=5) as answer:
            return msgspec.json.decode(answer.read())

    try:
        return await to_thread.run_sync(ask)
    except (URLError, OSError):
        return None


@dataclass(slots=True)
class Marks:
    """When what happened, in seconds of `anyio.current_time`."""

    killed: float = 0.0
    out: float | None = None
    """The dead route is no candidate any more."""
    restarted: float = 0.0
    ready: float = 0.0
    """The worker answers again."""
    back: float | None = None
    """Its route is a candidate again."""
    used: float | None = None
    """A person's words were written down there again."""


async def fail_over(speech: Path, speakers: int, seconds: int, model: str, console: Console) -> None:
    scorer = load_scorer(speech)
    entries = choose([e for e in read_manifest(speech) if e.seconds <= LONGEST_CLIP_S], CLIPS)
    clips = [await to_thread.run_sync(load_clip, speech, entry) for entry in entries]
    workers = {"preferred": Worker(model), "other": Worker(model)}
    with TemporaryDirectory(prefix="parley-bench-") as folder:
        routes, rules = Path(folder) / "routes.toml", Path(folder) / "prefers.toml"
        ports = {name: worker.port for name, worker in workers.items()}
        routes.write_text(ROUTES.format(model=model, **ports))
        rules.write_text(RULES)
        settings = {
            "PARLEY_ROUTES": str(routes),
            "PARLEY_POLICY": str(rules),
            "PARLEY_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/parley.db",
            "PARLEY_REPLY_PROVIDER": "none",
            "PARLEY_SPEECH_PROVIDER": "none",
        }
        try:
            for worker in workers.values():
                worker.start()
                await worker.ready()
            async with open_server(max_sessions=speakers, **settings) as server:
                http = server.url.replace("ws", "http", 1).removesuffix("/ws/transcribe")
                said, marks, wall = await _story(http, server.url, workers["preferred"], clips, speakers, seconds)
                decisions = await asked(f"{http}/policy/decisions?limit=10000")
        finally:
            for worker in workers.values():
                if worker.process is not None:
                    stop(worker.process)
    used = [_moment(d, wall) for d in decisions if d["chosen"] == "preferred"]
    marks.used = min((at for at in used if at > marks.ready), default=None)
    _print(console, scorer, said, marks, decisions, wall)


async def _story(
    http: str, url: str, preferred: Worker, clips: Sequence[Clip], speakers: int, seconds: int
) -> tuple[list[Said], Marks, float]:
    """All that was said, when what happened, and what to add to these times for the wall clock's."""
    said: list[Said] = []
    marks = Marks()
    wall = time.time() - anyio.current_time()

    async def speak(number: int, until: float) -> None:
        for clip in islice(cycle(clips), number * len(clips) // speakers, None):
            if anyio.current_time() > until:
                return
            said.append(await say(open_parley, url, clip, reply=False, quiet=1.0))

    async with anyio.create_task_group() as tasks:
        until = anyio.current_time() + 3 * seconds
        for number in range(speakers):
            tasks.start_soon(speak, number, until)
        await anyio.sleep(seconds)
        await to_thread.run_sync(preferred.kill)
        marks.killed = anyio.current_time()
        with anyio.move_on_after(seconds):
            marks.out = await _when(http, well=False)
        await anyio.sleep_until(marks.killed + seconds)
        marks.restarted = anyio.current_time()
        preferred.start()
        await preferred.ready()
        marks.ready = anyio.current_time()
        with anyio.move_on_after(seconds):
            marks.back = await _when(http, well=True)
    return said, marks, wall


async def _when(http: str, *, well: bool) -> float:
    """The moment at which the preferred route is a choice, or is none."""
    while True:
        told = await asked(f"{http}/policy/explain")
        if told is not None and any(c["name"] == "preferred" for c in told["choices"]) == (well and not told["panic"]):
            return anyio.current_time()
        await anyio.sleep(LOOK_EVERY_S)


def _moment(decision: dict[str, Any], wall: float) -> float:
    """A decision's time on the clock of this process."""
    return datetime.fromisoformat(decision["at"]).astimezone(UTC).timestamp() - wall


def _print(
    console: Console, scorer: Scorer, said: list[Said], marks: Marks, decisions: list[dict[str, Any]], wall: float
) -> None:
    table = Table("", "clips", "without a final", "WER", "TTFS p50", "p95", "most", "finals by", "finals by nobody")
    borders = (("before", 0.0, marks.killed), ("dead", marks.killed, marks.ready), ("after", marks.ready, float("inf")))
    for name, begin, end in borders:
        mine = [s for s in said if begin <= s.began + s.end < end]
        made = [d for d in decisions if begin <= _moment(d, wall) < end]
        table.add_row(name, *_cells(scorer, mine), _shares(made), str(sum(d["chosen"] is None for d in made)))
    console.print(table)
    for what, at, since in (
        ("the dead route is out after", marks.out, marks.killed),
        ("the restarted worker answers after", marks.ready, marks.restarted),
        ("its route is back after", marks.back, marks.ready),
        ("it makes a final after", marks.used, marks.ready),
    ):
        console.print(f"{what} {'never' if at is None else f'{at - since:.1f} s'}")


def _cells(scorer: Scorer, said: list[Said]) -> list[str]:
    finals = [s.last_final() for s in said]
    errors = Errors()
    for each in said:
        errors += scorer.errors(each.clip.text, " ".join(final.text for final in each.of("final")))
    times = [(final.at - s.end) * 1000 for s, final in zip(said, finals, strict=True) if final]
    cuts = quantiles(times, n=20, method="inclusive") if len(times) > 1 else []
    shown = [f"{ms:.0f} ms" for ms in (cuts[9], cuts[18], max(times))] if cuts else ["-"] * 3
    rate = "-" if errors.rate is None else f"{errors.rate:.1%}"
    return [str(len(said)), str(finals.count(None)), rate, *shown]


def _shares(decisions: list[dict[str, Any]]) -> str:
    names = [d["chosen"] for d in decisions if d["chosen"]]
    return ", ".join(f"{name} {names.count(name)}" for name in sorted(set(names)))
