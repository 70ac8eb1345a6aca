"""Costs of decisions and expenses add up to what Transcribe bills for shared streams."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from random import Random

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import CircuitBreakerRules
from app.domain.routing.cost import Budgets, Price
from app.domain.routing.decision import DecisionRecord, Expense
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.rules import Objective, RoutingRules
from app.runtime.clock import SystemClock
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from providers.aws.lifetime import StreamLimits
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Script, Stall, TcpReset
from tests.emulators.utterances import SILENCE, utterance
from tests.fakes import ScriptedTranscriber
from tests.routes import LOCAL

pytestmark = pytest.mark.anyio

PRICE = Price(0.024, 15)
AWS = RouteSpec("aws", Place.CLOUD, PRICE, live=True, expected_ms=1500, breaker=CircuitBreakerRules(min_failures=100))
A_CENT = 0.01


class Books:
    """Routes over the emulator, and every decision and expense recorded."""

    def __init__(self, engine: TranscribeEngine, rules: RoutingRules) -> None:
        self.engine = engine
        self.records: list[DecisionRecord] = []
        self.expenses: list[Expense] = []
        self.routes = Routes(
            (AWS, replace(LOCAL, expected_ms=9000)),
            {"aws": engine, "local": ScriptedTranscriber("from here")},
            lambda: rules,
            SystemClock(),
            Random(1).random,
            record_decision=self.records.append,
            record_expense=self.expenses.append,
        )

    @asynccontextmanager
    async def session(self, name: str) -> AsyncIterator[SessionFinals]:
        async with self.engine.session() as own:
            engines = {**self.routes.engines, "aws": own}
            finals = SessionFinals(self.routes, name, engines=engines, meters={"aws": EngineMeter(own, PRICE)})
            yield finals
            finals.close()

    @property
    def usd(self) -> float:
        return sum(r.usd for r in self.records) + sum(e.usd for e in self.expenses)


async def say(finals: SessionFinals, sound: AsyncIterator[AudioChunk], number: int = 1) -> str:
    """The name of the route that made the final."""
    request = finals.open(number, "en", Residency.CLOUD_OK)

    async def spoken() -> AsyncIterator[AudioChunk]:
        async for chunk in sound:
            yield chunk
        request.confirm_endpoint()

    async with aclosing(spoken()) as audio, aclosing(request.transcribe(audio, language="en")) as hypotheses:
        async for final in hypotheses:
            request.record_shown(final, request.route)
    return request.route.name


async def test_decisions_and_expenses_add_up_to_the_bill(account: None, emulator: TranscribeEmulator) -> None:
    """Sessions at once, utterances that share a stream, that overlap, and the silence between them."""
    limits = StreamLimits(keepalive_every_s=0.1)
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine:
        books = Books(engine, RoutingRules(prefer=(Place.CLOUD,)))

        async def speak(name: str) -> None:
            async with books.session(name) as finals:
                for length_ms in (4_000, 7_300, 500, 9_900):
                    await say(finals, utterance(length_ms))
                async with anyio.create_task_group() as overlapping:
                    overlapping.start_soon(say, finals, utterance(1_000, every_s=0.02))
                    overlapping.start_soon(say, finals, utterance(2_500, every_s=0.02))
                await say(finals, utterance(500, sample=SILENCE))
                await say(finals, utterance(500))
                await anyio.sleep(0.5)

        async with anyio.create_task_group() as sessions:
            for n in range(3):
                sessions.start_soon(speak, f"s{n}")
        spent = books.routes.ledger.spent("", "default")

    assert emulator.billed_seconds >= 3 * 45
    assert books.usd == pytest.approx(PRICE.metered(emulator.billed_seconds), abs=1e-9)
    assert spent.day == pytest.approx(books.usd)


async def test_an_utterance_is_ranked_by_its_marginal_cost(account: None, emulator: TranscribeEmulator) -> None:
    """Fifteen seconds for the first, nothing while the minimum lasts, then second by second."""
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
        books = Books(engine, RoutingRules(prefer=(Place.CLOUD,), most_usd=0.0075))
        async with books.session("s") as finals:
            taken = [await say(finals, utterance(length)) for length in (4_000, 4_000, 9_000)]
    streamed = [c.streamed for r in books.records for c in r.fleet if c.name == "aws"]

    assert taken == ["aws", "aws", "aws"]
    assert [r.usd for r in books.records] == pytest.approx([0.006, 0.0, PRICE.metered(3)], abs=A_CENT / 20)
    assert streamed == pytest.approx([0, 4.3, 8.7], abs=0.5)


async def test_an_open_stream_that_is_paid_for_is_the_cheapest_route(
    account: None, emulator: TranscribeEmulator
) -> None:
    """By price alone, a paid route goes on where its next seconds are paid for already."""
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
        books = Books(engine, RoutingRules(objective=Objective.COST))
        books.routes.states.pop("local")
        async with books.session("s") as finals:
            await say(finals, utterance(4_000))
            books.routes.__post_init__()
            again = await say(finals, utterance(9_000))
            afterwards = await say(finals, utterance(4_000))

    assert (again, afterwards) == ("aws", "local")


@pytest.mark.parametrize("fault", [TcpReset(1500), Stall(1500)], ids=str)
async def test_broken_streams_are_billed_to_within_a_cent(
    account: None, emulator: TranscribeEmulator, fault: TcpReset | Stall
) -> None:
    """What was sent counts, whichever route made the final."""
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
        books = Books(engine, RoutingRules(prefer=(Place.CLOUD,)))
        async with books.session("s") as finals:
            await say(finals, utterance(4_000))
            emulator.script = Script(fault=fault)
            await finals.engines["aws"].close()
            finals.engines["aws"]._keeps = True
            names = [await say(finals, utterance(4_000, every_s=0.02)) for _ in range(2)]
            emulator.script = Script()
            names.append(await say(finals, utterance(4_000)))

    assert names == ["local", "local", "aws"]
    assert abs(books.usd - PRICE.metered(emulator.billed_seconds)) < A_CENT


async def test_budget_is_exceeded_by_one_utterance_at_most_on_concurrent_streams(
    account: None, emulator: TranscribeEmulator
) -> None:
    """With concurrent sessions on open streams: what an utterance may still cost is reserved when it begins."""
    budget = 0.05
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
        books = Books(engine, RoutingRules(prefer=(Place.CLOUD,), budgets=Budgets(day=budget)))
        taken: list[str] = []

        async def speak(name: str) -> None:
            async with books.session(name) as finals:
                taken.extend([await say(finals, utterance(16_000, chunk_ms=500, every_s=0.005)) for _ in range(4)])

        async with anyio.create_task_group() as sessions:
            for n in range(6):
                sessions.start_soon(speak, f"s{n}")

    assert {"aws", "local"} == set(taken)
    assert books.usd <= budget + PRICE.bill(30)
    assert books.usd == pytest.approx(PRICE.metered(emulator.billed_seconds), abs=1e-9)
