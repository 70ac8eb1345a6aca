"""One race for a final: the audio is kept, and replayed to every route that is asked.

What to do is decided by `app.domain.routing.hedging`; here it is done. Routes, timers and the
session put what happened into one inbox, and one loop hands it to the race.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from app.domain.audio import AudioChunk, seconds
from app.domain.errors import ParleyError, ProviderMisbehaved
from app.domain.ports import Transcriber
from app.domain.routing import hedging as r
from app.domain.routing.decision import Attempt, Outcome
from app.domain.routing.hedging import FinalizationState
from app.domain.routing.rank import RouteChoice
from app.domain.transcript import Hypothesis
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.routes import Routes

USUAL_S = 4.0
"""How long an utterance is taken to be before it is heard."""

LONGEST_S = 30.0
"""What is promised for an utterance that is not over: the endpointer lets none be longer."""

HAPPENINGS = 256
"""What may wait for the race. Each attempt and each timer brings one thing, so it is never full."""

Due: TypeAlias = type[r.HedgeDue | r.TimeoutDue | r.RetryDue | r.DeadlineDue]
Item: TypeAlias = (
    "r.AttemptAnswered | r.AttemptFailed | r.ResidencyRestricted | type[r.EndpointConfirmed] | tuple[Due, str]"
)
"""Confirmed and timers are filled in with what is known when their turn comes."""


@dataclass(slots=True)
class RouteAttempt:
    """One route at work on the utterance."""

    choice: RouteChoice
    began: float
    promised: float
    streamed: float
    """What its stream had carried before, in seconds."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


@dataclass(slots=True)
class HedgedRequest:
    routes: Routes
    engines: Mapping[str, Transcriber]
    """The routes' engines as this session has them."""
    language: str | None
    choices: Callable[[], tuple[RouteChoice, ...]]
    """The routes that may be asked now, best first."""
    draft: Callable[[], str]
    spend: Callable[[float], None]
    meters: Mapping[str, EngineMeter]
    """Of the engines that count themselves what they cost."""
    attempts: list[Attempt]
    """Grows by one for each route that is done."""
    race: FinalizationState
    _tasks: TaskGroup
    _inbox: MemoryObjectSendStream[Item]
    _items: MemoryObjectReceiveStream[Item]
    _kept: list[AudioChunk] = field(default_factory=list)
    _samples: int = 0
    _whole_at: float | None = None
    _more: anyio.Event | None = None
    """Set when there is more audio; None while nobody waits for it."""
    _runs: dict[str, RouteAttempt] = field(default_factory=dict)

    async def run(
        self, utterance: AsyncIterable[AudioChunk], first: tuple[r.HedgingOrder, ...]
    ) -> r.Deliver | r.GiveUp:
        """Until there is a final, or no hope of one. Routes that still work are left to their task group."""
        self._tasks.start_soon(self._keep, utterance)
        end = self._obey(first)
        while end is None:
            self.race, orders = r.transition(self.race, self._resolve(await self._items.receive()))
            end = self._obey(orders)
        return end

    def tell(self, item: Item) -> None:
        if not self.race.over:
            self._inbox.send_nowait(item)

    @property
    def seconds(self) -> float:
        """Audio so far."""
        return seconds(self._samples)

    def streamed(self, name: str) -> float:
        """Seconds the route's stream carried before this utterance; what it carries of it is no reason to leave it."""
        if any(choice.name == name for choice in self.race.running) and name in self._runs:
            return self._runs[name].streamed
        meter = self.meters.get(name)
        return meter.carried_seconds(self.language) if meter else 0.0

    # -- deciding and doing -------------------------------------------------------

    def _resolve(self, item: Item) -> r.HedgingEvent:
        if item is r.EndpointConfirmed:
            return r.EndpointConfirmed(self.choices())
        if isinstance(item, tuple):
            due, name = item
            if due is r.HedgeDue:
                return r.HedgeDue(name, token=self.routes.may_hedge())
            if due is r.TimeoutDue:
                return r.TimeoutDue(name)
            if due is r.RetryDue:
                return r.RetryDue(self.choices())
            return r.DeadlineDue()
        assert isinstance(item, r.AttemptAnswered | r.AttemptFailed | r.ResidencyRestricted)
        return item

    def _obey(self, orders: tuple[r.HedgingOrder, ...]) -> r.Deliver | r.GiveUp | None:
        end: r.Deliver | r.GiveUp | None = None
        for order in orders:
            match order:
                case r.StartAttempt(choice, hedge):
                    if hedge:
                        self.routes.take_hedge()
                    self._start(choice)
                case r.StopAttempt(name):
                    self._runs[name].scope.cancel()
                case r.RecordFailure(name):
                    self.routes.failed(name)
                case r.ScheduleTimer(ms, due, name):
                    jitter = 1 + 0.5 * self.routes.chance() if due is r.RetryDue else 1
                    at = self.routes.clock.now() + ms * jitter / 1000
                    self._tasks.start_soon(self._wake, at, (due, name))
                case r.Deliver() | r.GiveUp():
                    end = order
                case _:
                    assert_never(order)
        return end

    async def _wake(self, at: float, item: Item) -> None:
        await self.routes.clock.sleep_until(at)
        self.tell(item)

    # -- audio --------------------------------------------------------------------

    async def _keep(self, utterance: AsyncIterable[AudioChunk]) -> None:
        async for chunk in utterance:
            self._kept.append(chunk)
            self._samples += chunk.samples
            self._wake_readers()
        self._whole_at = self.routes.clock.now()
        self._wake_readers()

    def _wake_readers(self) -> None:
        if self._more is not None:
            self._more.set()
            self._more = None

    async def _replay(self) -> AsyncGenerator[AudioChunk, None]:
        """All of the utterance, from its first sample, then as it comes."""
        at = 0
        while True:
            while at < len(self._kept):
                yield self._kept[at]
                at += 1
            if self._whole_at is not None:
                return
            self._more = self._more or anyio.Event()
            await self._more.wait()

    # -- one route at work --------------------------------------------------------

    def _start(self, choice: RouteChoice) -> None:
        streamed = self.streamed(choice.name)
        price = self.routes.standings[choice.name].profile.price
        promised = price.marginal(LONGEST_S if self._whole_at is None else self.seconds, streamed=streamed)
        self.spend(promised)
        run = self._runs[choice.name] = RouteAttempt(choice, self.routes.clock.now(), promised, streamed)
        self.routes.began(choice.name)
        self._tasks.start_soon(self._run, run)

    async def _run(self, run: RouteAttempt) -> None:
        name = run.choice.name
        outcome, error = Outcome.STOPPED, ""
        try:
            with run.scope:
                try:
                    final = await self._ask(name, self.engines[name])
                except ParleyError as failure:
                    outcome, error = Outcome.FAILED, getattr(failure, "code", "internal_error")
                    self.routes.failed(name)
                    self.tell(r.AttemptFailed(name, failure))
                else:
                    outcome, draft = Outcome.ANSWERED, self.draft()
                    if final.text.strip() or not draft.strip():
                        self.routes.answered(name, self._elapsed_ms(run))
                    self.tell(r.AttemptAnswered(name, final, draft))
        finally:
            self._settle(run, outcome, error)

    async def _ask(self, name: str, engine: Transcriber) -> Hypothesis:
        async with (
            aclosing(self._replay()) as audio,
            aclosing(engine.transcribe(audio, language=self.language)) as hypotheses,
        ):
            async for hypothesis in hypotheses:
                if hypothesis.is_final:
                    if self._whole_at is None:
                        raise ProviderMisbehaved(name, "did not wait for the end of the utterance")
                    return hypothesis
        raise ProviderMisbehaved(name, "ended without a final")

    def _settle(self, run: RouteAttempt, outcome: Outcome, error: str) -> None:
        """Count the time and the money of a run that is over."""
        self.routes.ended(run.choice.name)
        usd = self._cost(run.choice.name, outcome)
        self.spend(usd - run.promised)
        self.attempts.append(Attempt(run.choice.name, outcome, round(self._elapsed_ms(run), 1), usd, error))

    def _cost(self, name: str, outcome: Outcome) -> float:
        if meter := self.meters.get(name):
            return meter.charge()
        profile = self.routes.standings[name].profile
        was_sent = profile.live or (self._whole_at is not None and outcome is not Outcome.FAILED)
        return profile.price.bill(self.seconds) if was_sent else 0.0

    def _elapsed_ms(self, run: RouteAttempt) -> float:
        """Since the audio was whole, or since the route was asked, if that was later."""
        whole_at = self.routes.clock.now() if self._whole_at is None else self._whole_at
        return (self.routes.clock.now() - max(run.began, whole_at)) * 1000
