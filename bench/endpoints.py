"""How long to wait for an endpoint: words lost to early cuts against time lost to waiting.

A session in virtual time: real audio, the real detector and the real model for finals,
the real `step()`; engines answer in no time at all. What is left is the wait itself.
"""

import statistics
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.assembly.speech import open_scribe
from app.config import read_settings
from app.domain import effects as do
from app.domain import events as ev
from app.domain.audio import AudioChunk, ms, seconds
from app.domain.endpointing import Endpointer, EndpointingRules
from app.domain.floor import Floor, TurnRules
from app.domain.route import Place, Route
from app.domain.transcript import Hypothesis
from app.domain.turn_taking import step
from app.runtime.ingest import Scribe
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.report import percentile
from bench.score import Errors, Scorer, load_scorer

ROUTE = Route("local", Place.ON_PREM)
GRID: tuple[tuple[int, int, int], ...] = (
    (360, 500, 800),
    (360, 600, 1000),
    (450, 600, 900),
    (550, 700, 1000),
    (700, 800, 1200),
)
"""end_after_complete_ms, end_after_ms, end_after_open_ms."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What one set of waits did to one clip."""

    errors: Errors
    finals: int
    wait: float | None
    """Seconds from the true end of speech to the last endpoint; None where that came before the end."""
    wasted: int


async def sweep(folder: Path, count: int, grid: Sequence[tuple[int, int, int]], console: Console) -> None:
    """Print a row for each set of waits."""
    scorer = load_scorer(folder)
    clips = [load_clip(folder, entry) for entry in choose(read_manifest(folder), count)]
    table = Table("complete / else / open ms", "WER", "finals a clip", "wait p50 / p95 s", "wasted finals", box=None)
    async with open_scribe(read_settings()) as scribe:
        for complete, other, opened in grid:
            rules = EndpointingRules(end_after_complete_ms=complete, end_after_ms=other, end_after_open_ms=opened)
            cuts = [await cut(clip, rules, scribe, scorer) for clip in track(clips, console=console, transient=True)]
            total = sum((c.errors for c in cuts), Errors())
            waits = [c.wait for c in cuts if c.wait is not None]
            table.add_row(
                f"{complete} / {other} / {opened}",
                f"{100 * (total.rate or 0):.1f} %",
                f"{statistics.mean(c.finals for c in cuts):.1f}",
                f"{percentile(waits, 50):.2f} / {percentile(waits, 95):.2f}",
                f"{sum(c.wasted for c in cuts)}",
            )
    console.print(table)


async def cut(clip: Clip, rules: EndpointingRules, scribe: Scribe, scorer: Scorer) -> Cut:
    """One clip, spoken into a room that is as quiet behind it as before."""
    pcm = clip.pcm + clip.tone[: 2 * ms(3000)]
    floor = Floor(TurnRules(reply=False, language="en"), Endpointer(rules))
    heard: dict[int, bytearray] = {}
    shown: list[do.ShowFinal] = []
    ended = 0

    async def obey(floor: Floor, event: ev.Event) -> Floor:
        nonlocal ended
        floor, effects = step(floor, event)
        for effect in effects:
            match effect:
                case do.OpenUtterance(number):
                    heard[number] = bytearray()
                case do.FeedUtterance(number, chunk):
                    heard[number] += chunk.pcm
                case do.StartFinal(number, revision):
                    final = await _final(bytes(heard[number]), scribe)
                    floor = await obey(floor, ev.FinalReceived(number, revision, final, ROUTE))
                case do.RequestDraft(number):
                    floor = await obey(floor, ev.DraftSkipped(number))
                case do.CloseUtterance():
                    ended = floor.heard
                case do.ShowFinal():
                    shown.append(effect)
                case _:
                    pass
        return floor

    async for scored in scribe.detector.score(_once(pcm)):
        floor = await obey(floor, ev.AudioHeard(scored))
    await obey(floor, ev.ClientLeft())
    text = " ".join(final.hypothesis.text for final in shown)
    wait = seconds(ended) - clip.end
    return Cut(scorer.errors(clip.text, text), len(shown), wait if wait > 0 else None, sum(f.wasted for f in shown))


async def _final(pcm: bytes, scribe: Scribe) -> Hypothesis:
    answers = [h async for h in scribe.transcriber.transcribe(_once(pcm), language=scribe.language)]
    return replace(answers[-1], is_final=True)


async def _once(pcm: bytes) -> AsyncGenerator[AudioChunk, None]:
    for at in range(0, len(pcm), 2 * ms(40)):
        yield AudioChunk(pcm[at : at + 2 * ms(40)], at // 2)


def parsed(grid: Sequence[str]) -> list[tuple[int, int, int]]:
    """`360/500/800` as numbers. Raises UsageError."""
    try:
        return [(int(a), int(b), int(c)) for a, b, c in (waits.split("/") for waits in grid)]
    except ValueError as error:
        raise click.UsageError("waits look like 360/500/800: after a whole sentence, else, after 'and'") from error
