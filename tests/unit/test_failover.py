"""Failover while the only usable route hangs, and requests that an engine refuses: the pure machine."""

from app.domain.errors import ProviderDown, ProviderRefused, RequestRefused
from app.domain.residency import Place, Residency
from app.domain.routing import finalization as f
from app.domain.routing import hedging
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import RoutingRules
from app.domain.transcript import Hypothesis

LOCAL = RouteChoice("local", Place.ON_PREM, 0.0, 500, 700, 0.5, live=False, why="next fastest")
WORKER = RouteChoice("jetson", Place.ON_PREM, 0.0, 600, 900, 0.6, live=False, why="next fastest")
CLOUD = RouteChoice("aws", Place.CLOUD, 0.006, 300, 400, 0.9, live=True, why="fastest")


def begun(*choices: RouteChoice, last_resort: tuple[RouteChoice, ...] = ()) -> f.FinalizationState:
    """A confirmed request whose first route runs."""
    state, _ = hedging.begin(choices, RoutingRules(), speculative=False, residency=Residency.CLOUD_OK)
    state, _ = hedging.transition(state, f.EndpointConfirmed(choices, last_resort))
    return state


def started(orders: tuple[f.HedgingOrder, ...]) -> list[str]:
    return [order.choice.name for order in orders if isinstance(order, f.StartAttempt)]


def kinds(orders: tuple[f.HedgingOrder, ...]) -> list[str]:
    return [type(order).__name__ for order in orders]


def test_failover_after_a_refused_request_records_no_failure():
    """The language is the request's fault: the next route is asked, and the explanation does not call it a failure."""
    state = begun(LOCAL, WORKER)

    state, orders = hedging.transition(state, f.AttemptFailed("local", RequestRefused("local", "language xx")))
    _, end = hedging.transition(state, f.AttemptAnswered("jetson", Hypothesis("hello", is_final=True)))

    assert started(orders) == ["jetson"]
    assert "RecordFailure" not in kinds((*orders, *end))
    assert end == (f.Deliver(WORKER, Hypothesis("hello", is_final=True), WORKER.why),)


def test_where_every_route_refuses_the_request_the_final_fails_with_that_error():
    """At once, with no retry: they would refuse again."""
    state = begun(LOCAL, WORKER)
    refused = RequestRefused("jetson", "language xx")

    state, _ = hedging.transition(state, f.AttemptFailed("local", RequestRefused("local", "language xx")))
    _, orders = hedging.transition(state, f.AttemptFailed("jetson", refused))

    assert orders == (f.GiveUp(refused),)


def test_a_route_that_was_down_is_retried_although_another_refused_later():
    """The newest error decides nothing: the first route may be back in a moment."""
    state = begun(LOCAL, WORKER)

    state, _ = hedging.transition(state, f.AttemptFailed("local", ProviderDown("local", "gone")))
    state, orders = hedging.transition(state, f.AttemptFailed("jetson", ProviderRefused("jetson", "key")))
    _, again = hedging.transition(state, f.RetryDue((LOCAL, WORKER)))

    assert orders == (f.ScheduleTimer(100, f.RetryDue),)
    assert started(again) == ["local"]


def test_a_route_whose_breaker_closes_joins_and_is_hedged_to():
    """It was no candidate when the request began."""
    state = begun(LOCAL)

    state, nothing = hedging.transition(state, f.RouteRecovered("jetson", (LOCAL, WORKER)))
    _, orders = hedging.transition(state, f.HedgeDue("local", token=True))

    assert nothing == ()
    assert started(orders) == ["jetson"]


def test_a_route_that_is_available_at_the_timeout_takes_over():
    """The routes are ranked again when the hanging one times out, whoever was a candidate before."""
    state = begun(LOCAL)

    _, orders = hedging.transition(state, f.TimeoutDue("local", (LOCAL, WORKER)))

    assert orders[:2] == (f.StopAttempt("local"), f.RecordFailure("local"))
    assert started(orders) == ["jetson"]


def test_open_routes_are_tried_beside_a_route_that_hangs():
    """No other is left: the last resort starts without a token, and the hanging one goes on."""
    state = begun(LOCAL)

    state, orders = hedging.transition(state, f.TimeoutDue("local", (LOCAL,), (WORKER,)))
    _, end = hedging.transition(state, f.AttemptAnswered("jetson", Hypothesis("hello", is_final=True)))

    assert started(orders) == ["jetson"]
    assert not any(isinstance(order, f.StartAttempt) and order.hedge for order in orders)
    assert "StopAttempt" not in kinds(orders)
    assert end[-1] == f.Deliver(WORKER, Hypothesis("hello", is_final=True), WORKER.why)
    assert f.StopAttempt("local") in end


def test_open_routes_are_hedged_to_where_the_deadline_comes_before_the_timeout():
    """A session that waits for 1.5 s only: the route has taken longer than its p95, and no other is left."""
    for deadline_ms, expected in ((1500, ["jetson"]), (None, [])):
        state, _ = hedging.begin(
            (LOCAL,),
            RoutingRules(),
            speculative=False,
            residency=Residency.CLOUD_OK,
            session_deadline_ms=deadline_ms,
        )
        state, _ = hedging.transition(state, f.EndpointConfirmed((LOCAL,)))

        _, orders = hedging.transition(state, f.HedgeDue("local", True, (LOCAL,), (WORKER,)))

        assert started(orders) == expected


def test_a_route_that_failed_before_is_retried_while_the_other_hangs():
    """With the pauses of a retry, until the deadline."""
    state = begun(WORKER, LOCAL)
    state, _ = hedging.transition(state, f.AttemptFailed("jetson", ProviderDown("jetson", "gone")))

    state, at_timeout = hedging.transition(state, f.TimeoutDue("local", (LOCAL,)))
    state, retried = hedging.transition(state, f.RetryDue((LOCAL,), (WORKER,)))
    state, failed = hedging.transition(state, f.AttemptFailed("jetson", ProviderDown("jetson", "gone")))

    assert at_timeout == (f.ScheduleTimer(100, f.RetryDue),)
    assert started(retried) == ["jetson"]
    assert failed == (f.ScheduleTimer(200, f.RetryDue),)


def test_a_route_that_recovers_while_the_other_is_overdue_takes_over_at_once():
    """Its breaker closed after a probe: nobody waits for the hanging one any longer."""
    state = begun(LOCAL)
    state, _ = hedging.transition(state, f.TimeoutDue("local", (LOCAL,)))

    _, orders = hedging.transition(state, f.RouteRecovered("jetson", (LOCAL, WORKER)))

    assert started(orders) == ["jetson"]
    assert f.StopAttempt("local") in orders


def test_open_routes_are_tried_where_the_only_other_one_refuses():
    """Credentials of the one are wrong; the other's breaker is open, but it may answer."""
    state = begun(LOCAL, last_resort=(WORKER,))

    _, orders = hedging.transition(state, f.AttemptFailed("local", ProviderRefused("local", "key")))

    assert started(orders) == ["jetson"]


def test_a_recovered_cloud_route_does_not_join_a_private_request():
    """Residency is a hard filter for the last resort, too."""
    state = begun(LOCAL)
    state, _ = hedging.transition(state, f.ResidencyRestricted())
    state, beside = hedging.transition(state, f.TimeoutDue("local", (LOCAL, CLOUD), (CLOUD,)))

    _, orders = hedging.transition(state, f.RouteRecovered("aws", (LOCAL, CLOUD)))

    assert started((*beside, *orders)) == []
