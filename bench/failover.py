"""Failover benchmark: a worker is killed under load; WER, TTFS and time to recovery.

A gateway (`parley serve`) and two workers (`parley worker`) are processes of their own. The worker of higher
quality is preferred by the rules; it is killed with SIGKILL, and started again later.
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

import anyio
import httpx
import msgspec
from anyio import to_thread
from rich.console import Console
from rich.table import Table

from app.domain.errors import ProviderDown
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.protocols.parley import open_parley
from bench.score import Errors, Scorer, load_scorer
from bench.server import free_port, open_server, stop
from bench.voice import PlayedClip, play_clip

LONGEST_CLIP_S = 8.0
CLIPS = 12
POLL_EVERY_S = 0.1
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
                if await get_json(f"http://127.0.0.1:{self.port}/health") is not None:
                    return
                await anyio.sleep(POLL_EVERY_S)
        raise ProviderDown("a worker", "it did not start")


async def get_json(url: str) -> Any:
    """The decoded JSON at the URL, or None if it cannot be reached."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:  # on this machine, so without a proxy
        try:
            return msgspec.json.decode((await client.get(url)).content)
        except httpx.HTTPError:
            return None


@dataclass(slots=True)
class Timeline:
    """Times of the events of the run, in seconds of `anyio.current_time`."""

    killed: float = 0.0
    out: float | None = None
    """The circuit breaker of the killed route is open."""
    restarted: float = 0.0
    ready: float = 0.0
    """The worker answers again."""
    back: float | None = None
    """Its route is a candidate again."""
    used: float | None = None
    """It made a final again."""


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
                played, timeline, wall = await _run_phases(
                    http, server.url, workers["preferred"], clips, speakers, seconds
                )
                decisions = await get_json(f"{http}/policy/decisions?limit=10000")
        finally:
            for worker in workers.values():
                if worker.process is not None:
                    stop(worker.process)
    used = [_moment(d, wall) for d in decisions if d["chosen"] == "preferred"]
    timeline.used = min((at for at in used if at > timeline.ready), default=None)
    _print(console, scorer, played, timeline, decisions, wall)


async def _run_phases(
    http: str, url: str, preferred: Worker, clips: Sequence[Clip], speakers: int, seconds: int
) -> tuple[list[PlayedClip], Timeline, float]:
    """Return the clips, the timeline, and the offset from its clock to wall-clock time."""
    played: list[PlayedClip] = []
    timeline = Timeline()
    wall = time.time() - anyio.current_time()

    async def speak(number: int, until: float) -> None:
        for clip in islice(cycle(clips), number * len(clips) // speakers, None):
            if anyio.current_time() > until:
                return
            played.append(await play_clip(open_parley, url, clip, reply=False, quiet=1.0))

    async with anyio.create_task_group() as tasks:
        until = anyio.current_time() + 3 * seconds
        for number in range(speakers):
            tasks.start_soon(speak, number, until)
        await anyio.sleep(seconds)
        await to_thread.run_sync(preferred.kill)
        timeline.killed = anyio.current_time()
        with anyio.move_on_after(seconds):
            timeline.out = await _wait_for_route(http, ranked=False)
        await anyio.sleep_until(timeline.killed + seconds)
        timeline.restarted = anyio.current_time()
        preferred.start()
        await preferred.ready()
        timeline.ready = anyio.current_time()
        with anyio.move_on_after(seconds):
            timeline.back = await _wait_for_route(http, ranked=True)
    return played, timeline, wall


async def _wait_for_route(http: str, *, ranked: bool) -> float:
    """Wait until the preferred route is a candidate (or is none); return the time."""
    while True:
        ranking = await get_json(f"{http}/policy/explain")
        if ranking is not None and any(c["name"] == "preferred" for c in ranking["choices"]) == (
            ranked and not ranking["panic"]
        ):
            return anyio.current_time()
        await anyio.sleep(POLL_EVERY_S)


def _moment(decision: dict[str, Any], wall: float) -> float:
    """A decision's time on the clock of this process."""
    return datetime.fromisoformat(decision["at"]).astimezone(UTC).timestamp() - wall


def _print(
    console: Console,
    scorer: Scorer,
    played: list[PlayedClip],
    timeline: Timeline,
    decisions: list[dict[str, Any]],
    wall: float,
) -> None:
    table = Table("", "clips", "without a final", "WER", "TTFS p50", "p95", "maximum", "finals by", "without a route")
    borders = (
        ("before", 0.0, timeline.killed),
        ("dead", timeline.killed, timeline.ready),
        ("after", timeline.ready, float("inf")),
    )
    for name, begin, end in borders:
        mine = [s for s in played if begin <= s.began + s.end < end]
        made = [d for d in decisions if begin <= _moment(d, wall) < end]
        table.add_row(name, *_cells(scorer, mine), _shares(made), str(sum(d["chosen"] is None for d in made)))
    console.print(table)
    for what, at, since in (
        ("breaker of the killed route open after", timeline.out, timeline.killed),
        ("the restarted worker answers after", timeline.ready, timeline.restarted),
        ("its route is a candidate again after", timeline.back, timeline.ready),
        ("it makes a final after", timeline.used, timeline.ready),
    ):
        console.print(f"{what} {'never' if at is None else f'{at - since:.1f} s'}")


def _cells(scorer: Scorer, played: list[PlayedClip]) -> list[str]:
    finals = [s.last_final() for s in played]
    errors = Errors()
    for each in played:
        errors += scorer.errors(each.clip.text, " ".join(final.text for final in each.events_of("final")))
    times = [(final.at - s.end) * 1000 for s, final in zip(played, finals, strict=True) if final]
    cuts = quantiles(times, n=20, method="inclusive") if len(times) > 1 else []
    shown = [f"{ms:.0f} ms" for ms in (cuts[9], cuts[18], max(times))] if cuts else ["-"] * 3
    rate = "-" if errors.rate is None else f"{errors.rate:.1%}"
    return [str(len(played)), str(finals.count(None)), rate, *shown]


def _shares(decisions: list[dict[str, Any]]) -> str:
    names = [d["chosen"] for d in decisions if d["chosen"]]
    return ", ".join(f"{name} {names.count(name)}" for name in sorted(set(names)))
