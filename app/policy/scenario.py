"""Reads a simulation scenario from a TOML file: load, routes, outages and price changes."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from app.domain.errors import SettingsError
from app.domain.residency import Place
from app.domain.routing.circuit_breaker import CircuitBreakerRules
from app.domain.routing.cost import Price
from app.domain.routing.fleet import RouteSpec
from app.policy.rules_file import Amount, Share
from app.toml_file import read_toml


class RouteModel(Struct, frozen=True, forbid_unknown_fields=True, rename={"open_s": "rest_s"}):
    """How a route behaves while no fault is scheduled."""

    place: Place
    p50_ms: Annotated[float, Meta(gt=0)]
    p95_ms: Annotated[float, Meta(gt=0)]
    usd_per_minute: Amount = 0.0
    minimum_s: Amount = 0.0
    failures: Share = 0.0
    at_once: Annotated[int, Meta(ge=1)] | None = None
    quality: Share = 0.5
    slow_ms: Amount = 4000.0
    open_s: Amount = 5.0

    def spec(self, name: str) -> RouteSpec:
        return RouteSpec(
            name,
            self.place,
            Price(self.usd_per_minute, self.minimum_s),
            at_once=self.at_once,
            quality=self.quality,
            expected_ms=self.p50_ms,
            breaker=CircuitBreakerRules(slow_ms=self.slow_ms, open_s=self.open_s),
        )


class ScheduledFault(Struct, frozen=True, forbid_unknown_fields=True):
    """From `at` to `until`, in seconds, a route behaves differently."""

    route: str
    at: Amount
    until: Amount
    state: Literal["up", "fails", "stalls"] = "up"
    slower: Annotated[float, Meta(gt=0)] = 1.0
    """Factor on its usual latency."""
    usd_per_minute: Amount | None = None


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, rename={"faults": "troubles"}):
    routes: dict[str, RouteModel]
    seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    per_second: Annotated[float, Meta(gt=0)] = 1000.0
    """Utterances."""
    policies: tuple[str, ...] = ("private-first", "cheapest-in-time", "fastest")
    """Names of shipped rules, or paths of rules files."""
    on_prem_only: Share = 0.0
    """Share of utterances that must not leave the premises."""
    utterance_s: Annotated[float, Meta(gt=0)] = 4.0
    """Mean length."""
    sessions: Annotated[int, Meta(ge=1)] = 1000
    """Sessions, among which the utterances rotate."""
    tenants: Annotated[int, Meta(ge=1)] = 1
    """Tenants, among which the sessions are divided evenly."""
    seed: int = 1
    faults: tuple[ScheduledFault, ...] = ()


def read_scenario(path: Path) -> Scenario:
    """Blocking. Raises SettingsError that names the line and the key."""
    scenario = read_toml(path, Scenario)
    for fault in scenario.faults:
        if fault.route not in scenario.routes:
            raise SettingsError(f"{path}: troubles: there is no route {fault.route!r}")
    return scenario
