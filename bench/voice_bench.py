"""The `voice` benchmark: run each number of sessions against one server and report a table."""

import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio.to_thread
import msgspec
import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.assembly.speech import finals_model, is_moonshine, model_folder
from app.config import read_settings
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.load import Load, run_load
from bench.oneshot import OneShot
from bench.protocols import PROTOCOLS
from bench.report import HEADINGS, Summary, markdown, summarise, table
from bench.score import load_scorer
from bench.server import Server, get_health, open_server
from bench.voice import PlayedClip


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    speech: Path
    sessions: tuple[int, ...]
    clips: int
    rounds: int
    no_reply: bool
    long_clips: bool
    protocol: str
    url: str | None
    pid: int | None
    name: str
    one_shot: str | None
    no_one_shot: bool
    as_markdown: bool
    results: Path


async def run(plan: Plan, console: Console) -> None:
    """Measure, print, and keep the results."""
    scorer = load_scorer(plan.speech)
    entries = choose(read_manifest(plan.speech, long=plan.long_clips), plan.clips)
    clips = [await anyio.to_thread.run_sync(load_clip, plan.speech, entry) for entry in entries]
    minutes = sum(clip.seconds for clip in clips) / 60
    busy = psutil.getloadavg()[0]
    console.print(f"{len(clips)} clips, {minutes:.1f} minutes of speech, in real time; load average before: {busy:.1f}")
    one_shot = {} if plan.no_one_shot else await anyio.to_thread.run_sync(_one_shot, plan, clips)
    async with _server(plan) as server:
        for what, words in server.runs.items():
            console.print(f"  [dim]{what}[/dim]  {words}")
        loads = [await _load(plan, server, clips, sessions, console) for sessions in plan.sessions]
    results = [summarise(load, scorer, one_shot) for load in loads]
    summaries = [summary for summary, _ in results]
    console.print()
    console.print(table(summaries))
    if plan.as_markdown:
        print(f"\n{HEADINGS}")
        for summary in summaries:
            print(markdown(plan.name, summary))
    _keep(plan, server, busy, summaries, [records for _, records in results])
    console.print(f"\n[dim]{plan.results}[/dim]")


@asynccontextmanager
async def _server(plan: Plan) -> AsyncGenerator[Server, None]:
    if plan.url is None:
        async with open_server(max_sessions=max(plan.sessions)) as server:
            yield server
        return
    runs: dict[str, str] | None = None
    if plan.protocol == "parley":
        runs = await get_health(plan.url.replace("ws", "http", 1).removesuffix("/ws/transcribe"))
    yield Server(plan.url, plan.pid, runs or {})


async def _load(plan: Plan, server: Server, clips: list[Clip], sessions: int, console: Console) -> Load:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{sessions} sessions", total=sessions * len(clips) * plan.rounds)

        def advance(_: PlayedClip) -> None:
            progress.advance(bar)

        reply = plan.protocol == "parley" and not plan.no_reply
        return await run_load(
            PROTOCOLS[plan.protocol],
            server,
            clips,
            sessions=sessions,
            rounds=plan.rounds,
            reply=reply,
            on_played=advance,
        )


def _one_shot(plan: Plan, clips: list[Clip]) -> dict[str, str]:
    settings = read_settings()
    folder = model_folder(settings, plan.one_shot or finals_model(settings))
    if is_moonshine(folder):  # faster-whisper reads Whisper alone
        folder = model_folder(settings, "whisper-base")
    return OneShot(folder, beam_size=settings.beam_size, kept_in=plan.results.parent).transcribe(clips)


def _keep(
    plan: Plan, server: Server, busy: float, summaries: list[Summary], records: list[list[dict[str, object]]]
) -> None:
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "load_average_before": busy,
    }
    loads = [asdict(summary) | {"clips_played": played} for summary, played in zip(summaries, records, strict=True)]
    body = {"name": plan.name, "protocol": plan.protocol, "runs": server.runs, "machine": machine, "loads": loads}
    plan.results.parent.mkdir(parents=True, exist_ok=True)
    plan.results.write_bytes(msgspec.json.format(msgspec.json.encode(body)))
