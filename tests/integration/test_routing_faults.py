"""Faults of a route in every way at every point of an utterance: no word is lost, and the delay is bounded."""

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
from tests.routes import AWS, CHUNK, CLIP, JETSON, LOCAL, RouteEngine, ScriptedRoutes, scripted_routes, settle

pytestmark = pytest.mark.anyio

CHUNKS = 20
FAULTS = {
    "dies": {"error": ProviderDown("aws", "gone")},
    "throttles": {"error": ProviderBusy("aws", "too many")},
    "refuses": {"error": ProviderRefused("aws", "credentials")},
    "misbehaves": {"error": ProviderMisbehaved("aws", "nonsense")},
    "stalls": {"stalls": True},
    "misses words": {"misses_words": True},
    "answers too early": {"answers_early": True},
    "ends without a final": {"ends_without_final": True},
    "slows": {"takes_s": 30.0},
}
HEDGE_S, LOCAL_S = 0.4, 0.1
"""When a fresh aws (expected 200 ms, so p95 400 ms) is hedged, and what the local pass takes."""


async def speak(scripted: ScriptedRoutes, *, chunks: int = CHUNKS, draft: str = "so many words", **session) -> tuple:
    """One utterance as a session sends it: (text or error, its FinalRequest, seconds after its end)."""
    residency_and_deadline = session.pop("residency", Residency.CLOUD_OK), session.pop("deadline_ms", None)
    finals = SessionFinals(scripted.routes, session.pop("session", "s"), Tenant("t"))
    request = finals.open(1, "en", *residency_and_deadline)
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
            await scripted.advance(0.1)
            if "during" in session and number == chunks // 2:
                session["during"](request)
        request.confirm_endpoint()
        send.close()
        if not request.live:
            tasks.start_soon(finalize)
        ended = scripted.clock.now()
        while not results and scripted.clock.now() < ended + 60:
            await settle()
            if not results:
                scripted.clock.advance(0.05)
    return results[0], request, scripted.clock.now() - ended


@pytest.mark.parametrize("live", [True, False], ids=["live", "batch"])
@pytest.mark.parametrize("at", [0, 1, CHUNKS // 2, CHUNKS - 1, None], ids=lambda at: f"at {at}")
@pytest.mark.parametrize("fault", FAULTS)
async def test_routing_faults_lose_no_word(fault, at, live):
    """The local route receives the utterance from its first sample to its last, a hedge delay later at most."""
    if fault == "answers too early" and at is None:
        return  # at the end it is not too early
    rules = RoutingRules(prefer=(Place.CLOUD,))
    aws = RouteEngine(None, at=at, **FAULTS[fault])
    scripted = scripted_routes(replace(AWS, live=live), LOCAL, rules=rules, aws=aws)

    text, request, delay = await speak(scripted)

    assert text == f"{CHUNKS} chunks"
    assert request.route.name == "local"
    assert scripted.engines["local"].received == [CHUNK * CHUNKS]
    assert delay <= HEDGE_S + LOCAL_S + 0.11
    assert scripted.engines["aws"].closed == len(scripted.engines["aws"].received)
    assert all(s.in_flight == 0 for s in scripted.routes.states.values())
    assert scripted.records[0].chosen == "local"


async def test_a_healthy_live_route_is_the_only_attempt():
    """One route, one pass, one price; the reasons and the outcome are recorded."""
    scripted = scripted_routes(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)))

    text, request, _ = await speak(scripted)

    assert text == f"{CHUNKS} chunks"
    assert (request.route.name, request.route.why, request.route.hedged) == ("aws", "the cloud is preferred", False)
    assert request.route.cost_usd == pytest.approx(0.006)
    assert scripted.engines["local"].received == []
    record = scripted.records[0]
    assert record.ranked == ("aws", "local")
    assert [a.outcome for a in record.attempts] == [Outcome.DELIVERED]
    assert record.request.spent.day == pytest.approx(0.012)  # promised while it ran: it might have become long


async def test_hedge_is_recorded_with_the_cost_of_both_attempts():
    """Both attempts are in the record."""
    scripted = scripted_routes(
        AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)), aws=RouteEngine(None, stalls=True)
    )

    _, request, _ = await speak(scripted)

    assert request.route.hedged
    assert request.route.cost_usd == pytest.approx(0.006)
    assert [a.outcome for a in scripted.records[0].attempts] == [Outcome.DELIVERED, Outcome.STOPPED]


async def test_hedge_budget_without_a_token_waits_for_the_slow_route():
    """Without a token a slow route is waited for."""
    rules = RoutingRules(prefer=(Place.CLOUD,), hedge=HedgeRules(share=0.0, burst=1))
    scripted = scripted_routes(AWS, LOCAL, rules=rules, aws=RouteEngine(None, takes_s=1.0))

    first = await speak(scripted)
    second = await speak(scripted)

    assert (first[1].route.name, second[1].route.name) == ("local", "aws")


@pytest.mark.parametrize("hedge", [HedgeRules(share=0.0, burst=0.0), HedgeRules(enabled=False)], ids=["dry", "off"])
async def test_failover_from_a_stalled_route_without_a_hedge_after_four_hedge_delays(hedge):
    """The stalled route is stopped before the next one is asked, so that nothing runs twice."""
    aws = RouteEngine(None, stalls=True)
    scripted = scripted_routes(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,), hedge=hedge), aws=aws)

    text, request, delay = await speak(scripted)

    assert (text, request.route.name, request.route.hedged) == (f"{CHUNKS} chunks", "local", False)
    assert delay <= 4 * HEDGE_S + LOCAL_S + 0.16
    assert aws.closed == 1


async def test_circuit_breaker_opens_after_failures_and_closes_after_a_probe():
    """While open it receives no user audio; the probe is the canned clip, and its success closes the breaker."""
    aws = RouteEngine(None, error=ProviderDown("aws", "gone"), at=0)
    scripted = scripted_routes(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)), aws=aws)
    for _ in range(3):
        await speak(scripted)
    assert scripted.routes.states["aws"].breaker.state(scripted.clock.now()) is BreakerState.OPEN
    received = len(aws.received)
    await speak(scripted)
    assert len(aws.received) == received

    aws.error = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        open_s = scripted.routes.states["aws"].breaker.open_until - scripted.clock.now()
        await scripted.advance(open_s + 0.5)
        tasks.cancel_scope.cancel()

    assert scripted.routes.states["aws"].breaker.state(scripted.clock.now()) is BreakerState.CLOSED
    assert aws.received[received:] == [CLIP]
    assert (await speak(scripted))[1].route.name == "aws"


async def test_probes_send_the_clip_and_never_user_audio():
    """Whatever is probed receives the clip alone."""
    scripted = scripted_routes(JETSON, LOCAL)
    await speak(scripted)
    before = {name: len(engine.received) for name, engine in scripted.engines.items()}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        await scripted.advance(120, step=0.25)
        tasks.cancel_scope.cancel()

    probes = [pcm for name, engine in scripted.engines.items() for pcm in engine.received[before[name] :]]
    assert probes
    assert set(probes) == {CLIP}


async def test_probes_do_not_keep_a_paid_route_warm():
    """Only a half-open breaker is worth the money."""
    scripted = scripted_routes(AWS, LOCAL)

    assert scripted.routes.routes_to_probe() == ["local"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_residency_on_prem_only_never_reaches_the_cloud(fault):
    """Not even when everything on premises fails: it ends in an error, and the draft is what there is."""
    local = RouteEngine(None, **FAULTS[fault])
    scripted = scripted_routes(AWS, LOCAL, local=local, rules=RoutingRules(prefer=(Place.CLOUD,), deadline_ms=5000))

    await speak(scripted, residency=Residency.ON_PREM_ONLY)

    assert scripted.engines["aws"].received == []


async def test_residency_restricted_in_mid_utterance_replays_the_audio_on_prem():
    """The cloud's stream is closed at once, and the whole utterance replayed locally."""
    scripted = scripted_routes(AWS, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)))

    text, request, _ = await speak(scripted, during=FinalRequest.restrict_to_on_prem)

    assert text == f"{CHUNKS} chunks"
    assert request.route.name == "local"
    assert len(scripted.engines["aws"].received[0]) <= (CHUNKS // 2 + 1) * len(CHUNK)


async def test_retry_of_the_only_route_after_a_passing_fault():
    """A passing fault costs a pause, not the words."""
    local = RouteEngine(None, error=ProviderBusy("local", "full"))
    scripted = scripted_routes(LOCAL, local=local)

    async def mend() -> None:
        await scripted.clock.sleep_until(3.0)
        local.error = None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mend)
        text, _, _ = await speak(scripted)

    assert text == f"{CHUNKS} chunks"
    assert len(local.received) > 1


async def test_deadline_ends_in_an_error_and_the_draft_is_recorded():
    """At the deadline, not later."""
    scripted = scripted_routes(LOCAL, local=RouteEngine(None, stalls=True), rules=RoutingRules(deadline_ms=2000))

    error, request, delay = await speak(scripted)

    assert isinstance(error, ProviderDown)
    assert delay == pytest.approx(2.0, abs=0.1)
    request.record_shown(Hypothesis("draft", is_final=True), None)
    assert scripted.records[0].chosen is None


@pytest.mark.parametrize("deadline_ms", [200, 1000])
@pytest.mark.parametrize("fault", FAULTS)
async def test_session_deadline_has_the_best_text_in_time(fault, deadline_ms):
    """Whatever goes wrong: by its own deadline all of its words, or the error that makes the draft the final."""
    slow = RouteEngine(None, takes_s=0.3)
    faulty = RouteEngine(None, **FAULTS[fault], at=5 if fault == "answers too early" else None)
    scripted = scripted_routes(AWS, LOCAL, aws=faulty, local=slow, rules=RoutingRules(prefer=(Place.CLOUD,)))

    result, _, delay = await speak(scripted, deadline_ms=deadline_ms)

    assert delay <= deadline_ms / 1000 + 0.051  # a step of the clock
    assert result == f"{CHUNKS} chunks" or isinstance(result, ProviderDown)
    if deadline_ms == 1000:
        assert result == f"{CHUNKS} chunks"
    assert scripted.engines["aws"].closed == len(scripted.engines["aws"].received)


async def test_session_deadline_prefers_the_route_that_is_in_time():
    """The preferred one is usually too late for it; others go on as before."""
    scripted = scripted_routes(AWS, LOCAL, rules=RoutingRules(prefer=(Place.ON_PREM,)))

    hurried = (await speak(scripted, deadline_ms=600))[1]
    patient = (await speak(scripted, session="another"))[1]

    assert (hurried.route.name, hurried.route.why) == ("aws", "the only route in time")
    assert patient.route.name == "local"
    assert [record.request.deadline_ms for record in scripted.records] == [600, None]


async def test_session_deadline_opens_no_circuit_breaker():
    """Twenty impossible deadlines, and the route serves everyone else as before."""
    scripted = scripted_routes(LOCAL, local=RouteEngine(None, takes_s=0.4))
    for number in range(20):
        error, _, _ = await speak(scripted, session=f"s{number}", chunks=2, deadline_ms=200)
        assert isinstance(error, ProviderDown)

    assert (await speak(scripted))[0] == f"{CHUNKS} chunks"
    assert scripted.routes.states["local"].breaker.failure_rate == 0


async def test_session_deadline_cannot_be_later_than_the_one_of_the_rules():
    """A session can shorten the deadline, not lengthen it."""
    scripted = scripted_routes(LOCAL, local=RouteEngine(None, stalls=True), rules=RoutingRules(deadline_ms=2000))

    _, _, delay = await speak(scripted, deadline_ms=60_000)

    assert delay == pytest.approx(2.0, abs=0.1)


async def test_budget_spent_sends_the_next_utterance_to_a_free_route():
    """One utterance may exceed the cap; the next one does not."""
    rules = RoutingRules(prefer=(Place.CLOUD,), budgets=Budgets(session=0.01))
    scripted = scripted_routes(AWS, LOCAL, rules=rules)

    taken = [(await speak(scripted))[1].route.name for _ in range(4)]
    other = (await speak(scripted, session="another"))[1].route.name

    assert taken == ["aws", "aws", "local", "local"]
    assert other == "aws"
    assert scripted.routes.ledger.spent("s", "t").session == pytest.approx(0.012)


async def test_budget_counts_what_is_reserved_for_concurrent_utterances():
    """What is promised to finals on their way counts as spent."""
    rules = RoutingRules(prefer=(Place.CLOUD,), budgets=Budgets(day=0.006))
    scripted = scripted_routes(AWS, LOCAL, rules=rules)
    taken: list[str] = []

    async def one(number: int) -> None:
        request = SessionFinals(scripted.routes, f"s{number}", Tenant("t")).open(1, "en", Residency.CLOUD_OK)
        request.confirm_endpoint()

        async def audio():
            yield AudioChunk(CHUNK, 0)

        async with aclosing(request.transcribe(audio(), language="en")) as hypotheses:
            assert [h async for h in hypotheses]
        taken.append(request.route.name)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, number)
        await scripted.advance(2)

    assert taken.count("aws") == 1


async def test_cascade_asks_the_more_accurate_route():
    """Cascade: unsure of itself, the local final waits for a second opinion."""
    rules = RoutingRules(objective=Objective.COST, cascade=CascadeRules())
    unsure = RouteEngine(None, confidence=0.2)
    scripted = scripted_routes(replace(AWS, live=False), LOCAL, rules=rules, local=unsure)

    _, request, _ = await speak(scripted)
    unsure.confidence = 0.9
    _, sure, _ = await speak(scripted, draft="20 chunks")

    assert (request.route.name, request.route.why) == ("aws", "a second opinion on local")
    assert sure.route.name == "local"


async def test_a_route_with_low_agreement_is_rejected():
    """Agreement is a live signal per route and language, and the rules may ask for some."""
    rules = RoutingRules(prefer=(Place.CLOUD,), least_agreement=0.5)
    scripted = scripted_routes(AWS, LOCAL, rules=rules)

    taken = [(await speak(scripted, chunks=2, draft="quite different words"))[1].route.name for _ in range(9)]

    assert taken[:8] == ["aws"] * 8
    assert taken[8] == "local"


async def test_failover_and_recovery_when_all_remote_routes_go_down():
    """Finals are made locally meanwhile; cloud and workers are used again after their probes."""
    cloud = RouteSpec("openai", Place.CLOUD, AWS.price, expected_ms=200)
    scripted = scripted_routes(cloud, JETSON, LOCAL, rules=RoutingRules(prefer=(Place.CLOUD,)))
    remote = [scripted.engines["openai"], scripted.engines["jetson"]]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scripted.routes.maintain)
        before = (await speak(scripted))[1].route.name
        for engine in remote:
            engine.error = ProviderDown("net", "no route to host")
        during = [await speak(scripted) for _ in range(5)]
        for engine in remote:
            engine.error = None
        await scripted.advance(30, step=0.25)
        after = (await speak(scripted))[1].route.name
        tasks.cancel_scope.cancel()

    assert (before, after) == ("openai", "openai")
    assert [text for text, _, _ in during] == [f"{CHUNKS} chunks"] * 5
    assert {request.route.name for _, request, _ in during} == {"local"}
