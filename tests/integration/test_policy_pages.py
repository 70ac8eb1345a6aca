"""Decisions are stored, listed, summed up and counted; spending survives a restart."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import anyio
import httpx
import pytest

from app.client import open_session
from app.data.decisions import open_decisions
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.errors import SettingsError
from app.domain.residency import Place, Residency
from app.domain.routing.cost import Spent
from app.domain.routing.decision import (
    Attempt,
    DecisionFilter,
    DecisionRecord,
    Expense,
    ExpenseKind,
    Outcome,
    RejectedRoute,
)
from app.domain.routing.fleet import initial_state
from app.domain.routing.request import RouteRequest
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant, fingerprint
from app.runtime.clock import SystemClock
from app.runtime.dialog.engines import Engines
from app.runtime.metrics import ServiceMetrics
from app.runtime.routing.ledger import SpendLedger
from app.runtime.routing.route_metrics import RoutingMetrics
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.service import RoutingPolicy
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedTranscriber
from tests.postgres import cut_off, new_database, running_postgres
from tests.routes import AWS, LOCAL
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio

RECORD = DecisionRecord(
    id="1",
    at="2026-01-02T10:00:00.000+00:00",
    session="s",
    tenant="t",
    utterance=1,
    rules="fastest",
    request=RouteRequest(3.0, "en"),
    fleet=(initial_state(LOCAL).candidate(0, "en"),),
    ranked=("aws", "local"),
    rejected=(RejectedRoute("jetson", "its circuit breaker is open"),),
    panic=False,
    chosen="aws",
    place=Place.CLOUD,
    why="fastest",
    hedged=True,
    latency_ms=210.0,
    usd=0.006,
    attempts=(Attempt("aws", Outcome.DELIVERED, 210.0, 0.006), Attempt("local", Outcome.STOPPED, 90.0, 0.0)),
    agreement=0.8,
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path) -> str:
    """Of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    return new_database(request.getfixturevalue("postgres"))


async def test_what_was_recorded_is_found_again(url):
    """Whole, the newest first, by every filter."""
    later = replace(RECORD, id="2", at="2026-01-03T10:00:00.000+00:00", session="u", chosen=None, place=None, usd=0.0)
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        decisions.record(later)

        async def ids(**wanted) -> list[str]:
            return [record.id for record in await decisions.find(DecisionFilter(**wanted))]

        assert await decisions.find(DecisionFilter(route="aws")) == [RECORD]
        assert await ids() == ["2", "1"]
        assert await ids(session="s") == ["1"]
        assert await ids(tenant="t", limit=1) == ["2"]
        assert await ids(place="cloud") == ["1"]
        assert await ids(since=datetime(2026, 1, 3, tzinfo=UTC)) == ["2"]
        assert await ids(until=datetime(2026, 1, 3, tzinfo=UTC)) == ["1"]
        lines = {line.name: line for line in await decisions.summary(DecisionFilter())}

    assert sorted(lines) == ["aws", "draft", "local"]
    assert (lines["aws"].share, lines["aws"].p95_ms, lines["aws"].usd) == (0.5, 210.0, 0.012)
    assert lines["local"].stopped == 2


async def test_spending_survives_a_restart(url):
    """What a tenant spent today is known to the next process, and what probes and silence cost."""
    probe = Expense("1", RECORD.at, "aws", ExpenseKind.PROBE, 0.25)
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        decisions.record(replace(RECORD, id="2", tenant="u", usd=0.5))
        decisions.record(probe)
        decisions.record(replace(probe, id="2", kind=ExpenseKind.SILENCE, usd=0.5, session="s", tenant="u"))

    async with open_decisions(url) as decisions:
        ledger = SpendLedger(lambda: "2026-01-02")
        ledger.resume(await decisions.spent_on("2026-01-02"))
        assert await decisions.spent_on("2026-01-02") == {"t": 0.006, "u": 1.0, "": 0.25}
        assert await decisions.spent_on("2026-01-03") == {}
    assert ledger.spent("", "u") == Spent(0.0, 1.0, pytest.approx(1.256))


@pytest.mark.parametrize("attempt", range(10))
async def test_two_processes_may_begin_with_one_empty_database(url, attempt):
    """Whoever is second, with any of the tables, finds it made; both are written to."""

    async def process(number: int) -> None:
        async with open_decisions(url) as decisions:
            decisions.record(replace(RECORD, id=str(number)))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as processes:
            for number in range(2):
                processes.start_soon(process, number)
        async with open_decisions(url) as decisions:
            found = await decisions.find(DecisionFilter())

    assert sorted(record.id for record in found) == ["0", "1"]


def test_whoever_gives_up_while_a_database_is_opened_is_let_go(tmp_path):
    """At every moment of it: nothing is left behind that keeps the process from ending."""

    async def give_up(after_s: float) -> None:
        with anyio.move_on_after(after_s):
            async with open_decisions(f"sqlite+aiosqlite:///{tmp_path}/{after_s}.db"):
                await anyio.sleep_forever()

    for step in range(60):
        anyio.run(give_up, step / 2000)


async def test_a_database_that_went_away_and_came_back_gets_what_waited(postgres):
    """Connections that were cut are replaced, and no record is lost."""
    url = new_database(postgres)
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        await decisions.flush()
        cut_off(url)
        decisions.record(replace(RECORD, id="2"))
        found = await decisions.find(DecisionFilter())

    assert len(found) == 2


async def test_a_postgres_without_that_database_is_named(postgres):
    """By its setting, as a wrong password would be."""
    with pytest.raises(SettingsError, match="PARLEY_DATABASE_URL"):
        async with open_decisions(f"{postgres}/nowhere"):
            pass


@pytest.mark.parametrize("wrong", ["nonsense", "sqlite+aiosqlite:////no/such/folder/x.db", "postgresql+nodriver://x/y"])
async def test_a_database_that_cannot_be_opened_is_named(wrong):
    """By its setting."""
    with pytest.raises(SettingsError, match="PARLEY_DATABASE_URL"):
        async with open_decisions(wrong):
            pass


@asynccontextmanager
async def policed(url: str, rules: RoutingRules, *tenants: Tenant):
    """A server with scripted engines behind the policy."""
    engines = {"aws": ScriptedTranscriber("from afar"), "local": ScriptedTranscriber("from here")}
    in_force = rules
    async with AsyncExitStack() as stack:
        decisions = await stack.enter_async_context(open_decisions(url))
        routes = Routes((AWS, LOCAL), engines, lambda: in_force, SystemClock(), lambda: 0.0)
        service_metrics = ServiceMetrics()
        metrics = RoutingMetrics(routes, service_metrics.registry)

        def record(one: DecisionRecord) -> None:
            decisions.record(one)
            metrics.record_decision(one)

        routes.record_decision = record

        @asynccontextmanager
        async def session_engines(session: str, tenant: Tenant):
            yield Engines(ScriptedDetector(), SessionFinals(routes, session, tenant), ScriptedTranscriber("from"))

        service = scripted_service(
            session_engines=session_engines,
            initial_state=DialogState(TurnRules(reply=False)),
            metrics=service_metrics,
            policy=RoutingPolicy(routes, decisions, lambda: ""),
            tenants=(lambda: tenants) if tenants else None,
        )
        address = await stack.enter_async_context(served(service))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{address}"))
        yield client, f"ws://{address}/ws/transcribe", engines


async def say(url: str, key: str | None = None, **configure) -> dict:
    async with open_session(url, key=key) as talk:
        if configure:
            await talk.send_message(type="configure", **configure)
        await talk.send_audio(SPEECH * 30 + SILENCE * 40, pace=0)
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=10)
        return talk.messages("fullSentence")[0].message | {"session": talk.messages("session")[0].message["id"]}


async def test_the_decision_travels_with_the_final_and_is_listed(url):
    """The client sees where its words were made, why, and what it cost; the operator finds the same."""
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,))) as (client, socket, _):
        final = await say(socket)
        (listed,) = (await client.get("/policy/decisions", params={"session": final["session"]})).json()
        summary = (await client.get("/policy/summary")).json()
        metrics = (await client.get("/metrics")).text

    assert final["text"] == "from afar"
    route = final["route"]
    assert (route["name"], route["place"], route["why"]) == ("aws", "cloud", "the cloud is preferred")
    assert (route["hedged"], route["costUsd"]) == (False, 0.006)
    assert route["latencyMs"] >= 0
    assert (listed["chosen"], listed["ranked"], listed["agreement"]) == ("aws", ["aws", "local"], pytest.approx(2 / 3))
    assert "from afar" not in str(listed)
    assert summary["routes"][0]["finals"] == 1
    assert 'parley_finals_total{place="cloud",route="aws"} 1.0' in metrics


async def test_a_client_may_keep_its_voice_on_the_premises(url):
    """`configure` with `place` is a hard filter."""
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,))) as (client, socket, engines):
        final = await say(socket, place=Residency.ON_PREM_ONLY)
        (listed,) = (await client.get("/policy/decisions")).json()

    assert final["route"]["name"] == "local"
    assert engines["aws"].finals == 0
    assert listed["rejected"] == [{"name": "aws", "why": "this session's voice stays on the premises"}]


async def test_each_tenant_has_its_own_money(url):
    """One that has spent its budget is heard on the premises; the other goes on. Who pays stands in the decision."""
    acme = Tenant("acme", (fingerprint("acme"),), operator=True, budget_usd_per_day=0.01)
    globex = Tenant("globex", (fingerprint("globex"),))
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,)), acme, globex) as (client, socket, _):
        acmes = [(await say(socket, "acme"))["route"]["name"] for _ in range(3)]
        globexs = [(await say(socket, "globex"))["route"]["name"] for _ in range(3)]
        client.headers["Authorization"] = "Bearer acme"
        listed = (await client.get("/policy/decisions", params={"tenant": "acme"})).json()
        explained = [
            [c["name"] for c in (await client.get("/policy/explain", params={"tenant": name})).json()["choices"]]
            for name in ("acme", "globex")
        ]

    assert acmes == ["aws", "aws", "local"]  # 0.006 dollars each
    assert globexs == ["aws", "aws", "aws"]
    assert [record["request"]["tenant_usd"] for record in listed] == [0.01, 0.01, 0.01]
    assert explained == [["local"], ["aws", "local"]]


async def test_a_tenant_that_stays_on_the_premises_cannot_be_talked_out_of_it(url):
    """`place` of the file is stronger than `configure`."""
    clinic = Tenant("clinic", (fingerprint("clinic"),), operator=True, place=Residency.ON_PREM_ONLY)
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,)), clinic) as (client, socket, engines):
        finals = [await say(socket, "clinic"), await say(socket, "clinic", place=Residency.CLOUD_OK)]
        client.headers["Authorization"] = "Bearer clinic"
        explained = (await client.get("/policy/explain", params={"tenant": "clinic"})).json()

    assert [final["route"]["name"] for final in finals] == ["local", "local"]
    assert engines["aws"].finals == 0
    assert [choice["name"] for choice in explained["choices"]] == ["local"]


async def test_free_routes_speculate_and_paid_ones_do_not(url):
    """The final of a free route begins in the pause; that of a paid one at the end, once."""
    async with policed(url, RoutingRules(prefer=(Place.ON_PREM,))) as (_, socket, engines):
        await say(socket)
    paid = engines["aws"].finals

    assert engines["local"].finals == 1
    assert paid == 0


async def test_a_session_may_be_in_a_hurry(url):
    """Every route stalls: by its own deadline it has the newest draft, and the route is missing from it."""
    async with policed(url, RoutingRules()) as (_, socket, engines):
        for engine in engines.values():
            engine.go = anyio.Event()
        began = anyio.current_time()
        final = await say(socket, deadlineMs=300)
        took = anyio.current_time() - began

    assert final["text"] == "from"
    assert "route" not in final
    assert took < 5  # the rules would wait for fifteen seconds


async def test_what_would_happen_now_is_explained(url):
    """And a wrong question is refused."""
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,))) as (client, _, _):
        free = (await client.get("/policy/explain", params={"seconds": 5})).json()
        private = (await client.get("/policy/explain", params={"place": "on_prem_only"})).json()
        wrong = await client.get("/policy/explain", params={"place": "moon"})

    assert [c["name"] for c in free["choices"]] == ["aws", "local"]
    assert [c["name"] for c in private["choices"]] == ["local"]
    assert wrong.status_code == 400


async def test_a_service_without_a_policy_says_so():
    """404, not a crash."""
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        with anyio.fail_after(5):
            answer = await client.get("/policy/decisions")

    assert answer.status_code == 404
