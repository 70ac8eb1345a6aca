"""Which engine is asked, and which one after a failure."""

import pytest

from app.domain.errors import (
    AnswerWithheld,
    ParleyError,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
)
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.engine_failover import EngineCandidate, FailedCall, NextCall, engine_order, next_call

DOWN = ProviderDown("a", "asked to fail")
PAID, FREE = EngineCandidate("paid", is_free=False), EngineCandidate("free", is_free=True)
RESERVE = EngineCandidate("reserve", is_free=True, is_reserve=True)


def test_engines_are_asked_in_the_configured_order():
    assert engine_order([PAID, FREE], is_budget_spent=False) == ("paid", "free")
    assert engine_order([FREE, PAID], is_budget_spent=False) == ("free", "paid")


def test_an_engine_with_an_open_breaker_is_the_last_resort():
    """One that is about to be probed comes before one that is not."""
    open_one = EngineCandidate("open", is_free=True, breaker_state=BreakerState.OPEN)
    half_open = EngineCandidate("half open", is_free=True, breaker_state=BreakerState.HALF_OPEN)

    assert engine_order([open_one, half_open, PAID], is_budget_spent=False) == ("paid", "half open", "open")


def test_once_a_budget_is_spent_only_free_engines_serve():
    """The reserve serves then, and never before."""
    assert engine_order([PAID, FREE, RESERVE], is_budget_spent=False) == ("paid", "free")
    assert engine_order([PAID, FREE, RESERVE], is_budget_spent=True) == ("free", "reserve")
    assert engine_order([PAID], is_budget_spent=True) == ()


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        ProviderBusy("a", "asked to fail", retry_after_s=60),
        ProviderRefused("a", "asked to fail"),
        ProviderMisbehaved("a", "asked to fail"),
        RequestRefused("a", "asked to fail"),
    ],
)
def test_after_a_failure_the_next_engine_is_asked_at_once(error: ParleyError):
    """Whatever the cause, and however long it took; each of them once."""
    first, second = FailedCall("a", error, 15.0), FailedCall("b", error, 0.0)

    assert next_call(["a", "b"], []) == NextCall("a")
    assert next_call(["a", "b"], [first]) == NextCall("b")
    assert next_call(["a", "b"], [first, second]) is None


@pytest.mark.parametrize(
    ("error", "seconds", "following"),
    [
        (DOWN, 0.1, NextCall("a", 0.2)),
        (DOWN, 3.0, None),
        (ProviderBusy("a", "full"), 0.1, NextCall("a", 0.2)),
        (ProviderBusy("a", "full", retry_after_s=1), 0.1, NextCall("a", 1.0)),
        (ProviderBusy("a", "full", retry_after_s=2), 0.1, None),
        (ProviderRefused("a", "no such key"), 0.1, None),
        (ProviderMisbehaved("a", "nonsense"), 0.1, None),
        (RequestRefused("a", "too long"), 0.1, None),
    ],
)
def test_the_only_engine_is_asked_again_where_it_failed_soon_and_it_may_pass(error, seconds, following):
    """Once: the second failure is the answer."""
    failed = FailedCall("a", error, seconds)

    assert next_call(["a"], [failed]) == following
    assert next_call(["a"], [failed, failed]) is None


def test_an_engine_that_may_have_acted_is_not_asked_again():
    assert next_call(["a"], [FailedCall("a", DOWN, 0.1)], never_repeat={"a"}) is None
    assert next_call(["a", "b"], [FailedCall("a", DOWN, 0.1)], never_repeat={"a"}) == NextCall("b")


def test_what_a_model_declines_to_answer_is_not_asked_of_another():
    """That is its answer."""
    assert next_call(["a", "b"], [FailedCall("a", AnswerWithheld("a", "held back its answer"), 0.1)]) is None
