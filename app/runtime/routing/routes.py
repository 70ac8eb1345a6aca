"""The routes of this process: their runtime state, hedge budget, spending, probes and polled load.

`maintain` runs in the background. A route whose breaker is half-open is probed with a canned clip, never with a user's
audio; an idle route that costs nothing is kept warm by the same probe; a worker is polled for its load.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from uuid import uuid4

import anyio
import structlog

from app.domain.audio import AudioChunk, ms, seconds, split_audio
from app.domain.errors import ParleyError, RequestRefused
from app.domain.ports import Clock, Reporting, Transcriber
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Budgets, HedgeBudget
from app.domain.routing.decision import DecisionRecord, Expense, ExpenseKind
from app.domain.routing.fleet import RouteSpec, RouteState, initial_state
from app.domain.routing.rank import Ranking, rank
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.rules import RoutingRules
from app.runtime.first_final import first_final
from app.runtime.routing.ledger import SpendLedger
from app.runtime.supervision import report_defect

MAINTAIN_EVERY_S = 0.25
KEEP_WARM_AFTER_S = 60.0
PROBE_TIMEOUT_S = 10.0
POLL_EVERY_S = 1.0
POLL_TIMEOUT_S = 1.0
POLL_AGAIN_AFTER_FAILURE_S = 5.0
POLL_AGAIN_IF_UNSUPPORTED_S = 600.0

_log = structlog.get_logger("parley.route")


@dataclass(slots=True)
class Routes:
    """Shared by all sessions."""

    specs: tuple[RouteSpec, ...]
    engines: Mapping[str, Transcriber]
    rules: Callable[[], RoutingRules]
    clock: Clock
    chance: Callable[[], float]
    """A random number from 0 to 1."""
    clip: bytes = b""
    """Recorded speech for probes, of nobody who uses this service; 16 kHz mono PCM16."""
    ledger: SpendLedger = field(default_factory=SpendLedger)
    record_decision: Callable[[DecisionRecord], None] = lambda _: None
    record_expense: Callable[[Expense], None] = lambda _: None
    is_recorded: Callable[[str], bool] = lambda _: True
    """Whether this session is recorded: of one that is not, no decision and no expense is stored."""
    states: dict[str, RouteState] = field(default_factory=dict)
    hedge_budget: HedgeBudget = HedgeBudget()
    last_used: dict[str, float] = field(default_factory=dict)
    """When each route was last asked, in seconds of the clock."""
    probing: set[str] = field(default_factory=set)
    reporting: Mapping[str, Reporting] = field(default_factory=dict)
    """Those of the engines that may report their load."""
    next_poll: dict[str, float] = field(default_factory=dict)
    """When each of them is polled next; infinity while it is polled."""
    recovery_listeners: set[Callable[[str], None]] = field(default_factory=set)
    """Called with the name of a route whose breaker has just closed."""

    def __post_init__(self) -> None:
        for spec in self.specs:
            self.states.setdefault(spec.name, initial_state(spec))

    # -- ranking ----------------------------------------------------------------

    def fleet(self, language: str | None) -> tuple[Candidate, ...]:
        """Every route as it is now."""
        now = self.clock.now()
        return tuple(state.candidate(now, language) for state in self.states.values())

    def rank(self, request: RouteRequest) -> Ranking:
        return rank(request, self.fleet(request.language), self.rules())

    # -- what attempts and probes report ------------------------------------------

    def started(self, name: str) -> None:
        self.last_used[name] = self.clock.now()
        self.states[name] = self.states[name].started()

    def ended(self, name: str) -> None:
        self.states[name] = self.states[name].ended()

    def answered(self, name: str, latency_ms: float, *, probe: bool = False) -> None:
        after = self.states[name].answered(latency_ms, self.clock.now(), self.chance(), probe=probe)
        self._update(name, after)

    def failed(self, name: str, *, probe: bool = False) -> None:
        self._update(name, self.states[name].failed(self.clock.now(), self.chance(), probe=probe))

    def refused_probe(self, name: str) -> None:
        """It works, but does not serve the probe's request, such as its language."""
        self._update(name, self.states[name].refused_probe())

    def agreement_observed(self, name: str, language: str | None, share: float) -> None:
        self.states[name] = self.states[name].agreement_observed(language, share)

    def _update(self, name: str, after: RouteState) -> None:
        before = self.states[name].breaker
        self.states[name] = after
        if before.open_until is None and after.breaker.open_until is not None:
            open_s = after.breaker.open_until - self.clock.now()
            _log.warning(
                "circuit breaker open",
                route=name,
                seconds=round(open_s, 1),
                failure_rate=round(after.breaker.failure_rate, 2),
            )
        elif before.open_until is not None and after.breaker.open_until is None:
            _log.info("circuit breaker closed", route=name)
            for listener in tuple(self.recovery_listeners):
                listener(name)

    # -- hedges and money ---------------------------------------------------------

    def refill_hedge_budget(self) -> None:
        """One more utterance has ended."""
        rules = self.rules().hedge
        self.hedge_budget = HedgeBudget(rules.share, rules.burst, min(self.hedge_budget.tokens, rules.burst)).refill()

    def has_hedge_token(self) -> bool:
        return self.hedge_budget.take() is not None

    def take_hedge_token(self) -> None:
        self.hedge_budget = self.hedge_budget.take() or self.hedge_budget

    def charge(self, name: str, kind: ExpenseKind, usd: float, session: str = "", tenant: str = "") -> None:
        """Add what was spent on no final to the ledger, and record it."""
        if usd:
            self.ledger.add(session, tenant, usd)
            self.expense(name, kind, usd, session, tenant)

    def expense(self, name: str, kind: ExpenseKind, usd: float, session: str, tenant: str, **counts: int) -> None:
        """Record money that is in the ledger already; `counts` are an Expense's, of tokens or characters."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.record_expense(Expense(uuid4().hex, at, name, kind, usd, session, tenant, **counts))

    # -- maintenance --------------------------------------------------------------

    async def maintain(self) -> None:
        """Probe half-open routes, keep idle ones warm and poll loads, for ever."""
        async with anyio.create_task_group() as tasks:
            while True:
                for name in self.routes_to_probe():
                    self.probing.add(name)
                    tasks.start_soon(self._probe, name)
                for name in self.reporting:
                    if self.next_poll.get(name, 0.0) <= self.clock.now():
                        self.next_poll[name] = inf
                        tasks.start_soon(self._poll_load, name)
                await self.clock.sleep_until(self.clock.now() + MAINTAIN_EVERY_S)

    def routes_to_probe(self) -> list[str]:
        """Half-open routes, and idle free ones; half-open paid ones while the day's budget lasts."""
        now = self.clock.now()
        budget_spent = self.ledger.spent("", "").exhausted(Budgets(day=self.rules().budgets.day)) is not None
        names = []
        for name, current in self.states.items():
            is_free = current.spec.price.is_free
            match current.breaker.state(now):
                case BreakerState.HALF_OPEN:
                    wanted = is_free or not budget_spent
                case BreakerState.CLOSED:
                    wanted = is_free and self.last_used.get(name, -KEEP_WARM_AFTER_S) + KEEP_WARM_AFTER_S <= now
                case BreakerState.OPEN:
                    wanted = False
            if wanted and name not in self.probing:
                names.append(name)
        return names

    async def _poll_load(self, name: str) -> None:
        """Ask an engine for its load. A missing answer drops the last report and is no failure of the route."""
        load, ours, again_s = None, self.states[name].in_flight, POLL_AGAIN_AFTER_FAILURE_S
        try:
            with anyio.fail_after(POLL_TIMEOUT_S):
                load = await self.reporting[name].load()
            again_s = POLL_EVERY_S if load else POLL_AGAIN_IF_UNSUPPORTED_S
        except (ParleyError, TimeoutError):
            pass  # because the route itself may work all the same
        except Exception as error:  # noqa: BLE001 because a defect of one engine must not end the others' maintenance
            report_defect("load_poll", error, route=name)
        current = self.states[name]
        self.states[name] = current.load_reported(load, max(ours, current.in_flight))
        self.next_poll[name] = self.clock.now() + again_s

    async def _probe(self, name: str) -> None:
        spec = self.states[name].spec
        began = self.clock.now()
        clip, has_answered = ProbeClip(self.clip), False
        self.started(name)
        try:
            with anyio.fail_after(PROBE_TIMEOUT_S):
                has_words = await _transcribe_clip(self.engines[name], clip, spec.languages)
            has_answered = True
            if has_words or not self.clip:
                self.answered(name, (self.clock.now() - began) * 1000, probe=True)
            else:
                self.failed(name, probe=True)
        except RequestRefused:
            self.refused_probe(name)
        except (ParleyError, TimeoutError):
            self.failed(name, probe=True)
        except Exception as error:  # noqa: BLE001 because a defect of one engine must not end the others' probes
            report_defect("route_probe", error, route=name)
            self.failed(name, probe=True)
        finally:
            self.ended(name)
            self.probing.discard(name)
            if has_answered or spec.live:
                self.charge(name, ExpenseKind.PROBE, spec.price.bill(seconds(clip.taken)))


@dataclass(slots=True)
class ProbeClip:
    """The clip as chunks of 100 ms."""

    pcm: bytes
    taken: int = 0
    """Samples an engine has consumed."""

    async def chunks(self) -> AsyncGenerator[AudioChunk, None]:
        for chunk in split_audio(AudioChunk(self.pcm, 0), ms(100)):
            yield chunk
            self.taken = chunk.end


async def _transcribe_clip(engine: Transcriber, clip: ProbeClip, languages: tuple[str, ...]) -> bool:
    """Whether the engine finds words in the clip."""
    language = "en" if not languages or "en" in languages else languages[0]
    async with aclosing(clip.chunks()) as audio, aclosing(engine.transcribe(audio, language=language)) as hypotheses:
        return bool((await first_final(hypotheses)).text.strip())
