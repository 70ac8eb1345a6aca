"""Reads the rules of the routing policy from a TOML file, or a shipped one by its name."""

from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from app.domain.errors import SettingsError
from app.domain.residency import Place
from app.domain.routing.cost import Budgets
from app.domain.routing.rules import CascadeRules, HedgeRules, Objective, RoutingRules
from app.toml_file import TomlDocument, given, parse_document, read_document

SHIPPED = Path(__file__).parent / "shipped"

Amount: TypeAlias = Annotated[float, Meta(ge=0)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Places: TypeAlias = Annotated[tuple[Place, ...], Meta(min_length=1)]


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class BudgetTable(_Table, frozen=True):
    session: Amount | UnsetType = UNSET
    tenant: Amount | UnsetType = UNSET
    day: Amount | UnsetType = UNSET


class HedgeTable(_Table, frozen=True):
    enabled: bool | UnsetType = UNSET
    share: Share | UnsetType = UNSET
    burst: Amount | UnsetType = UNSET
    least_ms: Amount | UnsetType = UNSET
    most_ms: Amount | UnsetType = UNSET


class CascadeTable(_Table, frozen=True):
    least_confidence: Share | UnsetType = UNSET
    least_agreement: Share | UnsetType = UNSET


class RulesTable(
    _Table, frozen=True, rename={"abandon_after_ms": "patience_ms", "abandon_after_hedges": "patience_hedges"}
):
    """The whole file; a key that is not given has the default of `RoutingRules`."""

    objective: Objective | UnsetType = UNSET
    places: Places | UnsetType = UNSET
    prefer: tuple[Place, ...] | UnsetType = UNSET
    in_time_ms: Amount | UnsetType = UNSET
    most_usd: Amount | UnsetType = UNSET
    least_quality: Share | UnsetType = UNSET
    least_agreement: Share | UnsetType = UNSET
    deadline_ms: Amount | UnsetType = UNSET
    abandon_after_ms: Amount | UnsetType = UNSET
    abandon_after_hedges: Annotated[float, Meta(ge=1)] | UnsetType = UNSET
    speculate_paid: bool | UnsetType = UNSET
    budgets: BudgetTable = BudgetTable()
    hedge: HedgeTable = HedgeTable()
    cascade: CascadeTable | None = None


def shipped() -> list[str]:
    """Names of the shipped rules."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def rules_path(name: str) -> Path:
    """The file behind a shipped name, or the path itself. Raises SettingsError where there is neither."""
    path = SHIPPED / f"{name}.toml" if name in shipped() else Path(name)
    if not path.is_file():
        raise SettingsError(f"PARLEY_POLICY: {name!r} is no file; shipped are {', '.join(shipped())}")
    return path


def read_rules(path: Path) -> RoutingRules:
    """Blocking. Raises SettingsError that names the line and the key."""
    return _rules(read_document(path), path.stem)


def parse_rules(text: str, name: str, source: str) -> RoutingRules:
    """The rules in this text. Raises SettingsError."""
    return _rules(parse_document(text, source), name)


def _rules(document: TomlDocument, name: str) -> RoutingRules:
    table = document.convert(RulesTable)
    plain = given(table)
    plain["budgets"] = Budgets(**given(table.budgets))
    plain["hedge"] = HedgeRules(**given(table.hedge))
    plain["cascade"] = CascadeRules(**given(table.cascade)) if table.cascade else None
    return RoutingRules(name=name, **plain)
