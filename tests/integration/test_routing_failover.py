"""The router in virtual time: refused requests, hanging routes, unexpected errors, sessions that are cut off."""

from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.domain.audio import AudioChunk
from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, RequestRefused
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState, CircuitBreakerRules
from app.domain.routing.decision import DecisionRecord, Expense, ExpenseKind, Outcome
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.rules import RoutingRules
from app.domain.routing.summary import summarise
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.runtime.routing.final_request import FinalRequest
from app.runtime.routing.route_metrics import RoutingMetrics
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.supervision import defects
from tests.routes import AWS, CHUNK, JETSON, LOCAL, RouteEngine, ScriptedRoutes, scripted_routes, settle

pytestmark = pytest.mark.anyio

UNSUPPORTED = RequestRefused("local", "language xx is not supported")


def open_final(scripted: ScriptedRoutes, session: str = "s") -> tuple[SessionFinals, FinalRequest]:
    finals = SessionFinals(scripted.routes, session, Tenant("t"))
    return finals, finals.open(1, "en", Residency.CLOUD_OK)


async def audio(chunks: int = 2):
    for number in range(chunks):
        yield AudioChunk(CHUNK, number * len(CHUNK) // 2)


async def result_of(request: FinalRequest) -> str | ParleyError:
    """The text of its final, or its error."""
    try:
        async with aclosing(request.transcribe(audio(), language="en")) as hypotheses:
            return [hypothesis.text async for hypothesis in hypotheses][-1]
    except ParleyError as error:
        return error


async def final_of(
    scripted: ScriptedRoutes, request: FinalRequest, within_s: float = 20.0
) -> tuple[str | ParleyError, float]:
    """The result, and after how many seconds of virtual time it was there."""
    results: list[str | ParleyError] = []
    began = scripted.clock.now()

    async def run() -> None:
        results.append(await result_of(request))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        while not results and scripted.clock.now() < began + within_s:
            await scripted.advance(0.05)
        tasks.cancel_scope.cancel()
    return results[0], scripted.clock.now() - began


def open_breaker(scripted: ScriptedRoutes, name: str) -> None:
    for _ in range(3):
        scripted.routes.failed(name)
    assert scripted.routes.states[name].breaker.state(scripted.clock.now()) is BreakerState.OPEN


# -- vocabularies -----------------------------------------------------------------


class VocabularyEngine(RouteEngine):
    """Its final is the name of the vocabulary it was bound to."""

    def __init__(self, scripted_clock, vocabulary="the route's") -> None:
        super().__init__(scripted_clock)
        self.vocabulary = vocabulary

    def with_vocabulary(self, name: str) -> "VocabularyEngine":
        return VocabularyEngine(self.clock, name)

    async def transcribe(self, utterance, *, language=None):
        async for hypothesis in super().transcribe(utterance, language=language):
            yield replace(hypothesis, text=self.vocabulary)


@pytest.mark.parametrize(
    ("tenant", "profile", "used"),
    [(None, None, "the route's"), ("acme", None, "acme"), ("acme", "pizzas", "pizzas"), (None, "pizzas", "pizzas")],
)
async def test_vocabulary_is_the_profiles_else_the_tenants_else_the_routes(tenant, profile, used):
    scripted = scripted_routes(LOCAL, local=RouteEngine(None))
    engines = {"local": VocabularyEngine(scripted.clock)}
    finals = SessionFinals(scripted.routes, "s", Tenant("t", vocabulary=tenant), engines=engines)
    request = finals.open(1, "en", Residency.CLOUD_OK, vocabulary=profile)
    request.confirm_endpoint()

    assert (await final_of(scripted, request))[0] == used


# -- requests that an engine refuses --------------------------------------------------


async def test_a_refused_request_is_no_failure_of_the_route():
    """Ten utterances in a language it lacks: each session gets the error, and the breaker counts nothing."""
    scripted = scripted_routes(LOCAL, local=RouteEngine(None, error=UNSUPPORTED))

    results = []
    for _ in range(10):
        _, request = open_final(scripted)
        request.confirm_endpoint()
        results.append((await final_of(scripted, request))[0])

    assert results == [UNSUPPORTED] * 10
    assert scripted.routes.states["local"].breaker.failure_rate == 0
    assert scripted.routes.states["local"].breaker.state(scripted.clock.now()) is BreakerState.CLOSED


async def test_a_refused_request_fails_over_to_a_route_that_serves_it():
    """The attempt is recorded with its code; the breaker of the first route counts nothing."""
    scripted = scripted_routes(
        LOCAL, AWS, local=RouteEngine(None, error=UNSUPPORTED), rules=RoutingRules(prefer=(Place.ON_PREM,))
    )
    _, request = open_final(scripted)
    request.confirm_endpoint()

    text, _ = await final_of(scripted, request)
    request.record_shown(Hypothesis(str(text), is_final=True), request.route)

    assert (text, request.route.name) == ("2 chunks", "aws")
    assert "failed" not in request.route.why
    assert [(a.name, a.outcome, a.error) for a in scripted.records[0].attempts] == [
        ("local", Outcome.FAILED, "request_refused"),
        ("aws", Outcome.DELIVERED, ""),
    ]
    assert scripted.routes.states["local"].breaker.failure_rate == 0


async def test_a_probe_that_is_refused_its_language_closes_the_circuit_breaker():
    """The route answers: it is not down, and its latency stays unknown."""
    scripted = scripted_routes(LOCAL, local=RouteEngine(None, error=UNSUPPORTED))
    open_breaker(scripted, "local")
    latencies = scripted.routes.states["local"].latencies

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        await scripted.advance(6, step=0.25)
        tasks.cancel_scope.cancel()

    assert scripted.routes.states["local"].breaker.state(scripted.clock.now()) is BreakerState.CLOSED
    assert scripted.routes.states["local"].latencies == latencies


# -- one route hangs, the other's breaker is open ----------------------------------------


async def test_an_open_route_is_tried_while_the_only_other_one_hangs():
    """Its breaker is open for two minutes more, but it answers: no words are lost."""
    slow_probe = CircuitBreakerRules(open_s=120)
    jetson = replace(JETSON, breaker=slow_probe)
    scripted = scripted_routes(LOCAL, jetson, local=RouteEngine(None, stalls=True))
    open_breaker(scripted, "jetson")
    _, request = open_final(scripted)
    request.confirm_endpoint()

    text, took_s = await final_of(scripted, request)

    assert (text, request.route.name) == ("2 chunks", "jetson")
    assert took_s <= RoutingRules().abandon_after_ms / 1000 + 0.2


async def test_the_ranking_of_the_endpoint_is_recorded_whatever_timers_rank_later():
    """The route that is hedged to has recovered since: it is in the attempts, and was rejected at the endpoint."""
    scripted = scripted_routes(LOCAL, JETSON, local=RouteEngine(None, takes_s=5.0))
    open_breaker(scripted, "jetson")
    _, request = open_final(scripted)
    request.confirm_endpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(result_of, request)
        await scripted.advance(0.2)
        scripted.routes.answered("jetson", 100, probe=True)
        await scripted.advance(5)
    request.record_shown(Hypothesis("2 chunks", is_final=True), request.route)

    (record,) = scripted.records
    assert (record.ranked, [r.name for r in record.rejected]) == (("local",), ["jetson"])
    assert {a.name for a in record.attempts} == {"local", "jetson"}
    assert record.chosen == "jetson"


async def test_a_route_that_recovers_takes_over_from_one_that_hangs():
    """It is down when the request begins, and declared back by a probe long before the deadline."""
    jetson = RouteEngine(None, error=ProviderDown("jetson", "gone"))
    scripted = scripted_routes(LOCAL, JETSON, local=RouteEngine(None, stalls=True), jetson=jetson)
    open_breaker(scripted, "jetson")
    _, request = open_final(scripted)
    request.confirm_endpoint()

    async def mend() -> None:
        await scripted.clock.sleep_until(8.0)
        jetson.error = None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        tasks.start_soon(mend)
        text, took_s = await final_of(scripted, request)
        tasks.cancel_scope.cancel()

    assert (text, request.route.name) == ("2 chunks", "jetson")
    assert took_s < 15


async def test_a_route_that_failed_first_is_retried_while_the_other_hangs():
    """Failover to a route that hangs: the first one is back after seven seconds, and asked again."""
    jetson = RouteEngine(None, error=ProviderDown("jetson", "gone"))
    scripted = scripted_routes(JETSON, LOCAL, jetson=jetson, local=RouteEngine(None, stalls=True))
    _, request = open_final(scripted)
    request.confirm_endpoint()

    async def mend() -> None:
        await scripted.clock.sleep_until(7.0)
        jetson.error = None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mend)
        text, took_s = await final_of(scripted, request)
        tasks.cancel_scope.cancel()

    assert (text, request.route.name) == ("2 chunks", "jetson")
    assert took_s < 10


# -- unexpected errors ---------------------------------------------------------------------


async def test_an_unexpected_error_of_an_engine_fails_over():
    """It is counted as a defect and as a failure of its route; the words come from the next one."""
    scripted = scripted_routes(JETSON, LOCAL, jetson=RouteEngine(None, error=KeyError("a defect")))
    before = defects["route_attempt"]
    _, request = open_final(scripted)
    request.confirm_endpoint()

    text, _ = await final_of(scripted, request)

    assert (text, request.route.name) == ("2 chunks", "local")
    assert defects["route_attempt"] == before + 1
    assert scripted.routes.states["jetson"].breaker.failure_rate == 1


async def test_an_unexpected_error_in_a_probe_ends_nothing():
    """The other routes are probed as before; the route is counted as failed."""
    jetson = RouteEngine(None, error=KeyError("a defect"))
    scripted = scripted_routes(JETSON, LOCAL, jetson=jetson)
    before = defects["route_probe"]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        await scripted.advance(70, step=0.25)
        tasks.cancel_scope.cancel()

    assert defects["route_probe"] > before
    assert scripted.routes.states["jetson"].breaker.failure_rate == 1
    assert len(scripted.engines["local"].received) >= 2


class BrokenLoad:
    """A Reporting engine with a defect."""

    async def load(self):
        raise KeyError("a defect")


async def test_an_unexpected_error_in_a_load_poll_ends_nothing():
    """It is reported, and the probes go on."""
    scripted = scripted_routes(LOCAL)
    scripted.routes.reporting = {"local": BrokenLoad()}
    before = defects["load_poll"]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        await scripted.advance(20, step=0.25)
        tasks.cancel_scope.cancel()

    assert defects["load_poll"] >= before + 2
    assert scripted.engines["local"].received


# -- money and records -----------------------------------------------------------------------


async def test_a_paid_route_does_not_speculate_after_a_live_attempt_failed():
    """The utterance is sent as a whole from then on, and the paid route waits for its endpoint."""
    aws = RouteEngine(None, error=RequestRefused("aws", "language"), at=0)
    scripted = scripted_routes(AWS, aws=aws)
    _, request = open_final(scripted)
    assert request.live
    assert isinstance((await final_of(scripted, request))[0], RequestRefused)
    aws.error = None

    speculative = await result_of(request)

    assert not request.live
    assert isinstance(speculative, ProviderBusy)
    assert len(aws.received) == 1


async def test_what_a_session_that_is_cut_off_spent_is_recorded():
    """No final was shown: each attempt that cost money is an expense, equal to what the ledger has."""
    expenses: list[Expense] = []
    scripted = scripted_routes(AWS, aws=RouteEngine(None, takes_s=5.0))
    scripted.routes.record_expense = expenses.append
    finals, request = open_final(scripted)
    request.confirm_endpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(result_of, request)
        await scripted.advance(1)
        tasks.cancel_scope.cancel()
    spent = scripted.routes.ledger.spent("", "t").tenant
    finals.close()

    assert spent == pytest.approx(0.006)
    assert [(e.route, e.kind, e.session, e.tenant) for e in expenses] == [("aws", ExpenseKind.ABANDONED, "s", "t")]
    assert sum(e.usd for e in expenses) == pytest.approx(spent)
    assert scripted.routes.ledger.spent("", "t").tenant == pytest.approx(spent)
    assert scripted.records == []


async def test_a_session_that_ends_after_its_final_was_shown_records_nothing_twice():
    """The money stands in the decision."""
    expenses: list[Expense] = []
    scripted = scripted_routes(AWS)
    scripted.routes.record_expense = expenses.append
    finals, request = open_final(scripted)
    request.confirm_endpoint()

    text, _ = await final_of(scripted, request)
    request.record_shown(Hypothesis(str(text), is_final=True), request.route)
    finals.close()

    assert len(scripted.records) == 1
    assert expenses == []


async def test_a_speculative_final_that_was_dropped_is_not_counted_as_delivered():
    """The utterance went on after the pause: of two answers one was delivered."""
    scripted = scripted_routes(LOCAL)
    _, request = open_final(scripted)

    await final_of(scripted, request)
    request.confirm_endpoint()
    text, _ = await final_of(scripted, request)
    request.record_shown(Hypothesis(str(text), is_final=True), request.route)

    assert [a.outcome for a in scripted.records[0].attempts] == [Outcome.ANSWERED, Outcome.DELIVERED]


async def test_a_draft_that_is_shown_as_the_final_has_no_latency():
    """Neither in the histogram nor in the percentiles of the summary."""
    scripted = scripted_routes(LOCAL)
    registry = CollectorRegistry()
    metrics = RoutingMetrics(scripted.routes, registry)
    records: list[DecisionRecord] = []
    scripted.routes.record_decision = records.append
    for route in (None, scripted.routes.specs[0].route):
        _, request = open_final(scripted)
        request.record_shown(Hypothesis("words", is_final=True), route and replace(route, latency_ms=400))

    for record in records:
        metrics.record_decision(record)

    text = generate_latest(registry).decode()
    assert 'parley_finals_total{place="on_prem",route="draft"} 1.0' in text
    assert 'parley_final_seconds_count{route="local"} 1.0' in text
    assert 'parley_final_seconds_count{route="draft"}' not in text
    assert {line.name: line.p50_ms for line in summarise(records)} == {"draft": None, "local": 400}


def test_dropped_rows_are_a_metric():
    """What the decision log could not store is counted for Prometheus."""
    routes = scripted_routes(RouteSpec("local", Place.ON_PREM)).routes

    registry = CollectorRegistry()
    RoutingMetrics(routes, registry, lambda: 3)
    text = generate_latest(registry).decode()

    assert "parley_decisions_dropped_total 3.0" in text


async def test_the_audio_is_replayed_to_a_second_call_while_the_first_one_winds_up():
    """The session drops a speculative final and asks again at once: the first call's engine is still closing."""
    scripted = scripted_routes(LOCAL, local=RouteEngine(None, takes_s=1.0))
    _, request = open_final(scripted)
    results: list[str | ParleyError] = []

    async def second() -> None:
        results.append(await result_of(request))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as first:
            async with anyio.create_task_group() as inner:
                inner.start_soon(result_of, request)
                await settle()
                first.cancel()
                tasks.start_soon(second)
        await scripted.advance(3)

    assert results == ["2 chunks"]
    assert scripted.routes.states["local"].in_flight == 0
