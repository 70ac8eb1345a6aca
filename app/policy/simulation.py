"""The policy under generated load: the very ranking, race and breakers that serve, in virtual time."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import exp, log
from random import Random

from app.domain.errors import ProviderDown
from app.domain.residency import Place, Residency
from app.domain.routing import hedging as r
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import HedgeBudget, Spent
from app.domain.routing.fleet import RouteState, initial_state
from app.domain.routing.hedging import FinalizationState
from app.domain.routing.rank import RouteChoice, rank
from app.domain.routing.request import RouteRequest
from app.domain.routing.rules import RoutingRules
from app.domain.routing.summary import percentile
from app.domain.transcript import Hypothesis
from app.policy.scenario import Scenario, ScheduledFault

FAILS_AFTER_S = 0.05
WORDS = Hypothesis("words", is_final=True)


@dataclass(slots=True)
class SimulationResult:
    """What came of it: totals, and one line per second."""

    rules: str
    finals: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    usd: float = 0.0
    lost: int = 0
    """Utterances no route gave a final."""
    hedged: int = 0
    violations: int = 0
    """Private utterances a cloud route was asked for."""
    by_second: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    times_by_second: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    usd_by_second: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    usd_by_session: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    usd_by_tenant: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def p(self, share: float) -> float:
        return percentile(self.times, share) or 0.0


@dataclass(slots=True)
class SimulatedUtterance:
    """One utterance on its way."""

    request: RouteRequest
    at: float
    race: FinalizationState
    session: int
    running: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Simulation:
    scenario: Scenario
    rules: RoutingRules
    chance: Random
    now: float = 0.0
    tokens: HedgeBudget = HedgeBudget()
    standings: dict[str, RouteState] = field(default_factory=dict)
    tally: SimulationResult = field(init=False)
    _coming: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: Iterator[int] = field(default_factory=count)
    _said: Iterator[int] = field(default_factory=count)
    """Utterances so far."""

    def __post_init__(self) -> None:
        self.tally = SimulationResult(self.rules.name)
        self.tokens = HedgeBudget(self.rules.hedge.share, self.rules.hedge.burst, self.rules.hedge.burst)
        self.standings = {name: initial_state(model.profile(name)) for name, model in self.scenario.routes.items()}

    def run(self) -> SimulationResult:
        self._after(0.0, self._arrive)
        self._after(0.25, self._tend)
        while self._coming:
            self.now, _, happen = heapq.heappop(self._coming)
            happen()
        return self.tally

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._coming, (self.now + seconds, next(self._number), happen))

    # -- utterances ---------------------------------------------------------------

    def _arrive(self) -> None:
        if self.now >= self.scenario.seconds:
            return
        self._after(self.chance.expovariate(self.scenario.per_second), self._arrive)
        private = self.chance.random() < self.scenario.on_prem_only
        allowed = Residency.ON_PREM_ONLY if private else Residency.CLOUD_OK
        length = min(28.0, 0.3 + self.chance.expovariate(1 / self.scenario.utterance_s))
        session = next(self._said) % self.scenario.sessions
        request = RouteRequest(length, None, allowed, self._spent(session))
        self.tokens = self.tokens.earn()
        choices = self._choices(request)
        race, orders = r.begin(choices, self.rules, speculative=False, allowed=allowed)
        said = SimulatedUtterance(request, self.now, race, session)
        self._obey(said, orders)
        self._happen(said, r.EndpointConfirmed(choices))

    def _spent(self, session: int) -> Spent:
        return Spent(
            self.tally.usd_by_session[session], self.tally.usd_by_tenant[self._tenant(session)], self.tally.usd
        )

    def _tenant(self, session: int) -> int:
        return session % self.scenario.tenants

    def _choices(self, request: RouteRequest) -> tuple[RouteChoice, ...]:
        fleet = tuple(
            replace(s.candidate(self.now, None), price=replace(s.profile.price, usd_per_minute=self._usd_per_minute(n)))
            for n, s in self.standings.items()
        )
        return rank(request, fleet, self.rules).choices

    def _happen(self, said: SimulatedUtterance, event: r.HedgingEvent) -> None:
        said.race, orders = r.transition(said.race, event)
        self._obey(said, orders)

    def _obey(self, said: SimulatedUtterance, orders: tuple[r.HedgingOrder, ...]) -> None:
        for order in orders:
            match order:
                case r.StartAttempt(choice, hedge):
                    self._start(said, choice)
                    if hedge:
                        self.tokens = self.tokens.take() or self.tokens
                case r.StopAttempt(name):
                    if said.running.pop(name, None) is not None:
                        self.standings[name] = self.standings[name].ended()
                case r.RecordFailure(name):
                    self.standings[name] = self.standings[name].failed(self.now, self.chance.random())
                case r.ScheduleTimer(ms, due, name):
                    self._after(ms / 1000, lambda due=due, name=name: self._wake(said, due, name))  # type: ignore[misc]
                case r.Deliver(choice):
                    self._delivered(said, choice)
                case r.GiveUp():
                    self.tally.lost += 1

    def _wake(self, said: SimulatedUtterance, due: type[r.HedgingEvent], name: str) -> None:
        if said.race.over:
            return
        if due is r.HedgeDue:
            self._happen(said, r.HedgeDue(name, token=self.tokens.take() is not None))
        elif due is r.TimeoutDue:
            self._happen(said, r.TimeoutDue(name))
        elif due is r.RetryDue:
            self._happen(said, r.RetryDue(self._choices(said.request)))
        else:
            self._happen(said, r.DeadlineDue())

    def _delivered(self, said: SimulatedUtterance, choice: RouteChoice) -> None:
        ms, second = (self.now - said.at) * 1000, int(said.at)
        self.tally.finals[choice.name] += 1
        self.tally.hedged += said.race.hedged
        self.tally.times.append(ms)
        self.tally.by_second[second][choice.name] += 1
        self.tally.times_by_second[second].append(ms)

    # -- routes -------------------------------------------------------------------

    def _start(self, said: SimulatedUtterance, choice: RouteChoice) -> None:
        name = choice.name
        if choice.place is Place.CLOUD and said.request.allowed is Residency.ON_PREM_ONLY:
            self.tally.violations += 1
        run = said.running[name] = next(self._number)
        takes_s, fails = self._draw(name)
        self.standings[name] = self.standings[name].began()
        price = replace(self.standings[name].profile.price, usd_per_minute=self._usd_per_minute(name))
        usd = 0.0 if fails else price.bill(said.request.seconds)
        self.tally.usd += usd
        self.tally.usd_by_second[int(said.at)] += usd
        self.tally.usd_by_session[said.session] += usd
        self.tally.usd_by_tenant[self._tenant(said.session)] += usd

        def end() -> None:
            if said.running.get(name) != run:
                return
            del said.running[name]
            current = self.standings[name].ended()
            if fails:
                self.standings[name] = current.failed(self.now, self.chance.random())
                self._happen(said, r.AttemptFailed(name, ProviderDown(name, "is down")))
            else:
                self.standings[name] = current.answered(takes_s * 1000, self.now, self.chance.random())
                self._happen(said, r.AttemptAnswered(name, WORDS))

        if takes_s < self.rules.deadline_ms / 1000:
            self._after(takes_s, end)

    def _draw(self, name: str) -> tuple[float, bool]:
        """How long it takes this time, and whether it fails."""
        model, trouble = self.scenario.routes[name], self._trouble(name)
        if trouble and trouble.state == "stalls":
            return float("inf"), False
        if (trouble and trouble.state == "fails") or self.chance.random() < model.failures:
            return FAILS_AFTER_S, True
        spread = log(model.p95_ms / model.p50_ms) / 1.645
        ms = model.p50_ms * exp(self.chance.gauss(0, max(spread, 0.0)))
        waiting = self.standings[name].waiting // model.at_once if model.at_once else 0
        return ms * (1 + waiting) * (trouble.slower if trouble else 1.0) / 1000, False

    def _trouble(self, name: str) -> ScheduledFault | None:
        return next((t for t in self.scenario.troubles if t.route == name and t.at <= self.now < t.until), None)

    def _usd_per_minute(self, name: str) -> float:
        trouble = self._trouble(name)
        usual = self.scenario.routes[name].usd_per_minute
        return usual if trouble is None or trouble.usd_per_minute is None else trouble.usd_per_minute

    def _tend(self) -> None:
        """Probes, as the service does them."""
        if self.now >= self.scenario.seconds:
            return
        self._after(0.25, self._tend)
        for name, current in self.standings.items():
            if current.breaker.health(self.now) is BreakerState.HALF_OPEN:
                takes_s, fails = self._draw(name)
                ill = fails or takes_s > 10
                self.standings[name] = (
                    current.failed(self.now, self.chance.random(), probe=True)
                    if ill
                    else current.answered(takes_s * 1000, self.now, self.chance.random(), probe=True)
                )


def simulate(scenario: Scenario, rules: RoutingRules) -> SimulationResult:
    """The scenario under these rules; the same seed gives the same story."""
    return Simulation(scenario, rules, Random(scenario.seed)).run()  # noqa: S311 because a story must repeat
