"""The race for a final, played without time."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import ProviderDown, ProviderRefused, RequestRefused
from app.domain.residency import Place, Residency
from app.domain.routing import hedging as r
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import CascadeRules, HedgeRules, RoutingRules
from app.domain.transcript import Hypothesis

CLOUD = RouteChoice("aws", Place.CLOUD, 0.006, 300, 400, 0.9, live=True, why="fastest")
LOCAL = RouteChoice("local", Place.ON_PREM, 0.0, 500, 700, 0.5, live=False, why="next fastest")
WORKER = RouteChoice("jetson", Place.ON_PREM, 0.0, 600, 900, 0.6, live=False, why="next fastest")


class Played:
    """A race, and every order it gave."""

    def __init__(
        self, *choices: RouteChoice, rules: RoutingRules | None = None, speculative=False, confirmed=True
    ) -> None:
        self.orders: list[r.HedgingOrder] = []
        self.choices = choices
        self._keep(r.begin(choices, rules or RoutingRules(), speculative=speculative, residency=Residency.CLOUD_OK))
        if confirmed:
            self.happen(r.EndpointConfirmed(choices))

    def happen(self, event: r.HedgingEvent) -> list[r.HedgingOrder]:
        return self._keep(r.transition(self.state, event))

    def answer(self, name: str, text: str, draft: str = "", confidence: float | None = None) -> list[r.HedgingOrder]:
        return self.happen(r.AttemptAnswered(name, Hypothesis(text, is_final=True, confidence=confidence), draft))

    def fail(self, name: str) -> list[r.HedgingOrder]:
        return self.happen(r.AttemptFailed(name, ProviderDown(name, "gone")))

    def every(self, kind: type) -> list:
        return [order for order in self.orders if isinstance(order, kind)]

    @property
    def started(self) -> list[str]:
        return [start.choice.name for start in self.every(r.StartAttempt)]

    @property
    def delivered(self) -> list[tuple[str, str]]:
        return [(d.choice.name, d.final.text) for d in self.every(r.Deliver)]

    def _keep(self, step: r.Transition) -> list[r.HedgingOrder]:
        self.state, orders = step
        names = [choice.name for choice in self.state.running]
        assert len(names) == len(set(names)), "a route runs once at a time"
        self.orders += orders
        return list(orders)


def test_the_first_route_answers():
    """Nobody else is asked."""
    race = Played(CLOUD, LOCAL)

    race.answer("aws", "hello")

    assert race.started == ["aws"]
    assert race.delivered == [("aws", "hello")]


def test_a_route_that_dies_is_followed_by_the_next():
    """At once, and the reason says so."""
    race = Played(CLOUD, LOCAL)

    race.fail("aws")
    race.answer("local", "hello")

    assert race.delivered == [("local", "hello")]
    assert race.every(r.Deliver)[0].why.startswith("aws failed; ")


def test_a_slow_route_is_hedged_after_its_own_p95():
    """The second is started beside it; the first final wins, the loser is stopped and blamed."""
    race = Played(CLOUD, LOCAL)
    assert race.every(r.ScheduleTimer)[1] == r.ScheduleTimer(400, r.HedgeDue, "aws")

    race.happen(r.HedgeDue("aws", token=True))
    race.answer("local", "hello")

    assert race.started == ["aws", "local"]
    assert race.every(r.StartAttempt)[1].hedge
    assert race.every(r.StopAttempt) == [r.StopAttempt("aws")]
    assert race.every(r.RecordFailure) == [r.RecordFailure("aws")]
    assert race.delivered == [("local", "hello")]


def test_without_a_token_a_slow_route_is_waited_for_until_patience_ends():
    """Which ends sooner than beside a hedge; then it is given up like a failed one."""
    race = Played(CLOUD, LOCAL)

    assert race.happen(r.HedgeDue("aws", token=False)) == [
        r.RecordFailure("aws"),
        r.ScheduleTimer(1200, r.TimeoutDue, "aws"),
    ]
    assert race.started == ["aws"]
    race.happen(r.TimeoutDue("aws"))

    assert race.started == ["aws", "local"]
    assert race.every(r.StopAttempt) == [r.StopAttempt("aws")]


def test_where_hedges_are_off_patience_is_as_short():
    """Four times the delay a hedge would have had, and never more than patience itself."""
    off = RoutingRules(hedge=HedgeRules(enabled=False))

    assert Played(CLOUD, LOCAL, rules=off).every(r.ScheduleTimer)[1:] == [r.ScheduleTimer(1600, r.TimeoutDue, "aws")]
    assert r.abandon_after_ms(replace(CLOUD, tail_ms=9000), off) == off.abandon_after_ms


def test_the_only_route_is_waited_for_to_the_end():
    """However slow: there is nobody to turn to."""
    race = Played(LOCAL)

    assert race.happen(r.HedgeDue("local", token=False)) == []
    assert race.happen(r.TimeoutDue("local")) == []


def test_an_empty_final_is_not_believed_where_the_drafts_had_words():
    """Another route is asked; the liar is blamed when it has words."""
    race = Played(CLOUD, LOCAL)

    race.answer("aws", "", draft="turn left here")
    race.answer("local", "Turn left here.", draft="turn left here")

    assert race.delivered == [("local", "Turn left here.")]
    assert race.every(r.RecordFailure) == [r.RecordFailure("aws")]


def test_two_empty_finals_are_believed():
    """The drafts imagined something."""
    race = Played(CLOUD, LOCAL)

    race.answer("aws", "", draft="uh")
    race.answer("local", "", draft="uh")

    assert race.delivered == [("aws", "")]
    assert race.every(r.RecordFailure) == []


def test_silence_is_delivered_at_once():
    """No drafts, no words, no doubt."""
    race = Played(CLOUD, LOCAL)

    race.answer("aws", "")

    assert race.delivered == [("aws", "")]


def test_a_doubtful_local_final_is_put_to_a_better_route():
    """Cascade: low confidence asks the better one, and its words win."""
    race = Played(LOCAL, CLOUD, rules=RoutingRules(cascade=CascadeRules()))

    race.answer("local", "wreck a nice beach", confidence=0.3)
    race.answer("aws", "recognise speech")

    assert race.delivered == [("aws", "recognise speech")]


def test_a_confident_local_final_is_accepted():
    """Cascade asks nobody."""
    race = Played(LOCAL, CLOUD, rules=RoutingRules(cascade=CascadeRules()))

    race.answer("local", "recognise speech", confidence=0.9)

    assert race.started == ["local"]
    assert race.delivered == [("local", "recognise speech")]


def test_when_the_better_route_fails_the_doubtful_words_are_used():
    """Doubtful words are better than none."""
    race = Played(LOCAL, CLOUD, rules=RoutingRules(cascade=CascadeRules()))

    race.answer("local", "wreck a nice beach", confidence=0.3)
    race.fail("aws")

    assert race.delivered == [("local", "wreck a nice beach")]


def test_a_speculative_doubt_waits_for_the_end_of_the_utterance():
    """Then the paid route may be asked."""
    race = Played(LOCAL, rules=RoutingRules(cascade=CascadeRules()), speculative=True, confirmed=False)

    race.answer("local", "wreck a nice beach", confidence=0.3)
    assert race.delivered == []
    race.happen(r.EndpointConfirmed((LOCAL, CLOUD)))

    assert race.started == ["local", "aws"]


def test_when_all_have_failed_they_are_tried_again_after_a_pause():
    """Each pause is twice as long; what refused is not asked again."""
    race = Played(LOCAL, WORKER)

    race.happen(r.AttemptFailed("local", ProviderRefused("local", "no")))
    race.fail("jetson")
    assert race.orders[-1] == r.ScheduleTimer(100, r.RetryDue)
    race.happen(r.RetryDue((LOCAL, WORKER)))
    race.fail("jetson")

    assert race.started == ["local", "jetson", "jetson"]
    assert race.orders[-1] == r.ScheduleTimer(200, r.RetryDue)


def test_the_deadline_ends_it():
    """Nobody is left running."""
    race = Played(CLOUD, LOCAL)

    race.happen(r.DeadlineDue())

    assert race.every(r.StopAttempt) == [r.StopAttempt("aws")]
    assert isinstance(race.orders[-1], r.GiveUp)
    assert race.answer("aws", "too late") == []


def test_a_sessions_own_deadline_is_never_later_than_the_one_of_the_rules():
    """And at its own, whoever still works is stopped but not blamed."""
    for wish_ms, waits_ms, blamed in [(None, 15_000, 1), (60_000, 15_000, 1), (500, 500, 0)]:
        race, _ = r.begin(
            (CLOUD,), RoutingRules(), speculative=False, residency=Residency.CLOUD_OK, session_deadline_ms=wish_ms
        )
        race, orders = r.transition(race, r.EndpointConfirmed((CLOUD,)))
        assert r.ScheduleTimer(waits_ms, r.DeadlineDue) in orders
        _, orders = r.transition(race, r.DeadlineDue())
        assert r.StopAttempt("aws") in orders
        assert orders.count(r.RecordFailure("aws")) == blamed


def test_at_the_deadline_a_doubted_final_is_better_than_none():
    """The best text at hand, although a second opinion was asked for."""
    race = Played(CLOUD, replace(WORKER, quality=0.95), rules=RoutingRules(cascade=CascadeRules()))
    race.answer("aws", "perhaps this", confidence=0.1)

    race.happen(r.DeadlineDue())

    assert race.delivered == [("aws", "perhaps this")]


def test_a_session_that_becomes_private_takes_its_voice_back():
    """A cloud route in the middle of its work is stopped, and none is asked any more."""
    race = Played(CLOUD, LOCAL)

    race.happen(r.ResidencyRestricted())

    assert race.every(r.StopAttempt) == [r.StopAttempt("aws")]
    assert race.started == ["aws", "local"]
    race.fail("local")
    race.happen(r.RetryDue((CLOUD, LOCAL)))
    assert race.started == ["aws", "local", "local"]


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


@settings(max_examples=600, deadline=None)
@given(
    st.permutations([CLOUD, LOCAL, WORKER]),
    st.lists(st.tuples(EVENTS, NAMES), max_size=40),
    st.booleans(),
    st.booleans(),
)
def test_whatever_happens_there_is_one_end_and_nobody_is_left_running(order, story, speculative, cascade):
    """Each race ends in one Deliver or one GiveUp; a private one never starts the cloud."""
    rules = RoutingRules(cascade=CascadeRules() if cascade else None, hedge=HedgeRules())
    race = Played(*order, rules=rules, speculative=speculative, confirmed=not speculative)
    private_from: int | None = None
    for kind, name in story:
        match kind:
            case "answer":
                race.answer(name, "hello", draft="hello there", confidence=0.4)
            case "empty":
                race.answer(name, "", draft="hello there")
            case "fail":
                race.fail(name)
            case "refuse":
                race.happen(r.AttemptFailed(name, ProviderRefused(name, "no")))
            case "hedge" | "dry":
                race.happen(r.HedgeDue(name, token=kind == "hedge"))
            case "unsupported":
                race.happen(r.AttemptFailed(name, RequestRefused(name, "language")))
            case "timeout":
                race.happen(r.TimeoutDue(name))
            case "overdue":
                race.happen(r.TimeoutDue(name, (), tuple(order)))
            case "retry":
                race.happen(r.RetryDue(tuple(order[:1]), tuple(order)))
            case "recover":
                race.happen(r.RouteRecovered(name, tuple(order)))
            case "restrict":
                private_from = len(race.orders) if private_from is None else private_from
                race.happen(r.ResidencyRestricted())
            case "confirm":
                race.happen(r.EndpointConfirmed(tuple(order)))
    race.happen(r.EndpointConfirmed(tuple(order)))
    race.happen(r.DeadlineDue())

    assert len(race.every(r.Deliver)) + len(race.every(r.GiveUp)) == 1
    assert race.state.running == ()
    if private_from is not None:
        assert all(o.choice is not CLOUD for o in race.orders[private_from:] if isinstance(o, r.StartAttempt))
