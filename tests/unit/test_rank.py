"""The ranking of routes: private, total, stable, and monotone in price and latency."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Budgets, BudgetScope, Price, Spent
from app.domain.routing.rank import RejectionReason, rank
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.rules import Objective, RoutingRules

places = st.sampled_from(Place)
prices = st.builds(
    Price,
    usd_per_minute=st.sampled_from([0.0, 0.006, 0.024]) | st.floats(0, 1),
    minimum_s=st.sampled_from([0.0, 15.0]),
)
candidates = st.builds(
    Candidate,
    name=st.text("abcdef", min_size=1, max_size=4),
    place=places,
    price=prices,
    breaker_state=st.sampled_from(BreakerState),
    failure_rate=st.floats(0, 1),
    p50_ms=st.floats(10, 5000),
    p95_ms=st.floats(10, 20_000),
    in_flight=st.integers(0, 40),
    at_once=st.none() | st.integers(1, 8),
    languages=st.sampled_from([(), ("en",), ("de", "fr")]),
    longest_s=st.none() | st.floats(1, 60),
    quality=st.sampled_from([0.3, 0.5, 0.9]),
    agreement=st.none() | st.floats(0, 1),
)
fleets = st.lists(candidates, max_size=6, unique_by=lambda c: c.name).map(tuple)
money = st.floats(0, 5)
requests = st.builds(
    RouteRequest,
    seconds=st.floats(0.1, 30),
    language=st.sampled_from([None, "en", "de"]),
    residency=st.sampled_from(Residency),
    spent=st.builds(Spent, money, money, money),
    deadline_ms=st.none() | st.floats(100, 10_000),
    speculative=st.booleans(),
)
limit = st.none() | money
rule_sets = st.builds(
    RoutingRules,
    objective=st.sampled_from(Objective),
    places=st.sampled_from([(Place.ON_PREM,), (Place.CLOUD,), tuple(Place)]),
    prefer=st.sampled_from([(), (Place.ON_PREM,), (Place.CLOUD,)]),
    in_time_ms=st.none() | st.floats(100, 10_000),
    most_usd=st.none() | st.floats(0, 0.1),
    least_quality=st.sampled_from([0.0, 0.4]),
    least_agreement=st.sampled_from([0.0, 0.4]),
    budgets=st.builds(Budgets, limit, limit, limit),
    speculate_paid=st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(requests, fleets, rule_sets)
def test_ranking_is_total_every_route_is_a_choice_or_rejected_with_a_reason(request_, fleet, rules):
    """The ranking is total: no route is lost, none is listed twice."""
    decision = rank(request_, fleet, rules)

    named = [c.name for c in decision.choices] + [r.name for r in decision.rejected]
    assert sorted(named) == sorted(c.name for c in fleet)
    assert all(r.why for r in decision.rejected)
    assert all(c.why for c in decision.choices)


@settings(max_examples=500, deadline=None)
@given(requests, fleets, rule_sets)
def test_residency_on_prem_only_has_no_cloud_candidate(request_, fleet, rules):
    """Whatever breakers are open, and whatever routes cost."""
    decision = rank(replace(request_, residency=Residency.ON_PREM_ONLY), fleet, rules)

    assert all(choice.place is Place.ON_PREM for choice in decision.choices)


@settings(max_examples=300, deadline=None)
@given(requests, fleets, rule_sets, st.randoms(use_true_random=False))
def test_ranking_does_not_depend_on_the_order_of_the_fleet(request_, fleet, rules, chance):
    """The same routes in another order are ranked the same."""
    shuffled = list(fleet)
    chance.shuffle(shuffled)

    one, other = rank(request_, tuple(shuffled), rules), rank(request_, fleet, rules)

    assert one.choices == other.choices
    assert set(one.rejected) == set(other.rejected)


@settings(max_examples=500, deadline=None)
@given(requests, fleets.filter(bool), rule_sets, st.floats(0, 1), st.floats(0, 1), st.data())
def test_ranking_is_monotone_in_price_and_latency(request_, fleet, rules, cheaper, faster, data):
    """Nor does it leave the ranking; and the others keep their order among themselves.

    Unless it comes within the rules only now: then a panic may begin or end with it, and others come or leave.
    """
    at = data.draw(st.integers(0, len(fleet) - 1))
    old = fleet[at]
    new = replace(
        old,
        price=replace(old.price, usd_per_minute=old.price.usd_per_minute * cheaper),
        p50_ms=old.p50_ms * faster,
        p95_ms=old.p95_ms * faster,
    )
    first = rank(request_, fleet, rules)
    before = [c.name for c in first.choices]

    second = rank(request_, (*fleet[:at], new, *fleet[at + 1 :]), rules)

    after = [c.name for c in second.choices]
    if first.panic != second.panic:
        assert old.name not in before
        return
    if old.name in before and len(before) == len(after):
        assert after.index(old.name) <= before.index(old.name)
    if old.name in before:
        assert old.name in after
    assert [n for n in after if n != old.name] == [n for n in before if n != old.name] or len(after) < len(before)


@settings(max_examples=300, deadline=None)
@given(fleets, rule_sets, requests, st.lists(st.floats(0.2, 28), min_size=1, max_size=60))
def test_budget_is_exceeded_by_one_utterance_at_most(fleet, rules, request_, lengths):
    """Spending stops with the final that uses the budget up."""
    spent, most_expensive = Spent(), 0.0
    for seconds in lengths:
        best = rank(replace(request_, seconds=seconds, spent=spent), fleet, rules).best
        if best:
            spent, most_expensive = spent.plus(best.usd), max(most_expensive, best.usd)

    for scope, limit_usd in (
        ("session", rules.budgets.session),
        ("tenant", rules.budgets.tenant),
        ("day", rules.budgets.day),
    ):
        if limit_usd is not None:
            assert getattr(spent, scope) <= limit_usd + most_expensive + 1e-9


def test_a_spent_budget_rejects_paid_routes():
    """The cloud was first; with the day's budget spent it is rejected, and the reason names the scope."""
    fleet = (Candidate("aws", Place.CLOUD, Price(0.024, 15), p50_ms=200, p95_ms=300), Candidate("local", Place.ON_PREM))
    rules = RoutingRules(budgets=Budgets(day=1.0))

    rich = rank(RouteRequest(3, spent=Spent(day=0.99)), fleet, rules)
    poor = rank(RouteRequest(3, spent=Spent(day=1.0)), fleet, rules)

    assert [c.name for c in rich.choices] == ["aws", "local"]
    assert [c.name for c in poor.choices] == ["local"]
    assert poor.rejected[0].scope is BudgetScope.DAY
    assert poor.rejected[0].why == "the day's budget is spent"


def test_tenant_budget_replaces_the_one_of_the_rules():
    """Lower or higher than that one; the other scopes count as before."""
    fleet = (Candidate("aws", Place.CLOUD, Price(0.024, 15)),)
    rules = RoutingRules(budgets=Budgets(tenant=1.0, day=5.0))

    def reasons(tenant_usd: float | None, tenant: float, day: float = 0.0) -> list[str]:
        return [
            r.why
            for r in rank(RouteRequest(3, spent=Spent(0, tenant, day), tenant_usd=tenant_usd), fleet, rules).rejected
        ]

    assert reasons(None, 1.0) == reasons(0.5, 0.5) == reasons(0.0, 0.0) == ["the tenant's budget is spent"]
    assert reasons(2.0, 1.0) == []
    assert reasons(9.0, 5.0, 5.0) == ["the day's budget is spent"]


def test_panic_when_every_circuit_breaker_is_open_the_least_failing_route_is_first():
    """An attempt that may fail is better than none."""
    fleet = (
        Candidate("a", Place.ON_PREM, breaker_state=BreakerState.OPEN, failure_rate=0.9),
        Candidate("b", Place.ON_PREM, breaker_state=BreakerState.OPEN, failure_rate=0.4),
    )

    decision = rank(RouteRequest(3), fleet, RoutingRules())

    assert decision.panic
    assert [c.name for c in decision.choices] == ["b", "a"]


def test_a_route_with_an_open_circuit_breaker_is_rejected_and_is_the_last_resort():
    """No user's audio is sent to find out whether it works again, unless nothing else answers."""
    fleet = (Candidate("a", Place.ON_PREM, breaker_state=BreakerState.HALF_OPEN), Candidate("b", Place.ON_PREM))

    decision = rank(RouteRequest(3), fleet, RoutingRules())

    assert [c.name for c in decision.choices] == ["b"]
    assert [c.name for c in decision.last_resort] == ["a"]
    assert decision.rejected[0].reason is RejectionReason.BREAKER_OPEN


def test_speculative_finals_use_free_routes_only():
    """A final begun in a pause goes to free routes only, unless the rules ask for more."""
    fleet = (Candidate("aws", Place.CLOUD, Price(0.024, 15), p50_ms=100, p95_ms=200), Candidate("local", Place.ON_PREM))

    assert [c.name for c in rank(RouteRequest(3, speculative=True), fleet, RoutingRules()).choices] == ["local"]
    assert rank(RouteRequest(3, speculative=True), fleet, RoutingRules(speculate_paid=True)).best.name == "aws"


@pytest.mark.parametrize(
    ("language", "taken"), [("de,en", ["all", "both"]), ("de", ["all", "both"]), ("en", ["all", "both", "english"])]
)
def test_a_route_must_know_every_language_that_may_be_spoken(language, taken):
    """Which of them is spoken is found out by the route itself."""
    known = {"all": (), "both": ("de", "en", "fr"), "english": ("en",)}
    fleet = tuple(Candidate(name, Place.ON_PREM, languages=languages) for name, languages in known.items())

    ranking = rank(RouteRequest(3.0, language, Residency.CLOUD_OK, Spent()), fleet, RoutingRules())

    assert sorted(choice.name for choice in ranking.choices) == taken


def test_marginal_price_counts_minimums_and_what_the_stream_has_carried():
    """Three seconds cost fifteen; in a stream that has run four, they cost nothing more."""
    price = Price(0.024, minimum_s=15)

    assert price.marginal(3) == pytest.approx(0.006)
    assert price.marginal(3, streamed=4) == 0
    assert price.marginal(6, streamed=14) == pytest.approx(0.002)


@pytest.mark.slow
def test_a_million_fleets():
    """Seeded, and of every kind: private sessions get no cloud, no route is lost, order is a total order."""
    chance = Random(7)
    names = "abcdefgh"
    pool = [
        Candidate(
            names[at % 8],
            chance.choice(list(Place)),
            Price(chance.choice([0.0, 0.006, 0.024, 0.03]), chance.choice([0.0, 15.0])),
            chance.choice([BreakerState.CLOSED, BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN]),
            chance.random(),
            chance.uniform(20, 4000),
            chance.uniform(40, 9000),
            chance.randrange(20),
            chance.choice([None, 1, 4]),
            chance.choice([(), (), ("en",), ("de", "fr")]),
            chance.choice([None, None, 10.0]),
            chance.random(),
        )
        for at in range(4096)
    ]
    rule_pool = [
        RoutingRules(
            objective=chance.choice(list(Objective)),
            prefer=chance.choice([(), (Place.ON_PREM,), (Place.CLOUD,)]),
            in_time_ms=chance.choice([None, 500.0, 2000.0]),
            budgets=Budgets(day=chance.choice([None, 1.0])),
        )
        for _ in range(64)
    ]
    request_pool = [
        RouteRequest(
            chance.uniform(0.2, 28),
            chance.choice([None, "en", "de"]),
            chance.choice(list(Residency)),
            Spent(day=chance.choice([0.0, 0.99, 1.0, 2.0])),
            chance.choice([None, 800.0]),
            chance.random() < 0.2,
        )
        for _ in range(1024)
    ]
    for at in range(1_000_000):
        start = chance.getrandbits(12)
        fleet = tuple(pool[start : start + 1 + at % 3])
        request_ = request_pool[at % 1024]
        decision = rank(request_, fleet, rule_pool[at % 64])
        assert len(decision.choices) + len(decision.rejected) == len(fleet)
        if request_.residency is Residency.ON_PREM_ONLY:
            for choice in decision.choices:
                assert choice.place is Place.ON_PREM
