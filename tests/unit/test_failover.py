"""Failover while the only usable route hangs, and requests that an engine refuses: the pure machine."""

from app.domain.errors import ProviderDown, ProviderRefused, RequestRefused
from app.domain.residency import Place, Residency
from app.domain.routing import hedging as h
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import RoutingRules

LOCAL = RouteChoice("local", Place.ON_PREM, 0.0, 500, 700, 0.5, live=False, why="next fastest")
WORKER = RouteChoice("jetson", Place.ON_PREM, 0.0, 600, 900, 0.6, live=False, why="next fastest")
CLOUD = RouteChoice("aws", Place.CLOUD, 0.006, 300, 400, 0.9, live=True, why="fastest")


def begun(*choices: RouteChoice, last_resort: tuple[RouteChoice, ...] = ()) -> h.FinalizationState:
    """A confirmed request whose first route runs."""
    state, _ = h.begin(choices, RoutingRules(), speculative=False, residency=Residency.CLOUD_OK)
    state, _ = h.transition(state, h.EndpointConfirmed(choices, last_resort))
    return state


def started(orders: tuple[h.HedgingOrder, ...]) -> list[str]:
    return [order.choice.name for order in orders if isinstance(order, h.StartAttempt)]


def kinds(orders: tuple[h.HedgingOrder, ...]) -> list[str]:
    return [type(order).__name__ for order in orders]


def test_failover_after_a_refused_request_records_no_failure():
    """The language is the request's fault: the next route is asked, and the explanation does not call it a failure."""
    state = begun(LOCAL, WORKER)

    state, orders = h.transition(state, h.AttemptFailed("local", RequestRefused("local", "language xx")))
    _, end = h.transition(state, h.AttemptAnswered("jetson", h.Hypothesis("hello", is_final=True)))

    assert started(orders) == ["jetson"]
    assert "RecordFailure" not in kinds((*orders, *end))
    assert end == (h.Deliver(WORKER, h.Hypothesis("hello", is_final=True), WORKER.why),)


def test_where_every_route_refuses_the_request_the_final_fails_with_that_error():
    """At once, with no retry: they would refuse again."""
    state = begun(LOCAL, WORKER)
    refused = RequestRefused("jetson", "language xx")

    state, _ = h.transition(state, h.AttemptFailed("local", RequestRefused("local", "language xx")))
    _, orders = h.transition(state, h.AttemptFailed("jetson", refused))

    assert orders == (h.GiveUp(refused),)


def test_a_route_that_was_down_is_retried_although_another_refused_later():
    """The newest error decides nothing: the first route may be back in a moment."""
    state = begun(LOCAL, WORKER)

    state, _ = h.transition(state, h.AttemptFailed("local", ProviderDown("local", "gone")))
    state, orders = h.transition(state, h.AttemptFailed("jetson", ProviderRefused("jetson", "key")))
    _, again = h.transition(state, h.RetryDue((LOCAL, WORKER)))

    assert orders == (h.ScheduleTimer(100, h.RetryDue),)
    assert started(again) == ["local"]


def test_a_route_whose_breaker_closes_joins_and_is_hedged_to():
    """It was no candidate when the request began."""
    state = begun(LOCAL)

    state, nothing = h.transition(state, h.RouteRecovered("jetson", (LOCAL, WORKER)))
    _, orders = h.transition(state, h.HedgeDue("local", token=True))

    assert nothing == ()
    assert started(orders) == ["jetson"]


def test_a_route_that_is_available_at_the_timeout_takes_over():
    """The routes are ranked again when the hanging one times out, whoever was a candidate before."""
    state = begun(LOCAL)

    _, orders = h.transition(state, h.TimeoutDue("local", (LOCAL, WORKER)))

    assert orders[:2] == (h.StopAttempt("local"), h.RecordFailure("local"))
    assert started(orders) == ["jetson"]


def test_open_routes_are_tried_beside_a_route_that_hangs():
    """No other is left: the last resort starts without a token, and the hanging one goes on."""
    state = begun(LOCAL)

    state, orders = h.transition(state, h.TimeoutDue("local", (LOCAL,), (WORKER,)))
    _, end = h.transition(state, h.AttemptAnswered("jetson", h.Hypothesis("hello", is_final=True)))

    assert started(orders) == ["jetson"]
    assert not any(isinstance(order, h.StartAttempt) and order.hedge for order in orders)
    assert "StopAttempt" not in kinds(orders)
    assert end[-1] == h.Deliver(WORKER, h.Hypothesis("hello", is_final=True), WORKER.why)
    assert h.StopAttempt("local") in end


def test_a_route_that_failed_before_is_retried_while_the_other_hangs():
    """With the pauses of a retry, until the deadline."""
    state = begun(WORKER, LOCAL)
    state, _ = h.transition(state, h.AttemptFailed("jetson", ProviderDown("jetson", "gone")))

    state, at_timeout = h.transition(state, h.TimeoutDue("local", (LOCAL,)))
    state, retried = h.transition(state, h.RetryDue((LOCAL,), (WORKER,)))
    state, failed = h.transition(state, h.AttemptFailed("jetson", ProviderDown("jetson", "gone")))

    assert at_timeout == (h.ScheduleTimer(100, h.RetryDue),)
    assert started(retried) == ["jetson"]
    assert failed == (h.ScheduleTimer(200, h.RetryDue),)


def test_a_route_that_recovers_while_the_other_is_overdue_takes_over_at_once():
    """Its breaker closed after a probe: nobody waits for the hanging one any longer."""
    state = begun(LOCAL)
    state, _ = h.transition(state, h.TimeoutDue("local", (LOCAL,)))

    _, orders = h.transition(state, h.RouteRecovered("jetson", (LOCAL, WORKER)))

    assert started(orders) == ["jetson"]
    assert h.StopAttempt("local") in orders


def test_open_routes_are_tried_where_the_only_other_one_refuses():
    """Credentials of the one are wrong; the other's breaker is open, but it may answer."""
    state = begun(LOCAL, last_resort=(WORKER,))

    _, orders = h.transition(state, h.AttemptFailed("local", ProviderRefused("local", "key")))

    assert started(orders) == ["jetson"]


def test_a_recovered_cloud_route_does_not_join_a_private_request():
    """Residency is a hard filter for the last resort, too."""
    state = begun(LOCAL)
    state, _ = h.transition(state, h.ResidencyRestricted())
    state, beside = h.transition(state, h.TimeoutDue("local", (LOCAL, CLOUD), (CLOUD,)))

    _, orders = h.transition(state, h.RouteRecovered("aws", (LOCAL, CLOUD)))

    assert started((*beside, *orders)) == []
