"""What the policy decided: lists, sums and metrics."""

from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.exceptions import ClientException, NotFoundException

from app.domain.residency import Residency
from app.domain.routing.decision import DecisionFilter
from app.domain.routing.request import RouteRequest as Utterance
from app.runtime.service import RoutingPolicy, Service
from app.web.auth.middleware import OPERATOR

MOST = 10_000
"""Decisions in one answer."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HypotheticalRequest:
    """An utterance nobody has said."""

    seconds: float = 4.0
    language: str | None = None
    place: Residency = Residency.CLOUD_OK
    tenant: str = "default"


@get("/policy/decisions", opt=OPERATOR)
async def decisions(request: Request[Any, Any, Any], state: State) -> list[Any]:
    """The newest decisions first; every one of them can be replayed under other rules.

    Filters: session, tenant, route, place, since, until, limit.
    """
    wanted = _query(request, DecisionFilter)
    return list(await _policy(state).decisions.find(replace(wanted, limit=max(1, min(wanted.limit, MOST)))))


@get("/policy/summary", opt=OPERATOR)
async def summary(request: Request[Any, Any, Any], state: State) -> dict[str, Any]:
    """Each route's share, latency, cost, failures and agreement, over the newest decisions."""
    policy = _policy(state)
    routes = await policy.decisions.summary(replace(_query(request, DecisionFilter), limit=MOST))
    return {"rules": policy.routes.rules().name, "refusedChange": policy.refused_change(), "routes": list(routes)}


@get("/policy/explain", opt=OPERATOR)
async def explain(request: Request[Any, Any, Any], state: State) -> dict[str, Any]:
    """What would happen to an utterance now. It may be described: seconds, language, place, tenant."""
    routes, imagined = _policy(state).routes, _query(request, HypotheticalRequest)
    service: Service = state.service
    tenant = service.tenant(imagined.tenant)
    place = Residency.ON_PREM_ONLY if tenant.place is Residency.ON_PREM_ONLY else imagined.place
    spent = routes.ledger.spent("", tenant.name)
    asked = Utterance(imagined.seconds, imagined.language, place, spent, tenant_usd=tenant.budget_usd_per_day)
    decision = routes.decide(asked)
    return {
        "rules": routes.rules().name,
        "panic": decision.panic,
        "choices": [asdict(choice) for choice in decision.choices],
        "rejected": [{"name": r.name, "why": r.why} for r in decision.rejected],
        "fleet": [asdict(candidate) for candidate in routes.fleet(imagined.language)],
    }


def _query(request: Request[Any, Any, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ClientException(str(error)) from error


def _policy(state: State) -> RoutingPolicy:
    policy: RoutingPolicy | None = state.service.policy
    if policy is None:
        raise NotFoundException("this service has no policy")
    return policy
