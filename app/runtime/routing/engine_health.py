"""Health of the reply engines, or of the voices: a circuit breaker each, and probes while one is half-open."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import structlog

from app.domain.errors import BudgetExhausted, ParleyError, RequestRefused
from app.domain.ports import Clock
from app.domain.routing.circuit_breaker import BreakerState, CircuitBreaker, CircuitBreakerRules
from app.domain.routing.cost import BudgetScope
from app.domain.routing.engine_failover import EngineCandidate, engine_order
from app.domain.spending import budget_sentence
from app.runtime.supervision import report_defect

PROBE_EVERY_S = 0.25
PROBE_TIMEOUT_S = 15.0

_log = structlog.get_logger("parley.engine")


class _Priced(Protocol):
    @property
    def is_free(self) -> bool: ...


class PooledEngine(Protocol):
    """A reply engine or a voice, among others."""

    @property
    def name(self) -> str: ...
    @property
    def price(self) -> _Priced: ...
    @property
    def is_reserve(self) -> bool: ...


@dataclass(slots=True)
class EngineHealth:
    """Shared by all sessions."""

    names: Sequence[str]
    clock: Clock
    chance: Callable[[], float]
    """A random number from 0 to 1."""
    rules: CircuitBreakerRules = CircuitBreakerRules()
    breakers: dict[str, CircuitBreaker] = field(init=False)
    probing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.breakers = {name: CircuitBreaker(self.rules) for name in self.names}

    def state(self, name: str) -> BreakerState:
        return self.breakers[name].state(self.clock.now())

    def order(self, engines: Sequence[PooledEngine], exhausted: BudgetScope | None, consequence: str) -> Sequence[str]:
        """The engines that may serve, best first, where this budget is spent or none is.

        Raises BudgetExhausted, with the consequence, where a budget is spent and every engine costs money.
        """
        candidates = [
            EngineCandidate(each.name, each.price.is_free, self.state(each.name), each.is_reserve) for each in engines
        ]
        order = engine_order(candidates, is_budget_spent=exhausted is not None)
        if exhausted is not None and not order:
            raise BudgetExhausted(budget_sentence(exhausted, consequence))
        return order

    def answered(self, name: str, ms: float, *, probe: bool = False) -> None:
        """Its first output came after so many milliseconds; what is too slow counts as failed."""
        before = self.breakers[name]
        self._update(name, before.record_success(ms, now=self.clock.now(), chance=self.chance(), probe=probe))

    def failed(self, name: str, *, probe: bool = False) -> None:
        self._update(name, self.breakers[name].record_failure(self.clock.now(), self.chance(), probe=probe))

    def abandoned(self, name: str, ms: float) -> None:
        """Nobody waited for its first output: that says something only where it was too slow already."""
        if ms > self.rules.slow_ms:
            self.failed(name)

    async def probe_loop(self, probes: Mapping[str, Callable[[], Awaitable[bool]]]) -> None:
        """Probe every half-open engine, for ever. A probe says whether it ran, and raises a ParleyError."""
        async with anyio.create_task_group() as tasks:
            while True:
                for name in self.names:
                    if self.state(name) is BreakerState.HALF_OPEN and name not in self.probing:
                        self.probing.add(name)
                        tasks.start_soon(self._probe, name, probes[name])
                await self.clock.sleep_until(self.clock.now() + PROBE_EVERY_S)

    async def _probe(self, name: str, probe: Callable[[], Awaitable[bool]]) -> None:
        began = self.clock.now()
        try:
            with anyio.fail_after(PROBE_TIMEOUT_S):
                if await probe():
                    self.answered(name, (self.clock.now() - began) * 1000, probe=True)
        except RequestRefused:
            self.answered(name, 0.0, probe=True)  # because it works, whatever it thinks of the probe
        except (ParleyError, TimeoutError):
            self.failed(name, probe=True)
        except Exception as error:  # noqa: BLE001 because a defect of one engine must not end the others' probes
            report_defect("engine_probe", error, engine=name)
            self.failed(name, probe=True)
        finally:
            self.probing.discard(name)

    def _update(self, name: str, after: CircuitBreaker) -> None:
        before, self.breakers[name] = self.breakers[name], after
        if before.open_until is None and after.open_until is not None:
            seconds = round(after.open_until - self.clock.now(), 1)
            _log.warning("circuit breaker open", engine=name, seconds=seconds)
        elif before.open_until is not None and after.open_until is None:
            _log.info("circuit breaker closed", engine=name)
