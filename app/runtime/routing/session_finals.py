"""Finals by the policy: for every utterance the routes are ranked, and pursued until one has it."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import anyio

from app.domain.audio import AudioChunk
from app.domain.errors import ProviderBusy
from app.domain.ports import Transcriber
from app.domain.residency import Place, Residency
from app.domain.routing import hedging as r
from app.domain.routing.decision import Attempt, DecisionRecord, ExpenseKind, Outcome, RejectedRoute
from app.domain.routing.rank import Ranking, RouteChoice, rank
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.route import Route
from app.domain.tenant import OPEN, Tenant
from app.domain.transcript import Hypothesis, agreement
from app.runtime.routing.final_request import HAPPENINGS, USUAL_S, HedgedRequest, Item
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.routes import Routes


@dataclass(frozen=True, slots=True)
class SessionFinals:
    """The routes as one session sees them. It is a Finals, and a Transcriber too."""

    routes: Routes
    session: str
    tenant: Tenant = OPEN
    allowed: Residency = Residency.CLOUD_OK
    engines: Mapping[str, Transcriber] | None = None
    """The session's own engines, where it has some; otherwise those of the routes."""
    meters: Mapping[str, EngineMeter] = field(default_factory=dict)
    """Of those that count themselves what they cost."""

    @property
    def deadline_ms(self) -> float:
        return self.routes.rules().deadline_ms

    def open(
        self, utterance: int, language: str | None, residency: Residency, deadline_ms: float | None = None
    ) -> "FinalRequest":
        engines = self.routes.engines if self.engines is None else self.engines
        if self.tenant.place is Residency.ON_PREM_ONLY:
            residency = Residency.ON_PREM_ONLY  # whatever the session asks for
        return FinalRequest(
            self.routes, engines, self.meters, self.session, self.tenant, utterance, language, residency, deadline_ms
        )

    def close(self) -> None:
        """The session is over; what its engines cost since the last final is written down."""
        for name, meter in self.meters.items():
            self.routes.expend(name, ExpenseKind.SILENCE, meter.charge(), self.session, self.tenant.name)
        self.routes.ledger.close(self.session)

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        owed = self.open(0, language, self.allowed)
        owed.confirm_endpoint()
        async for hypothesis in owed.transcribe(utterance, language=language):
            owed.record_shown(hypothesis, owed.route)
            yield hypothesis


@dataclass(slots=True)
class FinalRequest:
    """An OwedFinal by the policy."""

    routes: Routes
    engines: Mapping[str, Transcriber]
    meters: Mapping[str, EngineMeter]
    session: str
    tenant: Tenant
    utterance: int
    language: str | None
    allowed: Residency
    deadline_ms: float | None = None
    """The session's own wish."""
    route: Route = field(default=Route("finals", Place.ON_PREM))
    live: bool = field(init=False)
    _draft: str = ""
    _confirmed: bool = False
    _pursuit: HedgedRequest | None = None
    _attempts: list[Attempt] = field(default_factory=list)
    _basis: tuple[RouteRequest, tuple[Candidate, ...], Ranking] = field(init=False)

    def __post_init__(self) -> None:
        best = self._decide().best
        self.live = best is not None and best.live

    # -- what the stage says ------------------------------------------------------

    def update_draft(self, text: str) -> None:
        self._draft = text

    def restrict_to_on_prem(self) -> None:
        self.allowed = Residency.ON_PREM_ONLY
        if self._pursuit:
            self._pursuit.tell(r.ResidencyRestricted())

    def stop_live(self) -> None:
        self.live = False

    def confirm_endpoint(self) -> None:
        self._confirmed = True
        self.routes.earn_hedge()
        if self._pursuit:
            self._pursuit.tell(r.EndpointConfirmed)

    def record_shown(self, final: Hypothesis, route: Route | None) -> None:
        """Compare the final with the drafts, and write the decision down."""
        share = agreement(self._draft, final.text) if self._draft.strip() and route else None
        if share is not None and route:
            self.routes.agreed(route.name, self.language, share)
        self.routes.record(self._record(route, share))

    # -- the final ----------------------------------------------------------------

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        """The final, from whichever route brings it."""
        self.language = language
        yield await self._final(utterance)

    async def _final(self, utterance: AsyncIterable[AudioChunk]) -> Hypothesis:
        speculative = not self._confirmed and not self.live
        rules, decision = self.routes.rules(), self._decide()
        if speculative:
            if decision.best and not self._is_free(decision.best) and not rules.speculate_paid:
                raise ProviderBusy("finals", "the route costs money and waits for the end of the utterance")
            decision = self._decide(speculative=True)
        race, orders = r.begin(
            decision.choices, rules, speculative=speculative, allowed=self.allowed, wish_ms=self.deadline_ms
        )
        if self._confirmed:
            race, more = r.transition(race, r.EndpointConfirmed(decision.choices))
            orders = (*orders, *more)
        inbox, items = anyio.create_memory_object_stream[Item](HAPPENINGS)
        async with inbox, items, anyio.create_task_group() as tasks:
            pursuit = self._pursuit = HedgedRequest(
                self.routes,
                self.engines,
                self.language,
                self._choices,
                lambda: self._draft,
                self._spend,
                self.meters,
                self._attempts,
                race,
                tasks,
                inbox,
                items,
            )
            try:
                end = await pursuit.run(utterance, orders)
            finally:
                pursuit.race = replace(pursuit.race, over=True)
            tasks.cancel_scope.cancel()
        if isinstance(end, r.GiveUp):
            raise end.error
        self.route = self._taken(end, hedged=pursuit.race.hedged)
        return end.final

    def _choices(self) -> tuple[RouteChoice, ...]:
        return self._decide().choices

    def _decide(self, *, speculative: bool = False) -> Ranking:
        spent = self.routes.ledger.spent(self.session, self.tenant.name)
        heard = self._pursuit.seconds if self._pursuit else 0.0
        request = RouteRequest(
            heard or USUAL_S,
            self.language,
            self.allowed,
            spent,
            self.deadline_ms,
            speculative=speculative,
            tenant_usd=self.tenant.budget_usd_per_day,
        )
        fleet = tuple(self._streamed(candidate) for candidate in self.routes.fleet(self.language))
        decision = rank(request, fleet, self.routes.rules())
        self._basis = request, fleet, decision
        return decision

    def _streamed(self, candidate: Candidate) -> Candidate:
        """The route with what this session's stream has carried, so that its price is that of going on."""
        meter = self.meters.get(candidate.name)
        if meter is None:
            return candidate
        pursued = self._pursuit
        carried = pursued.streamed(candidate.name) if pursued else meter.carried_seconds(self.language)
        return replace(candidate, streamed=carried)

    def _is_free(self, choice: RouteChoice) -> bool:
        return self.routes.standings[choice.name].profile.price.is_free

    def _spend(self, usd: float) -> None:
        self.routes.ledger.spend(self.session, self.tenant.name, usd)

    # -- what is known of it --------------------------------------------------------

    def _taken(self, end: r.Deliver, *, hedged: bool) -> Route:
        name = end.choice.name
        mine = max(i for i, a in enumerate(self._attempts) if a.name == name and a.outcome is Outcome.ANSWERED)
        self._attempts[mine] = delivered = replace(self._attempts[mine], outcome=Outcome.DELIVERED)
        usd = sum(attempt.usd for attempt in self._attempts)
        return Route(name, end.choice.place, end.why, hedged, round(delivered.ms), round(usd, 6))

    def _record(self, route: Route | None, share: float | None) -> DecisionRecord:
        request, fleet, decision = self._basis
        return DecisionRecord(
            id=uuid4().hex,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            session=self.session,
            tenant=self.tenant.name,
            utterance=self.utterance,
            rules=self.routes.rules().name,
            request=request,
            fleet=fleet,
            ranked=tuple(choice.name for choice in decision.choices),
            rejected=tuple(RejectedRoute(rejection.name, rejection.why) for rejection in decision.rejected),
            panic=decision.panic,
            chosen=route.name if route else None,
            place=route.place if route else None,
            why=route.why if route else "no route answered; this is the newest draft",
            hedged=bool(route and route.hedged),
            latency_ms=float(route.latency_ms or 0) if route else 0.0,
            usd=sum(attempt.usd for attempt in self._attempts),
            attempts=tuple(self._attempts),
            agreement=share,
        )
