"""The routes of this process: how they are doing, what they cost, who may be asked.

They are tended beside the sessions: one that rests is probed with a canned clip, never
with a user's voice, and one that stands idle and costs nothing is kept warm.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

import anyio
import structlog

from app.domain.audio import AudioChunk, ms, seconds, split_audio
from app.domain.errors import ParleyError
from app.domain.ports import Clock, Reporting, Transcriber
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Budgets, HedgeBudget
from app.domain.routing.decision import DecisionRecord, Expense, ExpenseKind
from app.domain.routing.fleet import RouteSpec, RouteState, initial_state
from app.domain.routing.rank import Ranking, rank
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.rules import RoutingRules
from app.runtime.routing.ledger import SpendLedger

TEND_EVERY_S = 0.25
KEEP_WARM_S = 60.0
PROBE_WITHIN_S = 10.0
LOOK_EVERY_S = 1.0
LOOK_WITHIN_S = 1.0
LOOK_AGAIN_S = 5.0
"""After an engine could not be asked how busy it is."""
LOOK_SELDOM_S = 600.0
"""After it turned out to be one that does not say."""

_log = structlog.get_logger("parley.route")


@dataclass(slots=True)
class Routes:
    """Shared by all sessions."""

    profiles: tuple[RouteSpec, ...]
    engines: Mapping[str, Transcriber]
    rules: Callable[[], RoutingRules]
    clock: Clock
    chance: Callable[[], float]
    """A number from 0 to 1."""
    clip: bytes = b""
    """Speech of nobody who uses this service, for probes; 16 kHz PCM."""
    ledger: SpendLedger = field(default_factory=SpendLedger)
    record: Callable[[DecisionRecord], None] = lambda _: None
    note: Callable[[Expense], None] = lambda _: None
    standings: dict[str, RouteState] = field(default_factory=dict)
    tokens: HedgeBudget = HedgeBudget()
    used: dict[str, float] = field(default_factory=dict)
    """When each route was last asked."""
    probing: set[str] = field(default_factory=set)
    reporting: Mapping[str, Reporting] = field(default_factory=dict)
    """Those of the engines that may say how busy they are."""
    looks_at: dict[str, float] = field(default_factory=dict)
    """When each of them is asked next; infinity while it is asked."""

    def __post_init__(self) -> None:
        for profile in self.profiles:
            self.standings.setdefault(profile.name, initial_state(profile))

    # -- asking -----------------------------------------------------------------

    def fleet(self, language: str | None) -> tuple[Candidate, ...]:
        """Every route as it is now."""
        now = self.clock.now()
        return tuple(s.candidate(now, language) for s in self.standings.values())

    def decide(self, request: RouteRequest) -> Ranking:
        return rank(request, self.fleet(request.language), self.rules())

    # -- learning ---------------------------------------------------------------

    def began(self, name: str) -> None:
        self.used[name] = self.clock.now()
        self.standings[name] = self.standings[name].began()

    def ended(self, name: str) -> None:
        self.standings[name] = self.standings[name].ended()

    def answered(self, name: str, latency_ms: float, *, probe: bool = False) -> None:
        after = self.standings[name].answered(latency_ms, self.clock.now(), self.chance(), probe=probe)
        self._learn(name, after)

    def failed(self, name: str, *, probe: bool = False) -> None:
        self._learn(name, self.standings[name].failed(self.clock.now(), self.chance(), probe=probe))

    def expend(self, name: str, occasion: ExpenseKind, usd: float, session: str = "", tenant: str = "") -> None:
        """Count and write down what was spent on no final."""
        if usd:
            self.ledger.spend(session, tenant, usd)
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.note(Expense(at, name, occasion, usd, session, tenant))

    def agreed(self, name: str, language: str | None, share: float) -> None:
        self.standings[name] = self.standings[name].agreed(language, share)

    def earn_hedge(self) -> None:
        rules = self.rules().hedge
        kept = min(self.tokens.left, rules.burst)
        self.tokens = HedgeBudget(rules.share, rules.burst, kept).earn()

    def may_hedge(self) -> bool:
        return self.tokens.take() is not None

    def take_hedge(self) -> None:
        self.tokens = self.tokens.take() or self.tokens

    def _learn(self, name: str, after: RouteState) -> None:
        before = self.standings[name].breaker
        self.standings[name] = after
        if before.until is None and after.breaker.until is not None:
            rest = after.breaker.until - self.clock.now()
            _log.warning("route rests", route=name, seconds=round(rest, 1), bad=round(after.breaker.badness, 2))
        elif before.until is not None and after.breaker.until is None:
            _log.info("route is back", route=name)

    # -- tending ----------------------------------------------------------------

    async def tend(self) -> None:
        """Probe what rests, keep warm what stands idle; for ever."""
        async with anyio.create_task_group() as tasks:
            while True:
                for name in self.due():
                    self.probing.add(name)
                    tasks.start_soon(self._probe, name)
                for name in self.reporting:
                    if self.looks_at.get(name, 0.0) <= self.clock.now():
                        self.looks_at[name] = inf
                        tasks.start_soon(self._look, name)
                await self.clock.sleep_until(self.clock.now() + TEND_EVERY_S)

    def due(self) -> list[str]:
        """Routes that want a probe now. A paid one is probed only where there is money, and never to keep it warm."""
        now = self.clock.now()
        broke = self.ledger.spent("", "").exhausted(Budgets(day=self.rules().budgets.day)) is not None
        names = []
        for name, current in self.standings.items():
            free = current.profile.price.is_free
            idle = self.used.get(name, -KEEP_WARM_S) + KEEP_WARM_S <= now
            match current.breaker.health(now):
                case BreakerState.HALF_OPEN:
                    wanted = free or not broke
                case BreakerState.CLOSED:
                    wanted = idle and free
                case BreakerState.OPEN:
                    wanted = False
            if wanted and name not in self.probing:
                names.append(name)
        return names

    async def _look(self, name: str) -> None:
        """Ask how busy it is; an answer that does not come says nothing about its health."""
        load, ours, again_s = None, self.standings[name].waiting, LOOK_AGAIN_S
        try:
            with anyio.fail_after(LOOK_WITHIN_S):
                load = await self.reporting[name].load()
            again_s = LOOK_EVERY_S if load else LOOK_SELDOM_S
        except (ParleyError, TimeoutError):
            pass  # because what it said before is dropped, and that is all
        current = self.standings[name]
        self.standings[name] = current.loaded(load, max(ours, current.waiting))
        self.looks_at[name] = self.clock.now() + again_s

    async def _probe(self, name: str) -> None:
        profile = self.standings[name].profile
        began = self.clock.now()
        clip, answered = ProbeClip(self.clip), False
        self.began(name)
        try:
            with anyio.fail_after(PROBE_WITHIN_S):
                said = await _words(self.engines[name], clip, profile.languages)
            answered = True
            if said or not self.clip:
                self.answered(name, (self.clock.now() - began) * 1000, probe=True)
            else:
                self.failed(name, probe=True)
        except (ParleyError, TimeoutError):
            self.failed(name, probe=True)
        finally:
            self.ended(name)
            self.probing.discard(name)
            if answered or profile.live:
                self.expend(name, ExpenseKind.PROBE, profile.price.bill(seconds(clip.taken)))


@dataclass(slots=True)
class ProbeClip:
    pcm: bytes
    taken: int = 0
    """Samples an engine has asked for."""

    async def chunks(self) -> AsyncGenerator[AudioChunk, None]:
        for chunk in split_audio(AudioChunk(self.pcm, 0), ms(100)):
            yield chunk
            self.taken = chunk.end


async def _words(engine: Transcriber, clip: ProbeClip, languages: tuple[str, ...]) -> bool:
    language = "en" if not languages or "en" in languages else languages[0]
    async with aclosing(clip.chunks()) as audio, aclosing(engine.transcribe(audio, language=language)) as hypotheses:
        async for hypothesis in hypotheses:
            if hypothesis.is_final:
                return bool(hypothesis.text.strip())
    return False
