"""Spending of whole conversations: the bill, the metrics, the summary over HTTP and on the command line."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from anyio import to_thread
from click.testing import CliRunner, Result

from app.assembly.replies import ReplyEngines, open_reply_engines
from app.cli import parley
from app.config import Settings
from app.data.database import open_database
from app.data.decisions import decisions_in
from app.data.spend import SpendTable
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Place
from app.domain.routing.cost import Budgets
from app.domain.routing.decision import DecisionRecord, Expense
from app.domain.routing.rules import RoutingRules
from app.domain.spending import CharacterPrice, TokenPrice, TokenUsage
from app.domain.tenant import Tenant, fingerprint
from app.runtime.clock import SystemClock
from app.runtime.dialog.engines import Engines
from app.runtime.metrics import ServiceMetrics
from app.runtime.routing.reply_failover import ReplyEngine, ReplyPool
from app.runtime.routing.route_metrics import RoutingMetrics
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.routing.speech_failover import Voice, VoicePool
from app.runtime.routing.spend_sync import SpendSync
from app.runtime.service import RoutingPolicy
from app.runtime.supervision import run_in_background
from tests.emulators.openai import Script, serve_openai
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedGenerator, ScriptedSynthesizer, ScriptedTranscriber
from tests.reply_engines import health_of
from tests.routes import AWS, LOCAL, scripted_routes
from tests.serving import scripted_service, served
from tests.streaming_client import open_session
from tests.unit.test_reply_budgets import CountingGenerator

pytestmark = pytest.mark.anyio

A_CENT_A_TOKEN = TokenPrice(10_000, 10_000)
A_CENT_A_CHARACTER = CharacterPrice(10_000)


@dataclass
class Server:
    """A running service whose finals, replies and speech cost money, and what it recorded."""

    address: str
    http: httpx.AsyncClient
    routes: Routes
    decisions: list[DecisionRecord]
    expenses: list[Expense]

    @property
    def bill(self) -> float:
        return sum(d.usd for d in self.decisions) + sum(e.usd for e in self.expenses)

    @asynccontextmanager
    async def session(self, key: str | None = None):
        async with open_session(f"ws://{self.address}/ws/transcribe", key=key) as client_session:
            yield client_session

    async def run(self, *arguments: str) -> Result:
        """`parley` with these arguments."""
        return await to_thread.run_sync(lambda: CliRunner().invoke(parley, arguments, env={"COLUMNS": "120"}))


@asynccontextmanager
async def paid_service(tmp_path, budgets: Budgets, *tenants: Tenant, free_replies=None) -> AsyncIterator[Server]:
    """Scripted engines under the policy; the reply engine reports 17 tokens in all."""
    engines = {"aws": ScriptedTranscriber("from afar"), "local": ScriptedTranscriber("from here")}
    rules = RoutingRules(prefer=(Place.CLOUD,), budgets=budgets)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db"))
        log = await stack.enter_async_context(decisions_in(database))
        routes = Routes((AWS, LOCAL), engines, lambda: rules, SystemClock(), lambda: 0.0)
        service_metrics = ServiceMetrics()
        spend = SpendSync(routes.ledger, SpendTable(database), SystemClock())
        metrics = RoutingMetrics(routes, service_metrics.registry, spend_age_s=lambda: spend.age_s)
        decisions, expenses = list[DecisionRecord](), list[Expense]()

        def record_decision(record: DecisionRecord) -> None:
            decisions.append(record)
            metrics.record_decision(record)

        def record_expense(expense: Expense) -> None:
            expenses.append(expense)
            metrics.record_expense(expense)

        routes.record_decision, routes.record_expense = record_decision, record_expense
        generator = CountingGenerator(("Well done.",), usage=TokenUsage(14, 3))
        engines_of_replies = [ReplyEngine("openai", generator, A_CENT_A_TOKEN, max_tokens=20)]
        if free_replies:
            engines_of_replies.append(ReplyEngine("ollama", free_replies, is_reserve=True))
        voices = [Voice("polly", ScriptedSynthesizer(), A_CENT_A_CHARACTER)]
        replies = ReplyEngines(
            ReplyPool(engines_of_replies, health_of(engines_of_replies)), VoicePool(voices, health_of(voices)), routes
        )

        @asynccontextmanager
        async def session_engines(session: str, tenant: Tenant):
            own = replies.for_session(session, tenant)
            finals = SessionFinals(routes, session, tenant)
            drafter = ScriptedTranscriber("from")
            try:
                yield Engines(
                    ScriptedDetector(),
                    finals,
                    drafter,
                    own.generator,
                    own.synthesizer,
                    refuse_speech=own.refuse_speech,
                )
            finally:
                finals.close()

        service = scripted_service(
            session_engines=session_engines,
            initial_state=DialogState(TurnRules(reply_after_ms=300, eager_replies=False)),
            metrics=service_metrics,
            policy=RoutingPolicy(routes, log, lambda: "", lambda: spend.age_s),
            tenants=(lambda: tenants) if tenants else None,
        )
        await stack.enter_async_context(run_in_background({"spend_sync": spend.sync_loop}))
        address = await stack.enter_async_context(served(service))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{address}"))
        yield Server(address, http, routes, decisions, expenses)


async def converse(client_session) -> None:
    """One turn, until it is answered or is said to have no answer."""
    await client_session.send_audio(SPEECH * 30 + SILENCE * 40, pace=0)
    assert await client_session.wait_until(
        lambda t: t.messages("server_response") or t.messages("replyCancelled"), timeout_s=20
    )


async def test_decisions_and_expenses_add_up_to_the_bill_of_a_conversation(tmp_path):
    """A final, a reply, its speech and a text of the client's choice: ledger, records and metrics agree."""
    async with paid_service(tmp_path, Budgets()) as server:
        async with server.session() as client_session:
            await converse(client_session)
            await client_session.send_message(type="say", text="Goodbye.")
            assert await client_session.wait_until(lambda t: len(t.messages("server_response")) == 2, timeout_s=20)
            (listed,) = (await server.http.get("/admin/sessions")).json()["sessions"]
        spent = server.routes.ledger.spent_by_tenant()
        metrics = (await server.http.get("/metrics")).text

    assert [(e.route, e.kind, pytest.approx(e.usd)) for e in server.expenses] == [
        ("openai", "reply", 0.17),
        ("polly", "speech", 0.10),
        ("polly", "speech", 0.08),
    ]
    assert server.bill == pytest.approx(0.006 + 0.17 + 0.10 + 0.08)
    assert spent == {"default": pytest.approx(server.bill)}
    assert listed["costUsd"] == pytest.approx(server.bill)
    values = [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("parley_spend_usd_total{")]
    assert sum(values) == pytest.approx(server.bill)
    assert 'parley_spend_usd_total{kind="reply",route="openai"} 0.17' in metrics
    assert 'parley_reply_tokens_total{direction="prompt",route="openai"} 14.0' in metrics
    assert 'parley_reply_tokens_total{direction="generated",route="openai"} 3.0' in metrics
    assert 'parley_speech_characters_total{route="polly"} 18.0' in metrics
    assert 'parley_route_usd_total{route="polly"}' not in metrics


async def test_a_conversation_over_budget_has_finals_and_says_why_there_is_nothing_else(tmp_path):
    """The finals take the free route; reply and `say` are refused, each with its sentence."""
    async with paid_service(tmp_path, Budgets(day=0)) as server, server.session() as client_session:
        await converse(client_session)
        await client_session.send_message(type="say", text="Goodbye.")
        assert await client_session.wait_until(lambda t: len(t.messages("error")) == 2, timeout_s=20)
        errors = [each.message for each in client_session.messages("error")]
        finals = [each.message["route"]["name"] for each in client_session.messages("fullSentence")]

    assert finals == ["local"]
    assert [(e["code"], e["fatal"]) for e in errors] == [("budget_exhausted", False)] * 2
    assert [e["message"] for e in errors] == [
        "the service's budget of the day is spent: there is no reply",
        "the service's budget of the day is spent: this text is not spoken",
    ]
    assert server.bill == 0


async def test_two_services_on_one_database_share_the_budget(tmp_path):
    """What was spent at the one is spent at the other: there the final is free, and nothing replies."""
    budgets = Budgets(day=0.27)
    async with paid_service(tmp_path, budgets) as one, paid_service(tmp_path, budgets) as other:
        async with one.session() as client_session:
            await converse(client_session)

        async def other_knows() -> bool:
            return other.routes.ledger.spent("", "").day == pytest.approx(one.bill)

        await until(other_knows, seconds=30)
        async with other.session() as client_session:
            await converse(client_session)
            (final,) = client_session.messages("fullSentence")
            (error,) = client_session.messages("error")

    assert one.bill == pytest.approx(0.276)
    assert final.message["route"]["name"] == "local"
    assert error.message["code"] == "budget_exhausted"
    assert other.bill == 0


async def test_a_free_engine_replies_over_budget(tmp_path):
    """Where one is configured the user is answered, in words."""
    free = ScriptedGenerator(("Free of charge.",))
    async with (
        paid_service(tmp_path, Budgets(session=0), free_replies=free) as server,
        server.session() as client_session,
    ):
        await converse(client_session)
        (reply,) = client_session.messages("server_response")

    assert reply.message["message"] == "Free of charge."
    assert server.bill == 0


async def test_summary_shows_the_spending_of_each_tenant_against_its_budget(tmp_path):
    """Own budgets, that of the rules, and the service's; over HTTP and on the command line."""
    acme = Tenant("acme", (fingerprint("acme"),), budget_usd_per_day=0.5)
    globex = Tenant("globex", (fingerprint("globex"),))
    ops = Tenant("ops", (fingerprint("ops"),), operator=True)
    async with paid_service(tmp_path, Budgets(tenant=2.0, day=10.0), acme, globex, ops) as server:
        async with server.session("acme") as client_session:
            await converse(client_session)
        server.routes.ledger.add("", "", 0.024)
        refused = await server.http.get("/policy/summary", headers={"Authorization": "Bearer acme"})
        answer = await server.http.get("/policy/summary", headers={"Authorization": "Bearer ops"})
        metrics = (await server.http.get("/metrics", headers={"Authorization": "Bearer ops"})).text
        url = f"http://{server.address}"
        printed = await server.run("policy", "summary", "--url", url, "--key", "ops")

    spend = answer.json()["spend"]
    assert refused.status_code == 403
    assert (spend["day"], spend["budgetUsd"]) == (server.routes.ledger.today(), 10.0)
    assert spend["ageS"] >= 0
    assert (spend["usd"], spend["remainingUsd"]) == (pytest.approx(0.3), pytest.approx(9.7))
    assert spend["tenants"] == [
        {
            "tenant": "acme",
            "usd": pytest.approx(0.276),
            "budgetUsd": 0.5,
            "remainingUsd": pytest.approx(0.224),
        },
        {"tenant": "globex", "usd": 0.0, "budgetUsd": 2.0, "remainingUsd": 2.0},
        {"tenant": "ops", "usd": 0.0, "budgetUsd": 2.0, "remainingUsd": 2.0},
    ]
    assert printed.exit_code == 0
    rows = [line.split() for line in printed.output.splitlines()]
    assert ["│", "acme", "│", "0.2760", "│", "0.5000", "│", "0.2240", "│"] in rows
    assert ["│", "all", "│", "0.3000", "│", "10.0000", "│", "9.7000", "│"] in rows
    gauges = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(gauges['parley_budget_remaining_usd{scope="day"}']) == pytest.approx(9.7)
    assert float(gauges["parley_spend_today_usd"]) == pytest.approx(0.3)
    assert float(gauges["parley_spend_sync_age_seconds"]) >= 0


@pytest.mark.parametrize("budget", [None, 0.0], ids=["within budget", "over budget"])
async def test_settings_give_the_price_and_the_engine_over_budget(budget):
    """A server with a price is asked for its count; over budget Ollama replies, and costs nothing."""
    expenses = list[Expense]()
    routes = scripted_routes(LOCAL, rules=RoutingRules(budgets=Budgets(day=budget))).routes
    routes.record_expense = expenses.append
    with serve_openai(script=Script(("Paid.",), usage=(1000, 500))) as paid, serve_openai() as free:
        settings = Settings(
            openai_api_key="sk-test",
            openai_base_url=paid.base_url,
            ollama_base_url=free.base_url,
            reply_usd_per_million_prompt_tokens=1.0,
            reply_usd_per_million_generated_tokens=4.0,
            reply_provider_over_budget="ollama",
            speech_provider="none",
        )
        async with open_reply_engines(settings, ["openai"], routes) as engines:
            own = engines.for_session("s", Tenant("t"))
            async with aclosing(own.generator.reply((Message(Role.USER, "Free."),))) as deltas:
                text = "".join([delta async for delta in deltas])

    booked = [(e.route, e.kind, e.usd) for e in expenses]
    if budget is None:
        assert (text, booked) == ("Paid.", [("openai", "reply", pytest.approx(0.003))])
        assert paid.requests[0]["stream_options"] == {"include_usage": True}
    else:
        assert (text, booked) == ("Free.", [("ollama", "reply_estimate", 0)])
    assert own.synthesizer is None


async def test_an_engine_without_a_price_replies_whatever_is_spent():
    """It needs no reserve; its speech is never refused."""
    routes = scripted_routes(LOCAL, rules=RoutingRules(budgets=Budgets(day=0))).routes
    with serve_openai() as server:
        settings = Settings(
            ollama_base_url=server.base_url, speech_provider="none", reply_provider_over_budget="embedded"
        )
        async with open_reply_engines(settings, ["ollama"], routes) as engines:
            own = engines.for_session("s", Tenant("t"))
            async with aclosing(own.generator.reply((Message(Role.USER, "Free."),))) as deltas:
                text = "".join([delta async for delta in deltas])

    assert text == "Free."
    assert own.refuse_speech() is None
