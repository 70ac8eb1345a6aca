"""How long to wait for an endpoint: words lost to early cuts against time lost to waiting.

A session in virtual time: real audio, the real detectors of speech and of turns, the real model
for finals, the real `step()`; engines answer in no time at all. What is left is the wait itself.
"""

import statistics
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.assembly.service import JUDGED_AFTER_MS
from app.assembly.speech import open_batch_transcriber, open_turn_detector
from app.config import read_settings
from app.domain.audio import AudioChunk, ms, seconds
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.dialog.transitions import transition
from app.domain.ports import Transcriber, TurnDetector
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.runtime.dialog.effect_runner import TURN_AUDIO_BYTES
from app.runtime.jobs.upload import BatchTranscriber
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.report import percentile
from bench.score import Errors, Scorer, load_scorer

ROUTE = Route("local", Place.ON_PREM)


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds of silence that end an utterance."""

    complete: int
    other: int
    opened: int
    done: int | None = None
    """Behind someone who sounds done; None: nobody listens for that."""
    reply: int = 1000
    """Those that end a turn."""
    reply_done: int = 500

    def floor(self) -> DialogState:
        rules = EndpointingRules(
            end_after_complete_ms=self.complete, end_after_ms=self.other, end_after_incomplete_ms=self.opened
        )
        if self.done is not None:
            rules = replace(rules, pause_after_ms=JUDGED_AFTER_MS, end_after_likely_done_ms=self.done)
        turns = TurnRules(
            reply=False,
            language="en",
            score_end_of_turn=self.done is not None,
            reply_after_ms=self.reply,
            confident_reply_after_ms=self.reply_done,
        )
        return DialogState(turns, Endpointer(rules))

    def __str__(self) -> str:
        done = "-" if self.done is None else self.done
        return f"{done} / {self.complete} / {self.other} / {self.opened}, {self.reply_done} / {self.reply}"


GRID = (
    Waits(360, 500, 800),
    Waits(700, 800, 1200),
    Waits(612, 700, 1050, done=300),
    Waits(700, 800, 1200, done=300),
    Waits(700, 800, 1200, done=360),
)


@dataclass(slots=True)
class Ears:
    """What is heard. Finals are heard anew in every row, because they hear what their session said before."""

    scribe: BatchTranscriber
    turns: TurnDetector | None
    judged: dict[bytes, float] = field(default_factory=dict)

    def session(self) -> Transcriber:
        engine: Any = self.scribe.transcriber
        session: Transcriber = engine.for_session()
        return session

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        assert self.turns is not None
        if pcm not in self.judged:
            self.judged[pcm] = await self.turns.end_of_turn_probability(pcm)
        return self.judged[pcm]


@dataclass(frozen=True, slots=True)
class Cut:
    """What one set of waits did to one clip."""

    errors: Errors
    finals: int
    wait: float | None
    """Seconds from the true end of speech to the last endpoint; None where that came before the end."""
    turns: int
    """Times the turn was thought to be over; once is right."""
    wasted: int


async def sweep(folder: Path, count: int, grid: Sequence[Waits], console: Console) -> None:
    """Print a row for each set of waits."""
    scorer = load_scorer(folder)
    clips = [load_clip(folder, entry) for entry in choose(read_manifest(folder), count)]
    table = Table(
        "done / complete / else / open, turn ms",
        *("WER", "finals a clip", "turns a clip", "wait p50 / p95 s", "wasted finals"),
        box=None,
    )
    settings = read_settings()
    async with AsyncExitStack() as stack:
        scribe = await stack.enter_async_context(open_batch_transcriber(settings))
        ears = Ears(scribe, await stack.enter_async_context(open_turn_detector(settings)))
        for waits in grid:
            cuts = [await cut(clip, waits, ears, scorer) for clip in track(clips, console=console, transient=True)]
            total = sum((c.errors for c in cuts), Errors())
            waited = [c.wait for c in cuts if c.wait is not None]
            table.add_row(
                str(waits),
                f"{100 * (total.rate or 0):.1f} %",
                f"{statistics.mean(c.finals for c in cuts):.1f}",
                f"{statistics.mean(c.turns for c in cuts):.1f}",
                f"{percentile(waited, 50):.2f} / {percentile(waited, 95):.2f}",
                f"{sum(c.wasted for c in cuts)}",
            )
    console.print(table)


async def cut(clip: Clip, waits: Waits, ears: Ears, scorer: Scorer) -> Cut:
    """One clip, spoken into a room that is as quiet behind it as before."""
    pcm = clip.pcm + clip.tone[: 2 * ms(3000)]
    floor = waits.floor()
    session = ears.session()
    begun: dict[int, int] = {}
    heard: dict[int, bytearray] = {}
    said = bytearray()
    shown: list[do.ShowFinal] = []
    ended = 0

    async def obey(floor: DialogState, event: ev.Event) -> DialogState:
        nonlocal ended
        floor, effects = transition(floor, event)
        for effect in effects:
            match effect:
                case do.OpenUtterance(number, start):
                    begun[number], heard[number] = start, bytearray()
                case do.FeedUtterance(number, chunk):
                    heard[number] += chunk.pcm
                    said.extend(chunk.pcm)
                case do.ScoreEndOfTurn(number, revision):
                    done = await ears.end_of_turn_probability(bytes(said[-TURN_AUDIO_BYTES:]))
                    floor = await obey(floor, ev.EndOfTurnScored(number, revision, done))
                case do.StartFinal(number, revision):
                    utterance = session.transcribe(
                        _chunks(bytes(heard[number]), begun[number]), language=ears.scribe.language
                    )
                    final = [each async for each in utterance][-1]
                    floor = await obey(floor, ev.FinalReceived(number, revision, final, ROUTE))
                case do.RequestDraft(number):
                    floor = await obey(floor, ev.DraftSkipped(number))
                case do.CloseUtterance():
                    ended = floor.audio_end
                case do.ShowFinal():
                    shown.append(effect)
                case _:
                    pass
        return floor

    async for scored in ears.scribe.detector.score(_chunks(pcm)):
        floor = await obey(floor, ev.AudioReceived(scored))
    turns = floor.turn - 1
    await obey(floor, ev.ClientLeft())
    text = " ".join(final.hypothesis.text for final in shown)
    wait = seconds(ended) - clip.end
    errors = scorer.errors(clip.text, text)
    return Cut(errors, len(shown), wait if wait > 0 else None, turns, sum(f.wasted for f in shown))


async def _chunks(pcm: bytes, start: int = 0) -> AsyncGenerator[AudioChunk, None]:
    for at in range(0, len(pcm), 2 * ms(40)):
        yield AudioChunk(pcm[at : at + 2 * ms(40)], start + at // 2)


def parsed(grid: Sequence[str]) -> list[Waits]:
    """`360/500/800` or `300/700/800/1200/600/1000` as waits. Raises UsageError."""
    try:
        return [_waits([int(each) for each in row.split("/")]) for row in grid]
    except (ValueError, TypeError) as error:
        raise click.UsageError(
            "waits look like 360/500/800 (behind a whole sentence, else, behind 'and'), with one more in front for "
            "someone who sounds done, and two more behind for the end of the turn: sounds done, else"
        ) from error


def _waits(row: list[int]) -> Waits:
    if len(row) == 3:
        return Waits(*row)
    done, complete, other, opened, *turn = row
    return Waits(complete, other, opened, done, **dict(zip(("reply_done", "reply"), turn, strict=True) if turn else ()))
