"""A route fails in every way at every point of an utterance: no word is lost, and the delay has a bound."""

from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, ProviderMisbehaved, ProviderRefused
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Budgets
from app.domain.routing.decision import Outcome
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.rules import CascadeRules, HedgeRules, Objective, RoutingRules
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.runtime.routing.session_finals import FinalRequest, SessionFinals
from tests.routes import AWS, CHUNK, CLIP, JETSON, LOCAL, Field, RouteEngine, field_of, settle

pytestmark = pytest.mark.anyio

CHUNKS = 20
FAULTS = {
    "dies": {"error": ProviderDown("aws", "gone")},
    "throttles": {"error": ProviderBusy("aws", "too many")},
    "refuses": {"error": ProviderRefused("aws", "credentials")},
    "garbles": {"error": ProviderMisbehaved("aws", "nonsense")},
    "stalls": {"stalls": True},
    "lies": {"lies": True},
    "answers too early": {"hasty": True},
    "ends without a final": {"mute": True},
    "slows": {"takes_s": 30.0},
}
HEDGE_S, LOCAL_S = 0.4, 0.1
"""When a fresh aws (expected 200 ms, so p95 400 ms) is hedged, and what the local pass takes."""


async def speak(field: Field, *, chunks: int = CHUNKS, draft: str = "so many words", **session) -> tuple:
    """One utterance as the stage would play it: (text or error, the request final, seconds after its end)."""
    wishes = session.pop("residency", Residency.CLOUD_OK), session.pop("deadline_ms", None)
    request = SessionFinals(field.routes, session.pop("session", "s"), Tenant("t")).open(1, "en", *wishes)
    results: list[str | ParleyError] = []
    send, audio = anyio.create_memory_object_stream[AudioChunk](1000)

    async def finalize() -> None:
        try:
            async with audio, aclosing(request.transcribe(audio, language="en")) as hypotheses:
                async for hypothesis in hypotheses:
                    results.append(hypothesis.text)
                    request.record_shown(hypothesis, request.route)
        except ParleyError as error:
            results.append(error)

    async with anyio.create_task_group() as tasks:
        if request.live:
            tasks.start_soon(finalize)
        for number in range(chunks):
            await send.send(AudioChunk(CHUNK, number * len(CHUNK) // 2))
            request.update_draft(draft)
            await field.advance(0.1)
            if "during" in session and number == chunks // 2:
                session["during"](request)
        request.confirm_endpoint()
        send.close()
        if not request.live:
            tasks.start_soon(finalize)
        ended = field.clock.now()
        while not results and field.clock.now() < ended + 60:
            await settle()
            if not results:
                field.clock.advance(0.05)
    return results[0], request, field.clock.now() - ended


@pytest.mark.parametrize("live", [True, False], ids=["live", "batch"])
@pytest.mark.parametrize("at", [0, 1, CHUNKS // 2, CHUNKS - 1, None], ids=lambda at: f"at {at}")
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_word_is_lost(fault, at, live):
    """The local route hears the utterance from its first sample to its last; the delay is a hedge and a local pass."""
    if fault == "answers too early" and at is None:
        return  # at the end it is not too early
    rules = RoutingRules(prefer=(Place.CLOUD,))
    aws = RouteEngine(None, at=at, **FAULTS[fault])
    field = field_of(replace(AWS, live=live), LOCAL, rules=rules, aws=aws)

    text, request, delay = await speak(field)

    assert text == f"{CHUNKS} chunks"
    assert request.route.name == "local"
    assert field.engines["local"].heard == [CHUNK * CHUNKS]
    assert delay <= HEDGE_S + LOCAL_S + 0.11
    assert field.engines["aws"].closed == len(field.engines["aws"].heard)
    assert all(s.in_flight == 0 for s in field.routes.states.values())
    assert field.records[0].chosen == "local"


async def test_a_well_route_is_fed_live_and_nobody_else_is_asked():
    """One route, one pass, one price; the reasons and the outcome are written down."""
    field = field_of(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)))

    text, request, _ = await speak(field)

    assert text == f"{CHUNKS} chunks"
    assert (request.route.name, request.route.why, request.route.hedged) == ("aws", "the cloud is preferred", False)
    assert request.route.cost_usd == pytest.approx(0.006)
    assert field.engines["local"].heard == []
    record = field.records[0]
    assert record.ranked == ("aws", "local")
    assert [a.outcome for a in record.attempts] == [Outcome.DELIVERED]
    assert record.request.spent.day == pytest.approx(0.012)  # promised while it ran: it might have become long


async def test_a_hedge_is_counted_and_its_loser_is_paid():
    """Double cost is no secret."""
    field = field_of(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)), aws=RouteEngine(None, stalls=True))

    _, request, _ = await speak(field)

    assert request.route.hedged
    assert request.route.cost_usd == pytest.approx(0.006)
    assert [a.outcome for a in field.records[0].attempts] == [Outcome.DELIVERED, Outcome.STOPPED]


async def test_hedges_are_within_their_budget():
    """Without a token a slow route is waited for."""
    rules = RoutingRules(prefer=(Place.CLOUD,), hedge=HedgeRules(share=0.0, burst=1))
    field = field_of(AWS, LOCAL, rules=rules, aws=RouteEngine(None, takes_s=1.0))

    first = await speak(field)
    second = await speak(field)

    assert (first[1].route.name, second[1].route.name) == ("local", "aws")


@pytest.mark.parametrize("hedge", [HedgeRules(share=0.0, burst=0.0), HedgeRules(enabled=False)], ids=["dry", "off"])
async def test_a_stall_without_a_hedge_costs_four_times_the_usual(hedge):
    """The stalled route is stopped before the next one is asked, so that nothing runs twice."""
    aws = RouteEngine(None, stalls=True)
    field = field_of(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,), hedge=hedge), aws=aws)

    text, request, delay = await speak(field)

    assert (text, request.route.name, request.route.hedged) == (f"{CHUNKS} chunks", "local", False)
    assert delay <= 4 * HEDGE_S + LOCAL_S + 0.16
    assert aws.closed == 1


async def test_a_route_that_fails_again_and_again_rests_and_comes_back_by_a_probe():
    """While it rests it hears no user; the probe is the canned clip, and its success brings the route back."""
    aws = RouteEngine(None, error=ProviderDown("aws", "gone"), at=0)
    field = field_of(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)), aws=aws)
    for _ in range(3):
        await speak(field)
    assert field.routes.states["aws"].breaker.state(field.clock.now()) is BreakerState.OPEN
    heard = len(aws.heard)
    await speak(field)
    assert len(aws.heard) == heard

    aws.error = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(field.routes.maintain)
        rest = field.routes.states["aws"].breaker.open_until - field.clock.now()
        await field.advance(rest + 0.5)
        tasks.cancel_scope.cancel()

    assert field.routes.states["aws"].breaker.state(field.clock.now()) is BreakerState.CLOSED
    assert aws.heard[heard:] == [CLIP]
    assert (await speak(field))[1].route.name == "aws"


async def test_no_probe_has_a_users_voice():
    """Whatever is tended hears the clip alone."""
    field = field_of(JETSON, LOCAL)
    await speak(field)
    before = {name: len(engine.heard) for name, engine in field.engines.items()}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(field.routes.maintain)
        await field.advance(120, step=0.25)
        tasks.cancel_scope.cancel()

    probes = [pcm for name, engine in field.engines.items() for pcm in engine.heard[before[name] :]]
    assert probes
    assert set(probes) == {CLIP}


async def test_a_paid_route_is_not_probed_to_keep_it_warm():
    """Only a route that rests is worth the money."""
    field = field_of(AWS, LOCAL)

    assert field.routes.routes_to_probe() == ["local"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_private_session_never_reaches_the_cloud(fault):
    """Not when everything at home fails: it ends in an error, and the draft is what there is."""
    local = RouteEngine(None, **FAULTS[fault])
    field = field_of(AWS, LOCAL, local=local, rules=RoutingRules(prefer=(Place.CLOUD,), deadline_ms=5000))

    await speak(field, residency=Residency.ON_PREM_ONLY)

    assert field.engines["aws"].heard == []


async def test_a_session_that_becomes_private_in_mid_sentence_is_heard_at_home():
    """The cloud's stream is closed at once, and the whole utterance replayed locally."""
    field = field_of(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)))

    text, request, _ = await speak(field, during=FinalRequest.restrict_to_on_prem)

    assert text == f"{CHUNKS} chunks"
    assert request.route.name == "local"
    assert len(field.engines["aws"].heard[0]) <= (CHUNKS // 2 + 1) * len(CHUNK)


async def test_the_only_route_is_asked_again():
    """A passing fault costs a pause, not the words."""
    local = RouteEngine(None, error=ProviderBusy("local", "full"))
    field = field_of(LOCAL, local=local)

    async def mend() -> None:
        await field.clock.sleep_until(3.0)
        local.error = None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mend)
        text, _, _ = await speak(field)

    assert text == f"{CHUNKS} chunks"
    assert len(local.heard) > 1


async def test_the_deadline_ends_in_an_error_and_the_draft_is_shown_instead():
    """Silence is the worst answer."""
    field = field_of(LOCAL, local=RouteEngine(None, stalls=True), rules=RoutingRules(deadline_ms=2000))

    error, request, delay = await speak(field)

    assert isinstance(error, ProviderDown)
    assert delay == pytest.approx(2.0, abs=0.1)
    request.record_shown(Hypothesis("draft", is_final=True), None)
    assert field.records[0].chosen is None


@pytest.mark.parametrize("wish_ms", [200, 1000])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_session_in_a_hurry_has_the_best_text_in_time(fault, wish_ms):
    """Whatever goes wrong: by its own deadline all of its words, or the error that makes the draft the final."""
    slow = RouteEngine(None, takes_s=0.3)
    faulty = RouteEngine(None, **FAULTS[fault], at=5 if fault == "answers too early" else None)
    field = field_of(AWS, LOCAL, aws=faulty, local=slow, rules=RoutingRules(prefer=(Place.CLOUD,)))

    result, _, delay = await speak(field, deadline_ms=wish_ms)

    assert delay <= wish_ms / 1000 + 0.051  # a step of the clock
    assert result == f"{CHUNKS} chunks" or isinstance(result, ProviderDown)
    if wish_ms == 1000:
        assert result == f"{CHUNKS} chunks"
    assert field.engines["aws"].closed == len(field.engines["aws"].heard)


async def test_a_session_in_a_hurry_takes_the_route_that_is_in_time():
    """The preferred one is usually too late for it; others go on as before."""
    field = field_of(AWS, LOCAL, rules=RoutingRules(prefer=(Place.ON_PREM,)))

    hurried = (await speak(field, deadline_ms=600))[1]
    patient = (await speak(field, session="another"))[1]

    assert (hurried.route.name, hurried.route.why) == ("aws", "the only route in time")
    assert patient.route.name == "local"
    assert [record.request.deadline_ms for record in field.records] == [600, None]


async def test_a_session_in_a_hurry_sends_no_route_to_rest():
    """A hundred impossible wishes, and the route is as well for everyone else as before."""
    field = field_of(LOCAL, local=RouteEngine(None, takes_s=0.4))
    for number in range(20):
        error, _, _ = await speak(field, session=f"s{number}", chunks=2, deadline_ms=200)
        assert isinstance(error, ProviderDown)

    assert (await speak(field))[0] == f"{CHUNKS} chunks"
    assert field.routes.states["local"].breaker.failure_rate == 0


async def test_no_session_waits_longer_than_the_rules_say():
    """A wish can shorten the deadline, not lengthen it."""
    field = field_of(LOCAL, local=RouteEngine(None, stalls=True), rules=RoutingRules(deadline_ms=2000))

    _, _, delay = await speak(field, deadline_ms=60_000)

    assert delay == pytest.approx(2.0, abs=0.1)


async def test_a_spent_budget_sends_the_next_utterance_home():
    """One utterance may exceed the cap; the next one does not."""
    rules = RoutingRules(prefer=(Place.CLOUD,), budgets=Budgets(session=0.01))
    field = field_of(AWS, LOCAL, rules=rules)

    taken = [(await speak(field))[1].route.name for _ in range(4)]
    other = (await speak(field, session="another"))[1].route.name

    assert taken == ["aws", "aws", "local", "local"]
    assert other == "aws"
    assert field.routes.ledger.spent("s", "t").session == pytest.approx(0.012)


async def test_concurrent_utterances_do_not_overspend_together():
    """What is promised to finals on their way counts as spent."""
    rules = RoutingRules(prefer=(Place.CLOUD,), budgets=Budgets(day=0.006))
    field = field_of(AWS, LOCAL, rules=rules)
    taken: list[str] = []

    async def one(number: int) -> None:
        request = SessionFinals(field.routes, f"s{number}", Tenant("t")).open(1, "en", Residency.CLOUD_OK)
        request.confirm_endpoint()

        async def audio():
            yield AudioChunk(CHUNK, 0)

        async with aclosing(request.transcribe(audio(), language="en")) as hypotheses:
            assert [h async for h in hypotheses]
        taken.append(request.route.name)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, number)
        await field.advance(2)

    assert taken.count("aws") == 1


async def test_a_doubtful_local_final_is_put_to_the_better_route():
    """Cascade: unsure of itself, the local final waits for a second opinion."""
    rules = RoutingRules(objective=Objective.COST, cascade=CascadeRules())
    unsure = RouteEngine(None, confidence=0.2)
    field = field_of(replace(AWS, live=False), LOCAL, rules=rules, local=unsure)

    _, request, _ = await speak(field)
    unsure.confidence = 0.9
    _, sure, _ = await speak(field, draft="20 chunks")

    assert (request.route.name, request.route.why) == ("aws", "a second opinion on local")
    assert sure.route.name == "local"


async def test_a_route_that_disagrees_with_the_drafts_is_left_out():
    """Agreement is a live signal per route and language, and the rules may ask for some."""
    rules = RoutingRules(prefer=(Place.CLOUD,), least_agreement=0.5)
    field = field_of(AWS, LOCAL, rules=rules)

    taken = [(await speak(field, chunks=2, draft="quite different words"))[1].route.name for _ in range(9)]

    assert taken[:8] == ["aws"] * 8
    assert taken[8] == "local"


async def test_the_network_is_cut_and_returns():
    """Everything goes on locally; cloud and workers return by themselves."""
    cloud = RouteSpec("openai", Place.CLOUD, AWS.price, expected_ms=200)
    field = field_of(cloud, JETSON, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)))
    remote = [field.engines["openai"], field.engines["jetson"]]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(field.routes.maintain)
        before = (await speak(field))[1].route.name
        for engine in remote:
            engine.error = ProviderDown("net", "no route to host")
        during = [await speak(field) for _ in range(5)]
        for engine in remote:
            engine.error = None
        await field.advance(30, step=0.25)
        after = (await speak(field))[1].route.name
        tasks.cancel_scope.cancel()

    assert (before, after) == ("openai", "openai")
    assert [text for text, _, _ in during] == [f"{CHUNKS} chunks"] * 5
    assert {request.route.name for _, request, _ in during} == {"local"}
