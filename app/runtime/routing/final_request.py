"""One utterance's final by the policy: ranks the routes, hedges and fails over, and records the decision.

What to do is decided by `app.domain.routing.hedging`; `HedgingDriver` executes it through this object.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup
from opentelemetry.context import Context, get_current

from app.domain.audio import AudioChunk
from app.domain.errors import ParleyError, ProviderBusy
from app.domain.ports import Transcriber, bound_to, expecting
from app.domain.residency import Place, Residency
from app.domain.routing.decision import Attempt, DecisionRecord, ExpenseKind, Outcome, RejectedRoute
from app.domain.routing.driver import HedgingDriver
from app.domain.routing.finalization import (
    AttemptAnswered,
    AttemptFailed,
    Deliver,
    GiveUp,
    ResidencyRestricted,
    RetryDue,
    TimerEvent,
)
from app.domain.routing.rank import Ranking, RouteChoice, rank
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis, agreement
from app.runtime.routing.ledger import Reservation
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.route_attempt import RouteAttempt
from app.runtime.routing.routes import Routes
from app.runtime.routing.utterance_audio import UtteranceAudio

TYPICAL_UTTERANCE_S = 4.0
"""Length an utterance is ranked with before its audio is known."""

RETRY_JITTER = 0.5
"""Share of the pause before a retry that chance adds, so that sessions do not retry in step."""


@dataclass(slots=True, eq=False)
class FinalRequest:
    """A PendingFinal, and the RoutingPort of its own driver.

    `transcribe` may be called again after it was cancelled or has failed, when the utterance went on: each call has
    its own driver, audio and task group; those of an older call are ignored while they wind up.
    """

    routes: Routes
    engines: Mapping[str, Transcriber]
    """The routes' engines as this session has them."""
    meters: Mapping[str, EngineMeter]
    """Of the engines that count themselves what they cost."""
    session: str
    tenant: Tenant
    utterance: int
    language: str | None
    residency: Residency
    session_deadline_ms: float | None = None
    """The session's own, from the end of the utterance; the rules have another."""
    key_terms: Sequence[str] = ()
    """Words that are likely in the audio, for engines that take them."""
    vocabulary: str | None = None
    """Name of the custom vocabulary, for engines that keep some."""
    route: Route = field(default=Route("finals", Place.ON_PREM))
    live: bool = field(init=False)
    is_recorded: bool = False
    _draft: str = ""
    _confirmed: bool = False
    _attempts: list[Attempt] = field(default_factory=list)
    """Those that are over, of all calls."""
    _delivered: int | None = None
    """Index of the attempt whose final was returned last."""
    _basis: tuple[RouteRequest, tuple[Candidate, ...], Ranking] = field(init=False)
    """The ranking that is recorded, and its inputs."""
    # The newest call of transcribe:
    _driver: HedgingDriver | None = None
    _audio: UtteranceAudio | None = None
    _running: dict[str, RouteAttempt] = field(default_factory=dict)
    _tasks: TaskGroup | None = None
    _trace: Context = field(default_factory=get_current)
    """The span of that call: an attempt that follows another one is no part of it."""
    _end: Deliver | GiveUp | None = None
    _ended: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        best = self._rank().best
        self.live = best is not None and best.live

    # -- what the session reports --------------------------------------------------

    def update_draft(self, text: str) -> None:
        self._draft = text

    def expect(self, key_terms: Sequence[str]) -> None:
        self.key_terms = key_terms

    def restrict_to_on_prem(self) -> None:
        self.residency = Residency.ON_PREM_ONLY
        if self._driver:
            self._driver.handle(ResidencyRestricted())

    def stop_live(self) -> None:
        self.live = False

    def confirm_endpoint(self) -> None:
        self._confirmed = True
        self.routes.refill_hedge_budget()
        if self._driver:
            self._driver.confirm_endpoint()

    def record_shown(self, final: Hypothesis, route: Route | None) -> None:
        share = agreement(self._draft, final.text) if self._draft.strip() and route else None
        if share is not None and route:
            self.routes.agreement_observed(route.name, self.language, share)
        self.is_recorded = True
        self.routes.record_decision(self._record(route, share))

    def close(self) -> None:
        """The session ends. If no final was shown, what its attempts cost is recorded as expenses."""
        if self.is_recorded:
            return
        self.is_recorded = True
        for attempt in self._attempts:
            if attempt.usd:
                self.routes.expense(attempt.name, ExpenseKind.ABANDONED, attempt.usd, self.session, self.tenant.name)

    # -- the final -----------------------------------------------------------------

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """Yield the final of whichever route delivers it. Raises a ProviderError or RequestRefused."""
        self.language = language
        try:
            final = await self._final(utterance)
        except ParleyError:
            self.live = False  # what comes next is whole utterances, and those are speculative until confirmed
            raise
        yield final

    async def _final(self, utterance: AsyncIterable[AudioChunk]) -> Hypothesis:
        if self._driver is not None:
            self._driver.close()
        routes, rules = self.routes, self.routes.rules()
        speculative = not self._confirmed and not self.live
        self._running, self._delivered, self._trace = {}, None, get_current()
        ranking = self._rank()
        if speculative:
            if ranking.best and not self._is_free(ranking.best) and not rules.speculate_paid:
                raise ProviderBusy("finals", "the route costs money and waits for the end of the utterance")
            ranking = self._rank(speculative=True)
        audio = self._audio = UtteranceAudio(routes.clock)
        driver = self._driver = HedgingDriver(self, rules)
        self._end, self._ended = None, anyio.Event()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(audio.fill, utterance)
            routes.recovery_listeners.add(driver.route_recovered)
            try:
                driver.begin(
                    ranking.choices,
                    speculative=speculative,
                    residency=self.residency,
                    session_deadline_ms=self.session_deadline_ms,
                )
                if self._confirmed:
                    driver.confirm_endpoint()
                await self._ended.wait()
                end, hedged = self._end, driver.state.hedged
            finally:  # so that no attempt is started while the others wind up
                driver.close()
                routes.recovery_listeners.discard(driver.route_recovered)
            tasks.cancel_scope.cancel()
        if isinstance(end, Deliver):
            self.route = self._delivered_route(end, hedged=hedged)
            return end.final
        assert end is not None
        raise end.error

    def _rank(self, *, speculative: bool = False) -> Ranking:
        request = RouteRequest(
            (self._audio.seconds if self._audio else 0.0) or TYPICAL_UTTERANCE_S,
            self.language,
            self.residency,
            self.routes.ledger.spent(self.session, self.tenant.name),
            self.session_deadline_ms,
            speculative=speculative,
            tenant_usd=self.tenant.budget_usd_per_day,
        )
        fleet = tuple(
            replace(candidate, streamed=self._streamed_s(candidate.name))
            if candidate.name in self.meters
            else candidate
            for candidate in self.routes.fleet(self.language)
        )
        ranking = rank(request, fleet, self.routes.rules())
        self._basis = request, fleet, ranking
        return ranking

    def _streamed_s(self, name: str) -> float:
        """Seconds the route's stream carried before this utterance; what it carries of it is no reason to leave it."""
        if name in self._running:
            return self._running[name].streamed_s
        meter = self.meters.get(name)
        return meter.carried_seconds(self.language) if meter else 0.0

    def _is_free(self, choice: RouteChoice) -> bool:
        return self.routes.states[choice.name].spec.price.is_free

    def _reserve(self, usd: float) -> Reservation:
        return self.routes.ledger.reserve(self.session, self.tenant.name, usd)

    # -- RoutingPort ---------------------------------------------------------------

    def rank(self) -> Ranking:
        """The ranking that is recorded is the one at the endpoint; those of later timers are not."""
        recorded, ranking = self._basis, self._rank()
        if self._driver is not None and self._driver.state.confirmed:
            self._basis = recorded
        return ranking

    def has_hedge_token(self) -> bool:
        return self.routes.has_hedge_token()

    def take_hedge_token(self) -> None:
        self.routes.take_hedge_token()

    def start(self, choice: RouteChoice) -> None:
        driver, running = self._driver, self._running
        assert driver is not None
        assert self._audio is not None
        assert self._tasks is not None

        def report(event: AttemptAnswered | AttemptFailed) -> None:
            running.pop(choice.name, None)
            driver.handle(event)

        attempt = running[choice.name] = RouteAttempt(
            self.routes,
            choice,
            self._engine(choice.name),
            self._audio,
            self.language,
            self._streamed_s(choice.name),
            self.meters.get(choice.name),
            lambda: self._draft,
            report,
            self._reserve,
            self._attempts,
            self._trace,
        )
        self._tasks.start_soon(attempt.run)

    def _engine(self, name: str) -> Transcriber:
        return bound_to(expecting(self.engines[name], self.key_terms), self.vocabulary)

    def stop(self, name: str) -> None:
        self._running.pop(name).scope.cancel()

    def record_failure(self, name: str) -> None:
        self.routes.failed(name)

    def schedule(self, ms: float, event: TimerEvent, name: str) -> None:
        assert self._driver is not None
        assert self._tasks is not None
        routes = self.routes
        jitter = 1 + RETRY_JITTER * routes.chance() if event is RetryDue else 1
        self._tasks.start_soon(self._wake, routes.clock.now() + ms * jitter / 1000, self._driver, event, name)

    async def _wake(self, at: float, driver: HedgingDriver, event: TimerEvent, name: str) -> None:
        await self.routes.clock.sleep_until(at)
        driver.timer_due(event, name)

    def end(self, end: Deliver | GiveUp) -> None:
        self._end = end
        self._ended.set()

    # -- what is recorded ------------------------------------------------------------

    def _delivered_route(self, end: Deliver, *, hedged: bool) -> Route:
        name = end.choice.name
        self._delivered = max(
            at for at, a in enumerate(self._attempts) if a.name == name and a.outcome is Outcome.ANSWERED
        )
        delivered, usd = self._attempts[self._delivered], sum(attempt.usd for attempt in self._attempts)
        return Route(name, end.choice.place, end.why, hedged, round(delivered.ms), round(usd, 6))

    def _record(self, route: Route | None, share: float | None) -> DecisionRecord:
        request, fleet, ranking = self._basis
        attempts = list(self._attempts)
        if route and self._delivered is not None:
            attempts[self._delivered] = replace(attempts[self._delivered], outcome=Outcome.DELIVERED)
        return DecisionRecord(
            id=uuid4().hex,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            session=self.session,
            tenant=self.tenant.name,
            utterance=self.utterance,
            rules=self.routes.rules().name,
            request=request,
            fleet=fleet,
            ranked=tuple(choice.name for choice in ranking.choices),
            rejected=tuple(RejectedRoute(rejection.name, rejection.why) for rejection in ranking.rejected),
            panic=ranking.panic,
            chosen=route.name if route else None,
            place=route.place if route else None,
            why=route.why if route else "no route answered; this is the newest draft",
            hedged=bool(route and route.hedged),
            latency_ms=float(route.latency_ms or 0) if route else 0.0,
            usd=sum(attempt.usd for attempt in attempts),
            attempts=tuple(attempts),
            agreement=share,
        )
