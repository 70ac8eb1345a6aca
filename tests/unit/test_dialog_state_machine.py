"""Transitions and their EffectRunner together, in one real session, under random events in random order.

Engines answer when a rule says so, and time passes when a rule says so. At the end of each run the promises of the
dialog are checked on everything that the session did.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, field

import anyio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.errors import ClientError, ClientFault, ParleyError, ProviderBusy, ProviderDown
from app.domain.interruption_mode import InterruptionMode
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis
from app.domain.turn_mode import TurnMode
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.session import Incoming, run_session
from app.runtime.dialog.turn_trace import TurnTrace
from tests.fakes import SILENCE, SPEECH, EagerClock, ScriptedDetector, ScriptedSynthesizer
from tests.unit.playing import LOCAL, assert_turn_events_in_order

FAILURE = ProviderDown("local", "asked to fail")
STAGES = ["speaking", "paused", "transcribed", "ended", "answered", "begun", "complete"]
"""Of a turn: how far it has come."""
TEXTS = ["", "mm-hm", "and so my fellow", "What is the time?"]
DEADLINE_MS = 3000.0


@dataclass
class Steps:
    """What an engine is to do next, one step at a time; it waits for the next."""

    steps: deque[str | ParleyError | None] = field(default_factory=deque)
    more: anyio.Event = field(default_factory=anyio.Event)

    def add(self, step: str | ParleyError | None) -> None:
        self.steps.append(step)
        self.more.set()

    async def take(self) -> str | None:
        while not self.steps:
            self.more = anyio.Event()
            await self.more.wait()
        if isinstance(step := self.steps.popleft(), ParleyError):
            raise step
        return step


@dataclass
class SteppedPending:
    """A pending final: it reads all its audio, then waits for its step."""

    live: bool
    attempts: list[Steps]
    """Transcriptions under way, of all utterances."""
    running: int = 0
    """Of this one."""
    route: Route = LOCAL
    is_complete: bool = False
    shown: int = 0
    refuses_live: bool = False

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        attempt = Steps()
        self.attempts.append(attempt)
        self.running += 1
        try:
            async for _ in utterance:
                if self.live and self.refuses_live:
                    raise FAILURE
            if not self.live and not self.is_complete and self.refuses_live:
                raise ProviderBusy("local", "waits for the end of the utterance")
            yield Hypothesis(await attempt.take() or "", is_final=True)
        finally:
            self.attempts.remove(attempt)
            self.running -= 1

    def update_draft(self, text: str) -> None:
        """Nothing compares it."""

    def expect(self, key_terms: Sequence[str]) -> None:
        """It understands them all."""

    def restrict_to_on_prem(self) -> None:
        """It is on the premises."""

    def stop_live(self) -> None:
        self.live = False

    def confirm_endpoint(self) -> None:
        assert not self.is_complete
        self.is_complete = True

    def record_shown(self, final: Hypothesis, route: Route | None) -> None:
        self.shown += 1


@dataclass
class SteppedEngines:
    """Finals, drafts, scores and replies, as the newest rule wants them."""

    is_live: bool = False
    refuses_live: bool = False
    draft: str | ParleyError | None = "and so my fellow"
    probability: float = 0.9
    spare: bool = False
    deadline_ms: float = DEADLINE_MS
    pending: list[SteppedPending] = field(default_factory=list)
    attempts: list[Steps] = field(default_factory=list)
    """Transcriptions under way."""
    replies: list[Steps] = field(default_factory=list)
    """Replies being generated."""

    def open(
        self,
        utterance: int,
        language: str | None,
        residency: Residency,
        deadline_ms: float | None = None,
        key_terms: tuple[str, ...] = (),
        vocabulary: str | None = None,
    ) -> SteppedPending:
        self.pending.append(SteppedPending(self.is_live, self.attempts, refuses_live=self.refuses_live))
        return self.pending[-1]

    async def end_of_turn_probability(self, pcm: bytes) -> float:
        await anyio.lowlevel.checkpoint()
        return self.probability

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        run = Steps()
        self.replies.append(run)
        try:
            while (delta := await run.take()) is not None:
                yield delta
        finally:
            self.replies.remove(run)


@dataclass
class SteppedDrafter:
    engines: SteppedEngines

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        await anyio.lowlevel.checkpoint()
        if isinstance(self.engines.draft, ParleyError):
            raise self.engines.draft
        return None if self.engines.draft is None else Hypothesis(self.engines.draft)


class Client:
    """Sends what the rules send."""

    def __init__(self) -> None:
        self.send, self.received = anyio.create_memory_object_stream[Incoming](10_000)

    async def incoming(self) -> AsyncIterator[Incoming]:
        async for item in self.received:
            yield item

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        """The effects are watched, not the client."""

    def acknowledge(self, samples: int) -> None:
        """Nothing is recorded."""


@dataclass
class Watch:
    """The session's recorder and its telemetry: sees every event, and the effects of each step."""

    steps: list[list[do.Effect]] = field(default_factory=list)
    trace: TurnTrace = field(default_factory=lambda: TurnTrace("session"))

    def observe_event(self, event: ev.Event) -> None:
        self.steps.append([])

    def observe_effect(self, effect: do.Effect) -> None:
        self.steps[-1].append(effect)

    def consent(self, keeps: bool) -> bool:
        return True

    async def write_audio(self, chunk: AudioChunk) -> None:
        await anyio.lowlevel.checkpoint()

    def record(self, effect: do.Effect, ttfs_ms: int | None) -> None:
        """Watched already."""


async def settle() -> None:
    """Until every other task waits for something."""
    quiet = 0
    while quiet < 3:
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        waiters = [task._fut_waiter for task in others]  # type: ignore[attr-defined]
        quiet = quiet + 1 if all(waiter is not None and not waiter.done() for waiter in waiters) else 0


class DialogUnderRandomEvents(RuleBasedStateMachine):
    """One session; each rule is something that a client, an engine or the clock may do at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.engines, self.client, self.watch, self.clock = SteppedEngines(), Client(), Watch(), EagerClock()
        self.at, self.has_left, self.ending = 0, False, "silent"
        engines = Engines(
            ScriptedDetector(),
            self.engines,
            SteppedDrafter(self.engines),
            self.engines,
            ScriptedSynthesizer(),
            self.engines,
            lambda: self.engines.spare,
        )
        # Short limits, so that a run of some dozen rules comes to every place.
        endpointing = EndpointingRules(pause_after_ms=100, max_utterance_ms=4000, soft_max_utterance_ms=2500)
        state = DialogState(
            TurnRules(score_end_of_turn=True, events=True, adaptive_waits=True), Endpointer(endpointing)
        )
        session = run_session(self.client, engines, state, clock=self.clock, recorder=self.watch, telemetry=self.watch)
        self.session = self.loop.create_task(session)
        await settle()

    def _do(self, *items: Incoming | bytes) -> None:
        """The client sends these, and everybody does what follows from it."""

        async def send() -> None:
            for item in items:
                if isinstance(item, bytes):
                    self.client.send.send_nowait(chunk := AudioChunk(item, self.at))
                    self.at = chunk.end
                else:
                    self.client.send.send_nowait(item)
            await settle()

        self.loop.run_until_complete(send())

    # -- the client ---------------------------------------------------------------

    @precondition(lambda self: not self.has_left)
    @rule(speech=st.integers(0, 30), silence=st.sampled_from([0, 2, 4, 7, 12, 20, 40]))
    def audio(self, speech: int, silence: int) -> None:
        """Up to 900 ms of speech, then perhaps a pause, an endpoint or the end of a turn."""
        self._do(*[SPEECH] * speech, *[SILENCE] * silence)

    @precondition(lambda self: not self.has_left)
    @rule(
        message=st.sampled_from(
            [
                ev.ClientEnded(),
                ev.ClientCancelled(),
                ev.ClientCleared(),
                ev.ClientRequestedSpeech("Welcome. Sit down."),
                ev.ClientSentText("What is the time?"),
                ev.ClientSentText("yes"),
                ev.ClientConfigured(conversation="c1"),
                ev.ClientConfigured(key_terms=("Siobhan",)),
                ev.ClientDetached(),
                ev.ClientReturned(),
                ev.ClientPlayed(1, 1600),
                ev.ClientPlayed(2, 10**9),
                *(ev.ClientConfigured(turns=mode) for mode in TurnMode),
                ev.ClientConfigured(silence_ms=300),
                ev.ClientConfigured(may_pause=True),
                *(ev.ClientConfigured(interruptions=mode) for mode in InterruptionMode),
                ev.ClientConfigured(reply=False),
                ev.ClientConfigured(reply=True),
                ev.ClientConfigured(speak=False),
                ev.ClientConfigured(residency=Residency.ON_PREM_ONLY),
                ev.ClientErrorDetected(ClientError(ClientFault.BAD_PACKET, "too short")),
            ]
        ),
        speech=st.sampled_from([0, 0, 10]),
    )
    def message(self, message: Incoming, speech: int) -> None:
        """A message, perhaps right behind speech."""
        self._do(*[SPEECH] * speech, message)

    @precondition(lambda self: not self.has_left and len(self.watch.steps) > 200)
    @rule(speech=st.sampled_from([0, 10]), silence=st.sampled_from([0, 5]))
    def leave(self, speech: int, silence: int) -> None:
        """The client disconnects: in silence, in mid-speech or in a pause."""
        self._do(*[SPEECH] * speech, *[SILENCE] * silence)
        self._leave()

    def _leave(self) -> None:
        self.has_left = True
        self.client.send.close()
        self._do()

    @initialize(ending=st.sampled_from(["silent", *STAGES]))
    def ends(self, ending: str) -> None:
        """How far the last turn is when the client leaves."""
        self.ending = ending

    @precondition(lambda self: not self.has_left)
    @rule(until=st.sampled_from(STAGES))
    def turn(self, until: str) -> None:
        """A turn as turns usually go, up to here."""
        self._turn(until)

    def _turn(self, until: str) -> None:
        self._do(*[SPEECH] * 15)
        if until == "speaking":
            return
        self._do(*[SILENCE] * 6)
        if until == "paused":
            return
        self._finals("What is the time?")
        if until == "transcribed":
            return
        self._do(*[SILENCE] * 12)
        if until == "ended":
            return
        self._do(*[SILENCE] * 30)
        self._finals("What is the time?")
        for step in {"begun": ["It is "], "complete": ["It is ", "noon.", None]}.get(until, []):
            if self.engines.replies:
                self.engines.replies[-1].add(step)
        self._do()

    # -- the engines --------------------------------------------------------------

    @rule(draft=st.sampled_from([*TEXTS, None, FAILURE]))
    def next_drafts(self, draft: str | ParleyError | None) -> None:
        self.engines.draft = draft

    @rule(probability=st.sampled_from([0.1, 0.6, 0.95]), spare=st.booleans())
    def next_scores(self, probability: float, spare: bool) -> None:
        self.engines.probability, self.engines.spare = probability, spare

    @rule(is_live=st.booleans(), refuses_live=st.booleans())
    def next_finals(self, is_live: bool, refuses_live: bool) -> None:
        """A route that refuses live audio refuses speculation as well."""
        self.engines.is_live, self.engines.refuses_live = is_live, refuses_live
        for pending in self.engines.pending:
            pending.refuses_live = refuses_live

    @precondition(lambda self: self.engines.attempts)
    @rule(result=st.sampled_from([*TEXTS, FAILURE]), newest=st.booleans())
    def final(self, result: str | ParleyError, newest: bool) -> None:
        self.engines.attempts[-1 if newest else 0].add(result)
        self._do()

    @precondition(lambda self: self.engines.replies)
    @rule(steps=st.lists(st.sampled_from(["It is noon. ", "I think ", None, FAILURE]), min_size=1, max_size=3))
    def reply(self, steps: list[str | ParleyError | None]) -> None:
        for step in steps:
            self.engines.replies[-1].add(step)
        self._do()

    def _finals(self, text: str) -> None:
        """Every transcription under way comes to this."""
        for attempt in self.engines.attempts:
            attempt.add(text)
        self._do()

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.1, 2.0]))
    def time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._do()

    # -- the promises -------------------------------------------------------------

    @property
    def effects(self) -> list[do.Effect]:
        return [effect for step in self.watch.steps for effect in step]

    @invariant()
    def the_session_has_not_failed(self) -> None:
        if self.session.done():
            assert self.session.exception() is None
            assert self.has_left

    def no_reply_is_started_and_cancelled_in_one_step(self) -> None:
        for step in self.watch.steps:
            started = {e.reply for e in step if isinstance(e, do.StartReply | do.StartSpeakingText)}

            assert not started & {e.reply for e in step if isinstance(e, do.CancelReply)}

    def a_reply_ends_once_and_nothing_of_it_follows(self) -> None:
        started: set[int] = set()
        ended: dict[int, type] = {}
        interrupted: set[int] = set()
        paused: set[int] = set()
        for effect in self.effects:
            match effect:
                case do.ShowReplyStart(turn):
                    assert turn not in started
                    started.add(turn)
                case do.ShowReplyDelta(turn) | do.PlayAudio(turn):
                    assert turn in started
                    assert turn not in ended
                    assert turn not in paused
                case do.PauseReply(turn):
                    assert turn not in paused | interrupted
                    paused.add(turn)
                case do.ResumeReply(turn):
                    paused.remove(turn)
                case do.ShowReply(turn) | do.ShowReplyCancelled(turn) | do.RecordReplyCancelled(turn):
                    assert turn in started
                    assert turn not in ended
                    ended[turn] = type(effect)
                case do.StopPlayback(turn):
                    assert ended[turn] is do.ShowReply
                    assert turn not in interrupted
                    interrupted.add(turn)
                case do.EndTurnUnanswered(turn):
                    assert turn not in started

    def no_utterance_is_fed_after_its_endpoint_or_shown_twice(self) -> None:
        closed: set[int] = set()
        shown: set[int] = set()
        for effect in self.effects:
            match effect:
                case do.FeedUtterance(number):
                    assert number not in closed
                case do.CloseUtterance(number):
                    assert number not in closed
                    closed.add(number)
                case do.ShowFinal(utterance=number):
                    assert number in closed
                    assert number not in shown
                    shown.add(number)

    @invariant()
    def every_utterance_that_ended_is_being_transcribed_or_is_shown(self) -> None:
        for pending in self.engines.pending:
            assert pending.shown or pending.running or not pending.is_complete

    def teardown(self) -> None:
        """The client leaves, if it has not; then everything ends by itself, in bounded time."""
        try:
            if not self.has_left:
                if self.ending != "silent":
                    self._turn(self.ending)
                self._leave()
            self.clock.advance(DEADLINE_MS / 1000 + TurnRules().leave_grace_ms / 1000)
            self._do()

            self.no_reply_is_started_and_cancelled_in_one_step()
            self.a_reply_ends_once_and_nothing_of_it_follows()
            self.no_utterance_is_fed_after_its_endpoint_or_shown_twice()
            assert_turn_events_in_order(self.effects)
            self.nothing_is_left()
        finally:
            self._close()

    def nothing_is_left(self) -> None:
        assert self.session.done()
        assert self.session.exception() is None
        assert asyncio.all_tasks(self.loop) == set()
        assert self.engines.attempts == []
        assert self.engines.replies == []
        assert [pending.shown for pending in self.engines.pending] == [1] * len(self.engines.pending)
        counts = Counter(type(effect) for effect in self.effects)
        assert counts[do.ShowSpeechStarted] == counts[do.ShowSpeechStopped] == counts[do.OpenUtterance]
        assert counts[do.OpenUtterance] == counts[do.CloseUtterance] == counts[do.ShowFinal]
        ends = counts[do.ShowReply] + counts[do.ShowReplyCancelled] + counts[do.RecordReplyCancelled]
        assert counts[do.ShowReplyStart] == ends

    def _close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.client.send.close()
        self.client.received.close()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


DialogUnderRandomEvents.TestCase.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDialogUnderRandomEvents = DialogUnderRandomEvents.TestCase
