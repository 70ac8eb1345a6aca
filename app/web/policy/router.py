"""Handlers of `/policy`: stored decisions, their sums per route, and what the rules would decide now."""

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import msgspec
from anyio import to_thread
from litestar import MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import ClientException, NotFoundException

from app.data.decision_json import candidate_fields, encode_decisions
from app.domain.language import parse_languages
from app.domain.principal import Scope
from app.domain.residency import Residency
from app.domain.routing.decision import DecisionFilter
from app.domain.routing.request import RouteRequest
from app.domain.spending import remaining, spending_by_tenant
from app.runtime.service import RoutingPolicy, Service
from app.web.auth.middleware import requires
from app.web.known_parameters import QUERY
from app.web.query_values import parse_moment

MAX_DECISIONS = 10_000
"""In one answer."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Query parameters of `/policy/decisions` and `/policy/summary`."""

    session: str | None = None
    tenant: str | None = None
    route: str | None = None
    place: str | None = None
    since: str | None = None
    until: str | None = None
    """ISO 8601, with any offset; without one it is UTC."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class HypotheticalRequest:
    """Query parameters of `/policy/explain`: an utterance to rank the routes for."""

    seconds: float = 4.0
    language: str | None = None
    place: Residency = Residency.CLOUD_OK
    tenant: str = "default"


@get("/policy/decisions", opt={**requires(Scope.ADMIN), QUERY: DecisionQuery})
async def decisions(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """The newest decisions first; every one of them can be replayed under other rules.

    Filters: session, tenant, route, place, since, until, limit.
    """
    query = _query(request, DecisionQuery)
    records = await _policy(state).decisions.find(_filter(query, max(1, min(query.limit, MAX_DECISIONS))))
    body = await to_thread.run_sync(encode_decisions, records)  # ten thousand would hold up the event loop
    return Response(body, media_type=MediaType.JSON)


@get("/policy/summary", opt={**requires(Scope.ADMIN), QUERY: DecisionQuery})
async def summary(request: Request[Any, Any, Any], state: State) -> dict[str, Any]:
    """Share, latency, cost, failures and agreement of each route, over the newest decisions; today's spending."""
    policy = _policy(state)
    routes = await policy.decisions.summary(_filter(_query(request, DecisionQuery), MAX_DECISIONS))
    return {
        "rules": policy.routes.rules().name,
        "refusedChange": policy.refused_change(),
        "routes": list(routes),
        "spend": _spend(policy, state.service),
    }


@get("/policy/explain", opt={**requires(Scope.ADMIN), QUERY: HypotheticalRequest})
async def explain(request: Request[Any, Any, Any], state: State) -> dict[str, Any]:
    """How the routes would be ranked for an utterance now. Its properties: seconds, language, place, tenant."""
    routes, query = _policy(state).routes, _query(request, HypotheticalRequest)
    language = parse_languages((query.language or "").split(",")) or None
    service: Service = state.service
    tenant = service.tenant(query.tenant)
    ranking = routes.rank(
        RouteRequest(
            query.seconds,
            language,
            Residency.ON_PREM_ONLY if tenant.place is Residency.ON_PREM_ONLY else query.place,
            routes.ledger.spent("", tenant.name),
            tenant_usd=tenant.budget_usd_per_day,
        )
    )
    return {
        "rules": routes.rules().name,
        "panic": ranking.panic,
        "choices": [asdict(choice) for choice in ranking.choices],
        "rejected": [{"name": rejection.name, "why": rejection.why} for rejection in ranking.rejected],
        "fleet": [candidate_fields(candidate) for candidate in routes.fleet(language)],
    }


def _spend(policy: RoutingPolicy, service: Service) -> dict[str, Any]:
    """Today's spending by all processes, reservations included, against the budgets; US dollars."""
    ledger, budgets = policy.routes.ledger, policy.routes.rules().budgets
    day, spent = ledger.today(), ledger.spent_by_tenant()
    usd = sum(spent.values())
    own_budgets = {tenant.name: tenant.budget_usd_per_day for tenant in (service.tenants or tuple)()}
    return {
        "day": day,
        "usd": usd,
        "budgetUsd": budgets.day,
        "remainingUsd": remaining(usd, budgets.day),
        "ageS": policy.spend_age_s(),
        "tenants": [
            {"tenant": line.tenant, "usd": line.usd, "budgetUsd": line.budget_usd, "remainingUsd": line.remaining_usd}
            for line in spending_by_tenant(spent, budgets, own_budgets)
        ],
    }


def _query(request: Request[Any, Any, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ClientException(str(error)) from error


def _filter(query: DecisionQuery, limit: int) -> DecisionFilter:
    return DecisionFilter(
        query.session,
        query.tenant,
        query.route,
        query.place,
        parse_moment("since", query.since),
        parse_moment("until", query.until),
        limit,
    )


def _policy(state: State) -> RoutingPolicy:
    policy: RoutingPolicy | None = state.service.policy
    if policy is None:
        raise NotFoundException("this service has no policy")
    return policy
