"""Endpointing benchmark: WER and sentences cut against endpointing delay, for several lengths of silence.

Each speaker's clips are one session in virtual time: real audio, the real speech and end-of-turn
detectors, the real model for finals, the real `transition()`; engines have zero latency. What is left
is the endpointing delay. A sentence is cut where an utterance ends and the words so far end no
sentence of the reference.
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
from app.domain.dialog.endpointing import Endpointer, EndpointingRules, is_end_of_turn
from app.domain.dialog.speaker_pace import SpeakerPace
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.dialog.transitions import transition
from app.domain.ports import Transcriber, TurnDetector
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.runtime.dialog.effect_runner import TURN_AUDIO_BYTES
from app.runtime.jobs.batch_transcription import BatchTranscriber
from bench.clips import Clip, ManifestEntry, choose, load_clip, read_manifest
from bench.report import percentile
from bench.score import Errors, Scorer, load_scorer
from bench.sentences import ends_sentence, sentence_ends

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
    adaptive: bool = False
    """They follow the speaker."""

    def initial_state(self, pace: SpeakerPace) -> DialogState:
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
            adaptive_waits=self.adaptive,
        )
        return DialogState(turns, Endpointer(rules), speaker_pace=pace)

    def __str__(self) -> str:
        done = "-" if self.done is None else self.done
        adaptive = ", by the speaker" if self.adaptive else ""
        return (
            f"{done} / {self.complete} / {self.other} / {self.incomplete}, {self.reply_done} / {self.reply}{adaptive}"
        )


GRID = (
    SilenceRules(360, 500, 800),
    SilenceRules(700, 800, 1200),
    SilenceRules(612, 700, 1050, done=300),
    SilenceRules(700, 800, 1200, done=300),
    SilenceRules(700, 800, 1200, done=360),
    SilenceRules(560, 640, 960, done=300),
    SilenceRules(560, 640, 960, done=300, adaptive=True),
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
    ends: int
    """Utterances that ended before the last."""
    cut: int
    """Of them those that cut a sentence in two."""
    sounds_done: bool
    """The speaker was likely done at the end."""
    pace: SpeakerPace
    """At the end."""


async def sweep(
    folder: Path,
    count: int,
    grid: Sequence[SilenceRules],
    console: Console,
    *,
    with_long: bool,
    speakers: Sequence[str],
) -> None:
    """Print a row for each set of silence lengths; of speakers whose name begins so, or of all."""
    scorer = load_scorer(folder)
    known = [
        entry for entry in read_manifest(folder, long=with_long) if entry.speaker.startswith(tuple(speakers) or "")
    ]
    clips = [(entry, load_clip(folder, entry)) for entry in choose(known, count)]
    table = Table(
        "end of turn / complete / otherwise / incomplete, turn ms",
        *("WER", "finals a clip", "turns a clip", "ends inside", "sentences cut", "wait p50 / p95 s"),
        *("likely done", "not likely", "wasted finals"),
        box=None,
    )
    settings = read_settings()
    async with AsyncExitStack() as stack:
        batch = await stack.enter_async_context(open_batch_transcriber(settings))
        engines = Engines(batch, await stack.enter_async_context(open_turn_detector(settings)))
        for rules in grid:
            paces: dict[str, SpeakerPace] = {}
            results = []
            for entry, clip in track(clips, console=console, transient=True):
                pace = paces.get(entry.speaker, SpeakerPace())
                results.append(await run_clip(clip, entry, rules, engines, scorer, pace))
                paces[entry.speaker] = results[-1].pace
            total = sum((c.errors for c in results), Errors())
            table.add_row(
                str(rules),
                f"{100 * (total.rate or 0):.1f} %",
                f"{statistics.mean(c.finals for c in results):.1f}",
                f"{statistics.mean(c.turns for c in results):.1f}",
                f"{sum(c.ends for c in results)}",
                f"{sum(c.cut for c in results)}",
                *(_waits(results, done) for done in (None, True, False)),
                f"{sum(c.wasted for c in results)}",
            )
    console.print(table)


def _waits(results: Sequence[ClipResult], sounds_done: bool | None) -> str:
    """Percentiles of the wait in seconds, of all clips or of those whose speaker was likely done at the end, or not."""
    waited = [c.wait for c in results if c.wait is not None and sounds_done in (None, c.sounds_done)]
    return f"{percentile(waited, 50):.2f} / {percentile(waited, 95):.2f} ({len(waited)})" if waited else "-"


async def run_clip(
    clip: Clip, entry: ManifestEntry, rules: SilenceRules, engines: Engines, scorer: Scorer, pace: SpeakerPace
) -> ClipResult:
    """Run one clip, followed by three seconds of its room tone, through the dialog state machine.

    `pace` is what the session knows of its speaker from the clips before.
    """
    pcm = clip.pcm + clip.tone[: 2 * ms(3000)]
    state = rules.initial_state(pace)
    session = engines.session()
    starts: dict[int, int] = {}
    audio: dict[int, bytearray] = {}
    turn_audio = bytearray()
    shown: list[do.ShowFinal] = []
    ended, sounds_done = 0, False

    async def apply(state: DialogState, event: ev.Event) -> DialogState:
        nonlocal ended, sounds_done
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
                    sounds_done = is_end_of_turn(done, state.endpointer.rules)
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
    ends = sentence_ends(clip.text, [segment.text for segment in entry.segments])
    so_far = [" ".join(final.hypothesis.text for final in shown[:count]) for count in range(1, len(shown))]
    return ClipResult(
        errors,
        len(shown),
        wait if wait > 0 else None,
        turns,
        sum(f.wasted for f in shown),
        len(so_far),
        sum(not ends_sentence(words, clip.text, ends) for words in so_far),
        sounds_done,
        state.speaker_pace,
    )


async def _chunks(pcm: bytes, start: int = 0) -> AsyncGenerator[AudioChunk, None]:
    for chunk in split_audio(AudioChunk(pcm, start), ms(40)):
        yield chunk


def parsed(grid: Sequence[str]) -> list[SilenceRules]:
    """Parse `360/500/800` or `300/700/800/1200/600/1000`, with `+` behind it by the speaker. Raises UsageError."""
    try:
        return [
            replace(_rules([int(each) for each in row.rstrip("+").split("/")]), adaptive=row.endswith("+"))
            for row in grid
        ]
    except (ValueError, TypeError) as error:
        raise click.UsageError(
            "waits look like 360/500/800 (after a sentence, otherwise, after 'and'), with one more in front for "
            "a detected end of turn, and two more at the end for the turn: end of turn detected, otherwise"
        ) from error


def _rules(row: list[int]) -> SilenceRules:
    if len(row) == 3:
        complete, other, incomplete = row
        return SilenceRules(complete, other, incomplete)
    done, complete, other, incomplete, *turn = row
    if not turn:
        return SilenceRules(complete, other, incomplete, done)
    reply_done, reply = turn
    return SilenceRules(complete, other, incomplete, done, reply, reply_done)
