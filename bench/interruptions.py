"""Interruption benchmark: how soon a person stops a reply, and what else stops it.

Sessions in virtual time: a simulated room, the real detectors of speech, echo and end of turn, the real model for
drafts, the real `transition()`. A draft takes DRAFT_MS and a final FINAL_MS of virtual time.
"""

import heapq
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app import registry
from app.assembly.service import initial_state
from app.assembly.speech import drafts_model, finals_model, open_speech_engine, open_turn_detector
from app.config import Settings, read_settings
from app.domain.audio import SAMPLE_RATE, AudioChunk, ms, split_audio
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.interruption import OverlapVerdict
from app.domain.dialog.loudness import Loudness
from app.domain.dialog.state import DialogState
from app.domain.dialog.transitions import transition
from app.domain.ports import DraftTranscriber, SpeechSynthesizer, Transcriber, TurnDetector
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis, join
from app.models.resolve import resolve
from app.runtime.dialog.echo import observe_playback, score_near_end
from app.runtime.dialog.effect_runner import TURN_AUDIO_BYTES
from bench import overlap_sounds
from bench.detectors import chunked
from bench.overlap_sounds import Group, OverlapSound
from bench.report import percentile
from bench.rooms import Samples, at_level, microphone, pcm16
from providers.local.vad.echo import MelEchoDetector
from providers.local.vad.silero import SileroDetector, load_network
from providers.local.vad.speech_segments import SpeechFinder

DRAFT_MS, FINAL_MS, SCORE_MS = 120, 300, 30
"""Virtual time of a draft, a final and a score."""
IN_TIME_MS = 500
RAMP_MS = 20
"""What a client takes to fade out."""
TAIL_S = 1.6
"""Listened to behind the sound: the endpoint, the final, and a reply that goes on."""
VOICE = "piper-en_US-joe-medium"
ROUTE = Route("local", Place.ON_PREM)
PROMPTS = ("es", "fr")
"""Languages whose prompts are recorded interruptions, where there is a folder of them."""
ECHO_DB: tuple[float | None, ...] = (None, None, -30, -20, -12)
"""The reply's return under the sounds, one after the other; None: a headset."""


@dataclass(slots=True)
class Engines:
    """Results are kept, so that other rules can be tried on the same material."""

    drafter: dict[str, "DrafterFactory"]
    finals: dict[str, Transcriber]
    """Of each language, as the server of that language has it."""
    turns: TurnDetector
    detector: SileroDetector
    drafts: dict[tuple[bytes, str, str], str | None] = field(default_factory=dict)
    scores: dict[bytes, float] = field(default_factory=dict)
    texts: dict[tuple[bytes, str], str] = field(default_factory=dict)

    async def draft(self, session: DraftTranscriber, pcm: bytes, stable: str, language: str) -> str | None:
        """None where the engine does not trust its own text."""
        key = (pcm, stable, language)
        if key not in self.drafts:
            made = await session.draft(pcm, stable=stable, language=language)
            self.drafts[key] = None if made is None else made.text
        return self.drafts[key]

    async def final(self, pcm: bytes, language: str) -> str:
        async def utterance() -> AsyncGenerator[AudioChunk, None]:
            yield AudioChunk(pcm, 0)

        if (pcm, language) not in self.texts:
            async with aclosing(self.finals[language].transcribe(utterance(), language=language)) as hypotheses:
                self.texts[pcm, language] = join([one.text async for one in hypotheses if one.is_final])
        return self.texts[pcm, language]

    async def score(self, pcm: bytes) -> float:
        if pcm not in self.scores:
            self.scores[pcm] = await self.turns.end_of_turn_probability(pcm)
        return self.scores[pcm]


class DrafterFactory:
    """A speech engine, from which each session takes its own drafter."""

    def __init__(self, engine: object) -> None:
        self._engine = engine

    def session(self) -> DraftTranscriber:
        drafter: DraftTranscriber = self._engine.for_session()  # type: ignore[attr-defined]  # because a plug-in is Any
        return drafter


@dataclass(frozen=True, slots=True)
class Case:
    """One sound over one reply in one room."""

    sound: OverlapSound
    reply: "SpokenReply"
    at: int
    """The sound's first sample."""
    echo_db: float | None
    room: tuple[int, float]
    """Delay of the echo in samples, and the room's reverberation time in seconds."""
    seed: int
    is_first_reply: bool = False
    """Of the session: the echo's delay is not known yet."""


@dataclass(frozen=True, slots=True)
class SpokenReply:
    """A reply in pieces, each with its audio."""

    pieces: tuple[tuple[str, Samples], ...]

    @property
    def audio(self) -> Samples:
        return np.concatenate([audio for _, audio in self.pieces])


@dataclass(slots=True)
class Outcome:
    """When things happened, in ms from the sound's onset; None: they did not."""

    ducked_ms: float | None = None
    stopped_ms: float | None = None
    resumed_ms: float | None = None
    restored_ms: float | None = None
    verdicts: list[tuple[OverlapVerdict, int]] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class VirtualSession:
    """One session: what its effects order comes back as events, at the virtual time at which it would."""

    engines: Engines
    drafter: DraftTranscriber
    language: str
    state: DialogState
    echo: MelEchoDetector
    outcome: Outcome
    onset: int
    due: list[tuple[int, int, ev.Event]] = field(default_factory=list)
    audio: dict[int, bytearray] = field(default_factory=dict)
    turn_audio: bytearray = field(default_factory=bytearray)
    now: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    async def apply(self, event: ev.Event) -> None:
        self.state, effects = transition(self.state, event)
        for effect in effects:
            observe_playback(self.echo, effect, self.state.audio_end)
            await self._perform(effect)

    async def take(self, event: ev.AudioReceived) -> None:
        """A chunk of audio, behind all that was due before its end."""
        end = event.scored.chunk.end
        while self.due and self.due[0][0] <= end:
            self.now, _, earlier = heapq.heappop(self.due)
            await self.apply(earlier)
        self.now = end
        await self.apply(event)

    def _later(self, after_ms: int, event: ev.Event) -> None:
        heapq.heappush(self.due, (self.now + ms(after_ms), next(self._numbers), event))

    def _ms(self) -> float:
        return (self.now - self.onset) * 1000 / SAMPLE_RATE

    async def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.OpenUtterance(number):
                self.audio[number] = bytearray()
            case do.FeedUtterance(number, chunk):
                self.audio[number] += chunk.pcm
                self.turn_audio += chunk.pcm
            case do.RequestDraft(number, stable):
                text = await self.engines.draft(self.drafter, bytes(self.audio[number]), stable, self.language)
                self.outcome.texts.append(text)
                skipped = ev.DraftSkipped(number)
                self._later(DRAFT_MS, skipped if text is None else ev.DraftReceived(number, Hypothesis(text)))
            case do.ScoreEndOfTurn(number, revision):
                score = await self.engines.score(bytes(self.turn_audio[-TURN_AUDIO_BYTES:]))
                self._later(SCORE_MS, ev.EndOfTurnScored(number, revision, score))
            case do.StartFinal(number, revision):
                text = await self.engines.final(bytes(self.audio[number]), self.language)
                final = Hypothesis(text, is_final=True)
                self._later(FINAL_MS, ev.FinalReceived(number, revision, final, ROUTE))
            case _:
                self._observe(effect)

    def _observe(self, effect: do.Effect) -> None:
        outcome = self.outcome
        match effect:
            case do.DuckReply() if outcome.ducked_ms is None:
                outcome.ducked_ms = self._ms()
            case do.PauseReply() | do.ShowReplyCancelled() | do.StopPlayback() if outcome.stopped_ms is None:
                outcome.stopped_ms = self._ms()
            case do.ResumeReply():
                outcome.resumed_ms = self._ms()
            case do.RestoreReply():
                outcome.restored_ms = self._ms()
            case do.RecordOverlap(_, verdict, after_ms):
                outcome.verdicts.append((verdict, after_ms))
            case _:
                pass


async def run_case(case: Case, engines: Engines, settings: Settings) -> Outcome:
    """Play the reply, and the sound over it, to a session that has just begun to reply."""
    sound, rng, reply = case.sound, np.random.default_rng(case.seed), case.reply.audio
    length = case.at + len(sound.audio) + int(TAIL_S * SAMPLE_RATE)
    mixed = microphone(
        rng,
        np.pad(reply, (0, max(0, length - len(reply))))[:length],
        level_db=case.echo_db,
        delay=case.room[0],
        reverberation_s=case.room[1],
        over=(sound.audio, case.at),
    )[:length]
    state = initial_state(settings, ["demo"])
    rules = replace(state.rules, language=sound.language, may_pause=True, reply=True, speak=True)
    state = replace(state, rules=rules, loudness=Loudness(usual_db=_usual_db(sound)))
    drafter = engines.drafter[sound.language].session()
    echo = MelEchoDetector()
    lead = 0 if case.is_first_reply else await _lead(case, echo)
    session = VirtualSession(
        engines, drafter, sound.language, replace(state, audio_end=lead), echo, Outcome(), lead + case.at + sound.onset
    )
    await session.apply(ev.ClientRequestedSpeech(" ".join(text for text, _ in case.reply.pieces)))
    for text, audio in case.reply.pieces:
        await session.apply(ev.ReplyDeltaReceived(1, f"{text} "))
        await session.apply(ev.ReplyPieceBegun(1, text))
        for chunk in split_audio(AudioChunk(pcm16(audio), 0), ms(100)):
            await session.apply(ev.ReplyAudioReceived(1, chunk))
    scored = score_near_end(engines.detector, _from(lead, pcm16(mixed)), session.echo)
    async with aclosing(scored) as speech:
        async for one in speech:
            await session.take(ev.AudioReceived(one))
            if sound.group.is_interruption and session.outcome.stopped_ms is not None:
                break
    return session.outcome


async def _lead(case: Case, echo: MelEchoDetector) -> int:
    """An earlier reply in the same room, from which the echo's delay is known. Returns the samples that it took."""
    earlier = np.concatenate([audio for _, audio in case.reply.pieces[:2]])
    mixed = microphone(
        np.random.default_rng([case.seed, 1]),
        earlier,
        level_db=case.echo_db,
        delay=case.room[0],
        reverberation_s=case.room[1],
    )
    echo.play(pcm16(earlier), 0)
    async for chunk in chunked(pcm16(mixed)):
        echo.near_end(chunk)
    return len(mixed)


async def _from(start: int, pcm: bytes) -> AsyncGenerator[AudioChunk, None]:
    async for chunk in chunked(pcm):
        yield AudioChunk(chunk.pcm, start + chunk.start)


def _usual_db(sound: OverlapSound) -> float:
    """The mean level of a person's turns: that of the sound's loud half, at a person's level."""
    frames = sound.audio[: len(sound.audio) // 512 * 512].reshape(-1, 512).astype(np.float64)
    if not len(frames):
        return overlap_sounds.PERSON_DB
    levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    return float(np.mean(np.sort(levels)[len(levels) // 2 :])) - sound.relative_db


def cases(sounds: Sequence[OverlapSound], replies: Sequence[SpokenReply], seed: int) -> list[Case]:
    """Each sound over one of the replies at a random moment; one of five with each level of echo."""
    rng = np.random.default_rng(seed)
    made = []
    for number, sound in enumerate(sounds):
        reply = replies[number % len(replies)]
        at, delay = int(rng.integers(3 * SAMPLE_RATE, 8 * SAMPLE_RATE)), int(rng.integers(800, 6400))
        echo_db = ECHO_DB[int(rng.integers(len(ECHO_DB)))]
        made.append(Case(sound, reply, at, echo_db, (delay, float(rng.uniform(0.2, 0.5))), number))
    return made


def echo_cases(replies: Sequence[SpokenReply], seed: int) -> list[Case]:
    """Nobody says a word: the reply alone comes back, for ten seconds."""
    rng = np.random.default_rng(seed)
    made = []
    silence = np.zeros(SAMPLE_RATE, np.float32)
    for number in range(4 * 6):
        pieces = replies[number % len(replies)].pieces
        first = number % len(pieces)  # because the echo's delay is found in the first second or two
        reply = SpokenReply((*pieces[first:], *pieces[:first]))
        level = (-6.0, -12.0, -20.0, -30.0)[number // 2 % 4]
        is_first = number % 2 == 0
        sound = OverlapSound(f"echo {level} {number}", Group.FIRST_ECHO if is_first else Group.ECHO, "en", silence)
        room = (int(rng.integers(800, 6400)), float(rng.uniform(0.2, 0.5)))
        made.append(Case(sound, reply, 9 * SAMPLE_RATE, level, room, number, is_first))
    return made


async def load_replies(voice: SpeechSynthesizer) -> list[SpokenReply]:
    """Each sentence by the voice of the server."""

    async def one(text: str) -> AsyncGenerator[str, None]:
        yield text

    async def spoken(text: str) -> Samples:
        async with aclosing(voice.synthesize(one(text))) as chunks:
            return at_level(b"".join([chunk.pcm async for chunk in chunks]))

    return [SpokenReply(tuple([(text, await spoken(text)) for text in texts])) for texts in overlap_sounds.REPLIES]


def all_sounds(folder: Path, finder: SpeechFinder, prompts: Path | None = None) -> list[OverlapSound]:
    """In a fixed order, so that the halves are always the same."""
    rng = np.random.default_rng(1)
    return [
        *overlap_sounds.recorded_interruptions(folder, finder),
        *overlap_sounds.recorded_backchannels(folder),
        *(sound for language in overlap_sounds.VOICES for sound in overlap_sounds.spoken(language)),
        *overlap_sounds.hums(rng),
        *overlap_sounds.coughs(rng),
        *overlap_sounds.noises(folder),
        *(sound for language in PROMPTS if prompts for sound in overlap_sounds.prompts(prompts, language)),
    ]


Results = list[tuple[Case, Outcome]]


async def measure(folder: Path, half: str, step: int, seed: int, console: Console, prompts: Path | None = None) -> None:
    """Print the table of one half of the material, or of every `step`-th sound of it."""
    network = load_network()
    to_choose, to_report = overlap_sounds.halves(all_sounds(folder, SpeechFinder(network), prompts))
    settings = read_settings()
    async with AsyncExitStack() as stack:
        engines = await open_engines(stack, settings, SileroDetector(network))
        voice = await stack.enter_async_context(
            registry.opened(registry.SYNTHESIZERS, "piper", model=resolve(VOICE, settings.models_dir))
        )
        replies = await load_replies(voice)
        chosen = (to_report if half == "report" else to_choose)[::step]
        played = [*cases(chosen, replies, seed), *echo_cases(replies, seed)[::step]]
        results = [
            (case, await run_case(case, engines, settings)) for case in track(played, console=console, transient=True)
        ]
    console.print(table(results))
    for line in summary(results):
        console.print(line)


async def open_engines(stack: AsyncExitStack, settings: Settings, detector: SileroDetector) -> Engines:
    """The models that a server with these settings has, for each language of the material."""
    drafters, finals = {}, {}
    for language in dict.fromkeys((*overlap_sounds.VOICES, *PROMPTS)):
        spoken = settings.model_copy(update={"language": language})
        drafters[language] = DrafterFactory(
            await stack.enter_async_context(open_speech_engine(spoken, drafts_model(spoken), 1))
        )
        engine = await stack.enter_async_context(open_speech_engine(spoken, finals_model(spoken), 1))
        finals[language] = engine.for_session()
    turns = await stack.enter_async_context(open_turn_detector(settings))
    assert turns is not None
    return Engines(drafters, finals, turns, detector)


def table(results: Results) -> Table:
    """A row for each group and language."""
    columns = ("quieter", "stopped", "within 500 ms", "onset to stop p50 / p95 ms", "went on after a stop")
    rows = Table("over the reply", "language", "sounds", *columns, box=None)
    for group, language in dict.fromkeys((case.sound.group, case.sound.language) for case, _ in results):
        of_row = [o for case, o in results if (case.sound.group, case.sound.language) == (group, language)]
        stops = [o.stopped_ms for o in of_row if o.stopped_ms is not None]
        times = f"{percentile(stops, 50):.0f} / {percentile(stops, 95):.0f}" if stops and group.is_interruption else ""
        rows.add_row(
            group,
            language,
            f"{len(of_row)}",
            f"{sum(o.ducked_ms is not None for o in of_row)}",
            f"{len(stops)}",
            f"{sum(stop <= IN_TIME_MS for stop in stops)}" if group.is_interruption else "",
            times,
            f"{sum(o.resumed_ms is not None for o in of_row)}",
        )
    return rows


def share(count: int, of: int) -> str:
    """A share in percent, with its 95 % confidence interval (Wilson)."""
    z, p = 1.96, count / of
    middle, spread = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = (max(0.0, middle + sign * spread) / (1 + z * z / of) for sign in (-1, 1))
    return f"{100 * p:.1f} % ({100 * low:.1f} to {100 * high:.1f}; {count} of {of})"


def _middle(times: Sequence[float]) -> str:
    return f"{percentile(times, 50) or 0:.0f} / {percentile(times, 95) or 0:.0f}"


def summary(results: Results) -> list[str]:
    """Recall, precision and false stops in words."""
    meant = [o for case, o in results if case.sound.group.is_interruption]
    others = [o for case, o in results if not case.sound.group.is_interruption]
    stopped = [o.stopped_ms for o in meant if o.stopped_ms is not None]
    wrong = [o for o in others if o.stopped_ms is not None]
    lost = [o for o in wrong if o.resumed_ms is None]
    paused = [o.resumed_ms - o.stopped_ms for o in wrong if o.resumed_ms is not None and o.stopped_ms is not None]
    quiet = [stop + RAMP_MS for stop in stopped]
    in_time = sum(stop <= IN_TIME_MS for stop in stopped)
    return [
        f"recall: {share(len(stopped), len(meant))}, in {IN_TIME_MS} ms {share(in_time, len(meant))}",
        f"false stops: {share(len(wrong), len(others))}; of which {len(paused)} went on, after {_middle(paused)} ms",
        f"replies lost to what is no interruption: {share(len(lost), len(others))}",
        f"precision: {100 * len(stopped) / max(1, len(stopped) + len(wrong)):.1f} %",
        f"onset to silence: p50 {percentile(quiet, 50) or 0:.0f} ms, p95 {percentile(quiet, 95) or 0:.0f} ms",
    ]
