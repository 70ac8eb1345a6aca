"""Endpointing benchmark: WER against endpointing delay, for several lengths of silence.

A session in virtual time: real audio, the real speech and end-of-turn detectors, the real model
for finals, the real `transition()`; engines have zero latency. What is left is the endpointing delay.
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

from app.assembly.service import SCORE_PAUSE_AFTER_MS
from app.assembly.speech import open_batch_transcriber, open_turn_detector
from app.config import read_settings
from app.domain.audio import AudioChunk, ms, seconds, split_audio
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.dialog.transitions import transition
from app.domain.ports import Transcriber, TurnDetector
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.runtime.dialog.effect_runner import TURN_AUDIO_BYTES
from app.runtime.jobs.batch_transcription import BatchTranscriber
from bench.clips import Clip, choose, load_clip, read_manifest
from bench.report import percentile
from bench.score import Errors, Scorer, load_scorer

ROUTE = Route("local", Place.ON_PREM)


@dataclass(frozen=True, slots=True)
class SilenceRules:
    """Milliseconds of silence that end an utterance."""

    complete: int
    other: int
    incomplete: int
    done: int | None = None
    """At a detected end of turn; None: no end-of-turn detection."""
    reply: int = 1000
    """Silence that ends a turn."""
    reply_done: int = 500

    def initial_state(self) -> DialogState:
        rules = EndpointingRules(
            end_after_complete_ms=self.complete, end_after_ms=self.other, end_after_incomplete_ms=self.incomplete
        )
        if self.done is not None:
            rules = replace(rules, pause_after_ms=SCORE_PAUSE_AFTER_MS, end_after_likely_done_ms=self.done)
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
        return f"{done} / {self.complete} / {self.other} / {self.incomplete}, {self.reply_done} / {self.reply}"


GRID = (
    SilenceRules(360, 500, 800),
    SilenceRules(700, 800, 1200),
    SilenceRules(612, 700, 1050, done=300),
    SilenceRules(700, 800, 1200, done=300),
    SilenceRules(700, 800, 1200, done=360),
)


@dataclass(slots=True)
class Engines:
    """Engines of the benchmark. End-of-turn scores are cached; finals are not, because they depend on left context."""

    batch: BatchTranscriber
    turns: TurnDetector | None
    scores: dict[bytes, float] = field(default_factory=dict)

    def session(self) -> Transcriber:
        engine: Any = self.batch.transcriber
        session: Transcriber = engine.for_session()
        return session

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        assert self.turns is not None
        if pcm not in self.scores:
            self.scores[pcm] = await self.turns.end_of_turn_probability(pcm)
        return self.scores[pcm]


@dataclass(frozen=True, slots=True)
class ClipResult:
    """Result of one clip with one set of silence lengths."""

    errors: Errors
    finals: int
    wait: float | None
    """Seconds from the true end of speech to the last endpoint; None where that came before the end."""
    turns: int
    """Number of turns that ended; one is correct."""
    wasted: int


async def sweep(folder: Path, count: int, grid: Sequence[SilenceRules], console: Console) -> None:
    """Print a row for each set of silence lengths."""
    scorer = load_scorer(folder)
    clips = [load_clip(folder, entry) for entry in choose(read_manifest(folder), count)]
    table = Table(
        "end of turn / complete / otherwise / incomplete, turn ms",
        *("WER", "finals a clip", "turns a clip", "wait p50 / p95 s", "wasted finals"),
        box=None,
    )
    settings = read_settings()
    async with AsyncExitStack() as stack:
        batch = await stack.enter_async_context(open_batch_transcriber(settings))
        engines = Engines(batch, await stack.enter_async_context(open_turn_detector(settings)))
        for rules in grid:
            results = [
                await run_clip(clip, rules, engines, scorer) for clip in track(clips, console=console, transient=True)
            ]
            total = sum((c.errors for c in results), Errors())
            waited = [c.wait for c in results if c.wait is not None]
            table.add_row(
                str(rules),
                f"{100 * (total.rate or 0):.1f} %",
                f"{statistics.mean(c.finals for c in results):.1f}",
                f"{statistics.mean(c.turns for c in results):.1f}",
                f"{percentile(waited, 50):.2f} / {percentile(waited, 95):.2f}",
                f"{sum(c.wasted for c in results)}",
            )
    console.print(table)


async def run_clip(clip: Clip, rules: SilenceRules, engines: Engines, scorer: Scorer) -> ClipResult:
    """Run one clip, followed by three seconds of its room tone, through the dialog state machine."""
    pcm = clip.pcm + clip.tone[: 2 * ms(3000)]
    state = rules.initial_state()
    session = engines.session()
    starts: dict[int, int] = {}
    audio: dict[int, bytearray] = {}
    turn_audio = bytearray()
    shown: list[do.ShowFinal] = []
    ended = 0

    async def apply(state: DialogState, event: ev.Event) -> DialogState:
        nonlocal ended
        state, effects = transition(state, event)
        for effect in effects:
            match effect:
                case do.OpenUtterance(number, start):
                    starts[number], audio[number] = start, bytearray()
                case do.FeedUtterance(number, chunk):
                    audio[number] += chunk.pcm
                    turn_audio.extend(chunk.pcm)
                case do.ScoreEndOfTurn(number, revision):
                    done = await engines.end_of_turn_probability(bytes(turn_audio[-TURN_AUDIO_BYTES:]))
                    state = await apply(state, ev.EndOfTurnScored(number, revision, done))
                case do.StartFinal(number, revision):
                    utterance = session.transcribe(
                        _chunks(bytes(audio[number]), starts[number]), language=engines.batch.language
                    )
                    final = [each async for each in utterance][-1]
                    state = await apply(state, ev.FinalReceived(number, revision, final, ROUTE))
                case do.RequestDraft(number):
                    state = await apply(state, ev.DraftSkipped(number))
                case do.CloseUtterance():
                    ended = state.audio_end
                case do.ShowFinal():
                    shown.append(effect)
                case _:
                    pass
        return state

    async for scored in engines.batch.detector.score(_chunks(pcm)):
        state = await apply(state, ev.AudioReceived(scored))
    turns = state.turn - 1
    await apply(state, ev.ClientLeft())
    text = " ".join(final.hypothesis.text for final in shown)
    wait = seconds(ended) - clip.end
    errors = scorer.errors(clip.text, text)
    return ClipResult(errors, len(shown), wait if wait > 0 else None, turns, sum(f.wasted for f in shown))


async def _chunks(pcm: bytes, start: int = 0) -> AsyncGenerator[AudioChunk, None]:
    for chunk in split_audio(AudioChunk(pcm, start), ms(40)):
        yield chunk


def parsed(grid: Sequence[str]) -> list[SilenceRules]:
    """Parse `360/500/800` or `300/700/800/1200/600/1000`. Raises UsageError."""
    try:
        return [_rules([int(each) for each in row.split("/")]) for row in grid]
    except (ValueError, TypeError) as error:
        raise click.UsageError(
            "waits look like 360/500/800 (after a sentence, otherwise, after 'and'), with one more in front for "
            "a detected end of turn, and two more at the end for the turn: end of turn detected, otherwise"
        ) from error


def _rules(row: list[int]) -> SilenceRules:
    if len(row) == 3:
        return SilenceRules(*row)
    done, complete, other, incomplete, *turn = row
    return SilenceRules(
        complete, other, incomplete, done, **dict(zip(("reply_done", "reply"), turn, strict=True) if turn else ())
    )
