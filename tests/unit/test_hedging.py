"""Hedging and failover of one final: the pure machine, with every event given by hand."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import ProviderDown, ProviderRefused, RequestRefused
from app.domain.residency import Place, Residency
from app.domain.routing import finalization as f
from app.domain.routing import hedging
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import CascadeRules, HedgeRules, RoutingRules
from app.domain.transcript import Hypothesis

CLOUD = RouteChoice("aws", Place.CLOUD, 0.006, 300, 400, 0.9, live=True, why="fastest")
LOCAL = RouteChoice("local", Place.ON_PREM, 0.0, 500, 700, 0.5, live=False, why="next fastest")
WORKER = RouteChoice("jetson", Place.ON_PREM, 0.0, 600, 900, 0.6, live=False, why="next fastest")


class Driven:
    """A request under way, and every order it gave."""

    def __init__(
        self, *choices: RouteChoice, rules: RoutingRules | None = None, speculative=False, confirmed=True
    ) -> None:
        self.orders: list[f.HedgingOrder] = []
        self.choices = choices
        self._record(
            hedging.begin(choices, rules or RoutingRules(), speculative=speculative, residency=Residency.CLOUD_OK)
        )
        if confirmed:
            self.handle(f.EndpointConfirmed(choices))

    def handle(self, event: f.HedgingEvent) -> list[f.HedgingOrder]:
        return self._record(hedging.transition(self.state, event))

    def answer(self, name: str, text: str, draft: str = "", confidence: float | None = None) -> list[f.HedgingOrder]:
        return self.handle(f.AttemptAnswered(name, Hypothesis(text, is_final=True, confidence=confidence), draft))

    def fail(self, name: str) -> list[f.HedgingOrder]:
        return self.handle(f.AttemptFailed(name, ProviderDown(name, "gone")))

    def orders_of(self, kind: type) -> list:
        return [order for order in self.orders if isinstance(order, kind)]

    @property
    def started(self) -> list[str]:
        return [start.choice.name for start in self.orders_of(f.StartAttempt)]

    @property
    def delivered(self) -> list[tuple[str, str]]:
        return [(d.choice.name, d.final.text) for d in self.orders_of(f.Deliver)]

    def _record(self, step: f.Transition) -> list[f.HedgingOrder]:
        self.state, orders = step
        names = [choice.name for choice in self.state.running]
        assert len(names) == len(set(names)), "a route runs once at a time"
        self.orders += orders
        return list(orders)


def test_the_first_route_answers_and_no_other_is_asked():
    """One attempt, one final."""
    request = Driven(CLOUD, LOCAL)

    request.answer("aws", "hello")

    assert request.started == ["aws"]
    assert request.delivered == [("aws", "hello")]


def test_failover_to_the_next_route_after_a_failure():
    """At once, and the reason says so."""
    request = Driven(CLOUD, LOCAL)

    request.fail("aws")
    request.answer("local", "hello")

    assert request.delivered == [("local", "hello")]
    assert request.orders_of(f.Deliver)[0].why.startswith("aws failed; ")


def test_hedge_starts_at_the_p95_of_a_slow_route():
    """The first final is delivered; the slow attempt is stopped, and its breaker counts a failure."""
    request = Driven(CLOUD, LOCAL)
    assert request.orders_of(f.ScheduleTimer)[1] == f.ScheduleTimer(400, f.HedgeDue, "aws")

    request.handle(f.HedgeDue("aws", token=True))
    request.answer("local", "hello")

    assert request.started == ["aws", "local"]
    assert request.orders_of(f.StartAttempt)[1].hedge
    assert request.orders_of(f.StopAttempt) == [f.StopAttempt("aws")]
    assert request.orders_of(f.RecordFailure) == [f.RecordFailure("aws")]
    assert request.delivered == [("local", "hello")]


def test_without_a_hedge_token_a_slow_route_is_abandoned_at_its_timeout():
    """Which is sooner than with a hedge beside it; its breaker counts a failure at once."""
    request = Driven(CLOUD, LOCAL)

    assert request.handle(f.HedgeDue("aws", token=False)) == [
        f.RecordFailure("aws"),
        f.ScheduleTimer(1200, f.TimeoutDue, "aws"),
    ]
    assert request.started == ["aws"]
    request.handle(f.TimeoutDue("aws"))

    assert request.started == ["aws", "local"]
    assert request.orders_of(f.StopAttempt) == [f.StopAttempt("aws")]


def test_with_hedges_disabled_a_slow_route_is_abandoned_as_early():
    """Four times the delay a hedge would have had, and never later than `abandon_after_ms`."""
    off = RoutingRules(hedge=HedgeRules(enabled=False))

    assert Driven(CLOUD, LOCAL, rules=off).orders_of(f.ScheduleTimer)[1:] == [
        f.ScheduleTimer(1600, f.TimeoutDue, "aws")
    ]
    assert hedging.abandon_after_ms(replace(CLOUD, tail_ms=9000), off) == off.abandon_after_ms


def test_the_only_route_is_not_abandoned_at_its_timeout():
    """However slow: there is no other route."""
    request = Driven(LOCAL)

    assert request.handle(f.HedgeDue("local", token=False)) == []
    assert request.handle(f.TimeoutDue("local")) == []


def test_an_empty_final_is_doubted_where_the_drafts_had_words():
    """Another route is asked; when that one has words, the first one's breaker counts a failure."""
    request = Driven(CLOUD, LOCAL)

    request.answer("aws", "", draft="turn left here")
    request.answer("local", "Turn left here.", draft="turn left here")

    assert request.delivered == [("local", "Turn left here.")]
    assert request.orders_of(f.RecordFailure) == [f.RecordFailure("aws")]


def test_two_empty_finals_are_delivered():
    """The drafts were wrong."""
    request = Driven(CLOUD, LOCAL)

    request.answer("aws", "", draft="uh")
    request.answer("local", "", draft="uh")

    assert request.delivered == [("aws", "")]
    assert request.orders_of(f.RecordFailure) == []


def test_an_empty_final_without_drafts_is_delivered_at_once():
    """Nothing says that there were words."""
    request = Driven(CLOUD, LOCAL)

    request.answer("aws", "")

    assert request.delivered == [("aws", "")]


def test_cascade_asks_a_more_accurate_route_for_a_second_opinion():
    """At low confidence; the second final is delivered."""
    request = Driven(LOCAL, CLOUD, rules=RoutingRules(cascade=CascadeRules()))

    request.answer("local", "wreck a nice beach", confidence=0.3)
    request.answer("aws", "recognise speech")

    assert request.delivered == [("aws", "recognise speech")]


def test_cascade_accepts_a_confident_final():
    """No second opinion is asked for."""
    request = Driven(LOCAL, CLOUD, rules=RoutingRules(cascade=CascadeRules()))

    request.answer("local", "recognise speech", confidence=0.9)

    assert request.started == ["local"]
    assert request.delivered == [("local", "recognise speech")]


def test_cascade_delivers_the_doubted_final_when_the_second_route_fails():
    """A doubted final is better than none."""
    request = Driven(LOCAL, CLOUD, rules=RoutingRules(cascade=CascadeRules()))

    request.answer("local", "wreck a nice beach", confidence=0.3)
    request.fail("aws")

    assert request.delivered == [("local", "wreck a nice beach")]


def test_cascade_of_a_speculative_final_waits_for_the_endpoint():
    """Then the paid route may be asked."""
    request = Driven(LOCAL, rules=RoutingRules(cascade=CascadeRules()), speculative=True, confirmed=False)

    request.answer("local", "wreck a nice beach", confidence=0.3)
    assert request.delivered == []
    request.handle(f.EndpointConfirmed((LOCAL, CLOUD)))

    assert request.started == ["local", "aws"]


def test_retry_after_all_routes_have_failed_backs_off():
    """Each pause is twice as long; what refused is not asked again."""
    request = Driven(LOCAL, WORKER)

    request.handle(f.AttemptFailed("local", ProviderRefused("local", "no")))
    request.fail("jetson")
    assert request.orders[-1] == f.ScheduleTimer(100, f.RetryDue)
    request.handle(f.RetryDue((LOCAL, WORKER)))
    request.fail("jetson")

    assert request.started == ["local", "jetson", "jetson"]
    assert request.orders[-1] == f.ScheduleTimer(200, f.RetryDue)


def test_deadline_stops_every_attempt_and_gives_up():
    """What comes later is ignored."""
    request = Driven(CLOUD, LOCAL)

    request.handle(f.DeadlineDue())

    assert request.orders_of(f.StopAttempt) == [f.StopAttempt("aws")]
    assert isinstance(request.orders[-1], f.GiveUp)
    assert request.answer("aws", "too late") == []


def test_session_deadline_is_never_later_than_the_one_of_the_rules():
    """And at its own, running attempts are stopped, but count as no failures."""
    for own_ms, expected_ms, failures in [(None, 15_000, 1), (60_000, 15_000, 1), (500, 500, 0)]:
        request, _ = hedging.begin(
            (CLOUD,), RoutingRules(), speculative=False, residency=Residency.CLOUD_OK, session_deadline_ms=own_ms
        )
        request, orders = hedging.transition(request, f.EndpointConfirmed((CLOUD,)))
        assert f.ScheduleTimer(expected_ms, f.DeadlineDue) in orders
        _, orders = hedging.transition(request, f.DeadlineDue())
        assert f.StopAttempt("aws") in orders
        assert orders.count(f.RecordFailure("aws")) == failures


def test_deadline_delivers_a_doubted_final_rather_than_none():
    """The best available text, although a second opinion was asked for."""
    request = Driven(CLOUD, replace(WORKER, quality=0.95), rules=RoutingRules(cascade=CascadeRules()))
    request.answer("aws", "perhaps this", confidence=0.1)

    request.handle(f.DeadlineDue())

    assert request.delivered == [("aws", "perhaps this")]


def test_residency_restriction_stops_cloud_attempts():
    """At once, and no cloud route is started any more."""
    request = Driven(CLOUD, LOCAL)

    request.handle(f.ResidencyRestricted())

    assert request.orders_of(f.StopAttempt) == [f.StopAttempt("aws")]
    assert request.started == ["aws", "local"]
    request.fail("local")
    request.handle(f.RetryDue((CLOUD, LOCAL)))
    assert request.started == ["aws", "local", "local"]


EVENTS = st.sampled_from(
    [
        "answer",
        "empty",
        "fail",
        "refuse",
        "unsupported",
        "hedge",
        "dry",
        "timeout",
        "overdue",
        "retry",
        "recover",
        "restrict",
        "confirm",
    ]
)
NAMES = st.sampled_from(["aws", "local", "jetson"])


def test_route_that_is_a_choice_and_a_last_resort_runs_once():
    """Its breaker closed between the two lists."""
    request = Driven(WORKER)
    request.fail("jetson")

    request.handle(f.RetryDue((WORKER,), (WORKER, LOCAL)))
    request.handle(f.HedgeDue("jetson", token=True))

    assert request.started == ["jetson", "jetson", "local"]


@settings(max_examples=600, deadline=None)
@given(
    st.permutations([CLOUD, LOCAL, WORKER]),
    st.lists(st.tuples(EVENTS, NAMES), max_size=40),
    st.booleans(),
    st.booleans(),
)
def test_every_request_ends_once_with_no_attempt_left_running(order, events, speculative, cascade):
    """In one Deliver or one GiveUp; a restricted one never starts a cloud route."""
    rules = RoutingRules(cascade=CascadeRules() if cascade else None, hedge=HedgeRules())
    request = Driven(*order, rules=rules, speculative=speculative, confirmed=not speculative)
    restricted_at: int | None = None
    for kind, name in events:
        match kind:
            case "answer":
                request.answer(name, "hello", draft="hello there", confidence=0.4)
            case "empty":
                request.answer(name, "", draft="hello there")
            case "fail":
                request.fail(name)
            case "refuse":
                request.handle(f.AttemptFailed(name, ProviderRefused(name, "no")))
            case "hedge" | "dry":
                request.handle(f.HedgeDue(name, token=kind == "hedge", last_resort=tuple(order)))
            case "unsupported":
                request.handle(f.AttemptFailed(name, RequestRefused(name, "language")))
            case "timeout":
                request.handle(f.TimeoutDue(name))
            case "overdue":
                request.handle(f.TimeoutDue(name, (), tuple(order)))
            case "retry":
                request.handle(f.RetryDue(tuple(order[:1]), tuple(order)))
            case "recover":
                request.handle(f.RouteRecovered(name, tuple(order)))
            case "restrict":
                restricted_at = len(request.orders) if restricted_at is None else restricted_at
                request.handle(f.ResidencyRestricted())
            case "confirm":
                request.handle(f.EndpointConfirmed(tuple(order)))
    request.handle(f.EndpointConfirmed(tuple(order)))
    request.handle(f.DeadlineDue())

    assert len(request.orders_of(f.Deliver)) + len(request.orders_of(f.GiveUp)) == 1
    assert request.state.running == ()
    if restricted_at is not None:
        assert all(o.choice is not CLOUD for o in request.orders[restricted_at:] if isinstance(o, f.StartAttempt))
