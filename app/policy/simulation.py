"""Simulates the routing policy under generated load, in virtual time, with the very ranking, hedging and breakers."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import exp, log
from random import Random

from app.domain.errors import ProviderDown
from app.domain.percentile import percentile
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import HedgeBudget, Spent
from app.domain.routing.driver import HedgingDriver
from app.domain.routing.finalization import AttemptAnswered, AttemptFailed, Deliver, GiveUp, TimerEvent
from app.domain.routing.fleet import RouteState, initial_state
from app.domain.routing.rank import Ranking, RouteChoice, rank
from app.domain.routing.request import RouteRequest
from app.domain.routing.rules import RoutingRules
from app.domain.transcript import Hypothesis
from app.policy.scenario import Scenario, ScheduledFault

FAILS_AFTER_S = 0.05
PROBE_EVERY_S = 0.25
PROBE_TIMEOUT_S = 10.0
MAX_UTTERANCE_S = 28.0
FINAL = Hypothesis("words", is_final=True)


@dataclass(slots=True)
class SimulationResult:
    """Totals, and figures per second of the scenario."""

    rules: str
    finals: Counter[str] = field(default_factory=Counter)
    """By route."""
    latencies_ms: list[float] = field(default_factory=list)
    usd: float = 0.0
    lost: int = 0
    """Utterances that no route gave a final."""
    hedged: int = 0
    violations: int = 0
    """Attempts of a cloud route on utterances that must not leave the premises."""
    finals_by_second: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    latencies_by_second: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    usd_by_second: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    usd_by_session: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    usd_by_tenant: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def latency_ms(self, share: float) -> float:
        """Percentile of the latencies; 0 without any."""
        return percentile(self.latencies_ms, share) or 0.0


@dataclass(slots=True)
class Simulation:
    """Virtual time, the routes' states and the shared hedge budget."""

    scenario: Scenario
    rules: RoutingRules
    chance: Random
    on_progress: Callable[[float], None] = lambda _: None
    now: float = 0.0
    hedge_budget: HedgeBudget = HedgeBudget()
    states: dict[str, RouteState] = field(default_factory=dict)
    result: SimulationResult = field(init=False)
    active: "dict[int, SimulatedUtterance]" = field(default_factory=dict)
    """Utterances whose final is under way, by their number."""
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _events: Iterator[int] = field(default_factory=count)
    _utterances: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.result = SimulationResult(self.rules.name)
        hedge = self.rules.hedge
        self.hedge_budget = HedgeBudget(hedge.share, hedge.burst, hedge.burst)
        self.states = {name: initial_state(model.spec(name)) for name, model in self.scenario.routes.items()}

    def run(self) -> SimulationResult:
        self.after(0.0, self._next_utterance)
        self.after(PROBE_EVERY_S, self._probe)
        while self._queue:
            self.now, _, callback = heapq.heappop(self._queue)
            callback()
        return self.result

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._events), callback))

    # -- load -----------------------------------------------------------------------

    def _next_utterance(self) -> None:
        """A Poisson process of utterances, with exponentially distributed lengths."""
        if self.now >= self.scenario.seconds:
            return
        self.after(self.chance.expovariate(self.scenario.per_second), self._next_utterance)
        is_private = self.chance.random() < self.scenario.on_prem_only
        length_s = min(MAX_UTTERANCE_S, 0.3 + self.chance.expovariate(1 / self.scenario.utterance_s))
        number = next(self._utterances)
        session = number % self.scenario.sessions
        request = RouteRequest(
            length_s, None, Residency.ON_PREM_ONLY if is_private else Residency.CLOUD_OK, self._spent(session)
        )
        self.hedge_budget = self.hedge_budget.refill()
        utterance = self.active[number] = SimulatedUtterance(self, number, request, self.now, session)
        utterance.begin()

    def _spent(self, session: int) -> Spent:
        result = self.result
        return Spent(result.usd_by_session[session], result.usd_by_tenant[self.tenant_of(session)], result.usd)

    def tenant_of(self, session: int) -> int:
        return session % self.scenario.tenants

    # -- routes ---------------------------------------------------------------------

    def rank(self, request: RouteRequest) -> Ranking:
        fleet = tuple(
            replace(
                state.candidate(self.now, None),
                price=replace(state.spec.price, usd_per_minute=self.usd_per_minute(name)),
            )
            for name, state in self.states.items()
        )
        return rank(request, fleet, self.rules)

    def answered(self, name: str, seconds: float, *, probe: bool = False) -> None:
        self._update(name, self.states[name].answered(seconds * 1000, self.now, self.chance.random(), probe=probe))

    def failed(self, name: str, *, probe: bool = False) -> None:
        self._update(name, self.states[name].failed(self.now, self.chance.random(), probe=probe))

    def _update(self, name: str, after: RouteState) -> None:
        has_recovered = self.states[name].breaker.open_until is not None and after.breaker.open_until is None
        self.states[name] = after
        if has_recovered:
            for utterance in tuple(self.active.values()):
                utterance.driver.route_recovered(name)

    def draw(self, name: str) -> tuple[float, bool]:
        """How many seconds the route takes this time, log-normally distributed, and whether it fails."""
        model, fault = self.scenario.routes[name], self._fault(name)
        if fault and fault.state == "stalls":
            return float("inf"), False
        if (fault and fault.state == "fails") or self.chance.random() < model.failures:
            return FAILS_AFTER_S, True
        spread = log(model.p95_ms / model.p50_ms) / 1.645
        ms = model.p50_ms * exp(self.chance.gauss(0, max(spread, 0.0)))
        queued = self.states[name].in_flight // model.at_once if model.at_once else 0
        return ms * (1 + queued) * (fault.slower if fault else 1.0) / 1000, False

    def usd_per_minute(self, name: str) -> float:
        fault, usual = self._fault(name), self.scenario.routes[name].usd_per_minute
        return usual if fault is None or fault.usd_per_minute is None else fault.usd_per_minute

    def _fault(self, name: str) -> ScheduledFault | None:
        return next((f for f in self.scenario.faults if f.route == name and f.at <= self.now < f.until), None)

    def _probe(self) -> None:
        """Probe half-open routes, as `Routes.maintain` does."""
        self.on_progress(self.now)
        if self.now >= self.scenario.seconds:
            return
        self.after(PROBE_EVERY_S, self._probe)
        for name in self.states:
            if self.states[name].breaker.state(self.now) is BreakerState.HALF_OPEN:
                seconds, fails = self.draw(name)
                if fails or seconds > PROBE_TIMEOUT_S:
                    self.failed(name, probe=True)
                else:
                    self.answered(name, seconds, probe=True)


@dataclass(slots=True, eq=False)
class SimulatedUtterance:
    """One utterance's final under way: the RoutingPort of its driver."""

    simulation: Simulation
    number: int
    request: RouteRequest
    ended_at: float
    """When the utterance was over, in virtual seconds."""
    session: int
    driver: HedgingDriver = field(init=False)
    _running: dict[str, int] = field(default_factory=dict)
    """Number of the running attempt, by route."""
    _attempts: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.driver = HedgingDriver(self, self.simulation.rules)

    def begin(self) -> None:
        self.driver.begin(self.rank().choices, speculative=False, residency=self.request.residency)
        self.driver.confirm_endpoint()

    # -- RoutingPort ------------------------------------------------------------------

    def rank(self) -> Ranking:
        return self.simulation.rank(self.request)

    def has_hedge_token(self) -> bool:
        return self.simulation.hedge_budget.take() is not None

    def take_hedge_token(self) -> None:
        self.simulation.hedge_budget = self.simulation.hedge_budget.take() or self.simulation.hedge_budget

    def start(self, choice: RouteChoice) -> None:
        name, simulation, result = choice.name, self.simulation, self.simulation.result
        if choice.place is Place.CLOUD and self.request.residency is Residency.ON_PREM_ONLY:
            result.violations += 1
        attempt = self._running[name] = next(self._attempts)
        takes_s, fails = simulation.draw(name)
        simulation.states[name] = simulation.states[name].started()
        self._pay(name, fails=fails)

        def end() -> None:
            if self._running.get(name) != attempt:
                return
            del self._running[name]
            simulation.states[name] = simulation.states[name].ended()
            if fails:
                simulation.failed(name)
                self.driver.handle(AttemptFailed(name, ProviderDown(name, "is down")))
            else:
                simulation.answered(name, takes_s)
                self.driver.handle(AttemptAnswered(name, FINAL))

        if takes_s < simulation.rules.deadline_ms / 1000:
            simulation.after(takes_s, end)

    def stop(self, name: str) -> None:
        if self._running.pop(name, None) is not None:
            self.simulation.states[name] = self.simulation.states[name].ended()

    def record_failure(self, name: str) -> None:
        self.simulation.failed(name)

    def schedule(self, ms: float, event: TimerEvent, name: str) -> None:
        self.simulation.after(ms / 1000, lambda: self.driver.timer_due(event, name))

    def end(self, end: Deliver | GiveUp) -> None:
        simulation, result, second = self.simulation, self.simulation.result, int(self.ended_at)
        del simulation.active[self.number]
        if isinstance(end, GiveUp):
            result.lost += 1
            return
        ms = (simulation.now - self.ended_at) * 1000
        result.finals[end.choice.name] += 1
        result.hedged += self.driver.state.hedged
        result.latencies_ms.append(ms)
        result.finals_by_second[second][end.choice.name] += 1
        result.latencies_by_second[second].append(ms)

    def _pay(self, name: str, *, fails: bool) -> None:
        simulation, result = self.simulation, self.simulation.result
        price = replace(simulation.states[name].spec.price, usd_per_minute=simulation.usd_per_minute(name))
        usd = 0.0 if fails else price.bill(self.request.seconds)
        result.usd += usd
        result.usd_by_second[int(self.ended_at)] += usd
        result.usd_by_session[self.session] += usd
        result.usd_by_tenant[simulation.tenant_of(self.session)] += usd


def simulate(
    scenario: Scenario, rules: RoutingRules, on_progress: Callable[[float], None] = lambda _: None
) -> SimulationResult:
    """The scenario under these rules; the same seed gives the same result. `on_progress` gets the simulated second."""
    return Simulation(scenario, rules, Random(scenario.seed), on_progress).run()  # noqa: S311 because a simulation must repeat
