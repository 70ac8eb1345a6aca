"""The policy over HTTP and the socket: decisions of finals, their list, sums and explanation, metrics, tenants."""

import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import anyio
import httpx
import pytest

from app.data.decisions import open_decisions
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Place, Residency
from app.domain.routing.decision import (
    DecisionRecord,
)
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant, fingerprint
from app.runtime.clock import SystemClock
from app.runtime.dialog.engines import Engines
from app.runtime.metrics import ServiceMetrics
from app.runtime.routing.route_metrics import RoutingMetrics
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.service import RoutingPolicy
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedTranscriber
from tests.routes import AWS, LOCAL
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


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
    async with open_session(url, key=key) as client_session:
        if configure:
            await client_session.send_message(type="configure", **configure)
        await client_session.send_audio(SPEECH * 30 + SILENCE * 40, pace=0)
        assert await client_session.wait_until(lambda t: t.messages("fullSentence"), timeout_s=10)
        return client_session.messages("fullSentence")[0].message | {
            "session": client_session.messages("session")[0].message["id"]
        }


async def test_decision_is_sent_with_the_final_and_listed(url):
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
    assert listed["request"]["allowed"] == "cloud_ok"
    assert {"health", "badness", "waiting"} <= set(listed["fleet"][0])
    assert summary["routes"][0]["finals"] == 1
    assert 'parley_finals_total{place="cloud",route="aws"} 1.0' in metrics


async def test_residency_of_a_client_is_a_hard_filter(url):
    """`configure` with `place` is a hard filter."""
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,))) as (client, socket, engines):
        final = await say(socket, place=Residency.ON_PREM_ONLY)
        (listed,) = (await client.get("/policy/decisions")).json()

    assert final["route"]["name"] == "local"
    assert engines["aws"].finals == 0
    assert listed["rejected"] == [{"name": "aws", "why": "this session's voice stays on the premises"}]


async def test_budget_of_each_tenant_is_its_own(url):
    """One that has spent its budget gets on-premises finals; the other does not. The decision names the tenant."""
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


async def test_residency_of_a_tenant_overrides_the_client(url):
    """`place` of the file is stronger than `configure`."""
    clinic = Tenant("clinic", (fingerprint("clinic"),), operator=True, place=Residency.ON_PREM_ONLY)
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,)), clinic) as (client, socket, engines):
        finals = [await say(socket, "clinic"), await say(socket, "clinic", place=Residency.CLOUD_OK)]
        client.headers["Authorization"] = "Bearer clinic"
        explained = (await client.get("/policy/explain", params={"tenant": "clinic"})).json()

    assert [final["route"]["name"] for final in finals] == ["local", "local"]
    assert engines["aws"].finals == 0
    assert [choice["name"] for choice in explained["choices"]] == ["local"]


async def test_speculative_finals_of_free_routes_only(url):
    """The final of a free route begins in the pause; that of a paid one at the end, once."""
    async with policed(url, RoutingRules(prefer=(Place.ON_PREM,))) as (_, socket, engines):
        await say(socket)
    paid = engines["aws"].finals

    assert engines["local"].finals == 1
    assert paid == 0


async def test_session_deadline_shows_the_newest_draft(url):
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


async def test_explain_ranks_the_routes_for_a_described_utterance(url):
    """And a wrong question is refused."""
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,))) as (client, _, _):
        free = (await client.get("/policy/explain", params={"seconds": 5})).json()
        private = (await client.get("/policy/explain", params={"place": "on_prem_only"})).json()
        wrong = await client.get("/policy/explain", params={"place": "moon"})

    assert [c["name"] for c in free["choices"]] == ["aws", "local"]
    assert [c["name"] for c in private["choices"]] == ["local"]
    assert [(c["health"], c["badness"], c["waiting"]) for c in free["fleet"]] == [("closed", 0.0, 0)] * 2
    assert wrong.status_code == 400


async def test_decisions_of_a_service_without_a_policy_are_a_404():
    """404, not a crash."""
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        with anyio.fail_after(5):
            answer = await client.get("/policy/decisions")

    assert answer.status_code == 404


async def test_decisions_are_filtered_by_times_with_any_offset(url):
    """Z, an offset, none (UTC) or a date alone; what is no time is refused with a sentence."""
    async with policed(url, RoutingRules(prefer=(Place.CLOUD,))) as (client, socket, _):
        before = datetime.now(timezone(timedelta(hours=9, minutes=30)))
        final = await say(socket)
        after = datetime.now(UTC) + timedelta(seconds=1)

        async def listed(**times: str) -> list[str]:
            answer = await client.get("/policy/decisions", params=times)
            assert answer.status_code == 200, answer.text
            return [record["session"] for record in answer.json()]

        for since in (before.isoformat(), before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "2026-01-01"):
            assert await listed(since=since) == [final["session"]]
        assert await listed(until=before.isoformat()) == []
        assert await listed(since=after.replace(tzinfo=None).isoformat()) == []
        assert await listed(until=after.isoformat()) == [final["session"]]
        plus = (await client.get(f"/policy/decisions?since={before.isoformat()}")).json()  # its + is read as a space
        wrong = [await client.get(f"/policy/{page}", params={"since": "soon"}) for page in ("decisions", "summary")]

    assert [record["session"] for record in plus] == [final["session"]]
    assert [answer.status_code for answer in wrong] == [400, 400]
    assert "'soon' is not a time" in wrong[0].text


@pytest.mark.parametrize("page", ["decisions", "summary"])
async def test_a_locked_database_is_a_503(tmp_path, page):
    """Within seconds, with a code and a sentence."""
    path = tmp_path / "parley.db"
    async with policed(f"sqlite+aiosqlite:///{path}", RoutingRules()) as (client, _, _):
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        with anyio.fail_after(4):
            answer = await client.get(f"/policy/{page}")
        lock.close()

    assert answer.status_code == 503
    assert answer.json()["code"] == "provider_busy"
    assert answer.json()["message"]
