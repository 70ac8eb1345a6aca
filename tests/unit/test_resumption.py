"""Who may come back to a session, and which of its input is new then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.principal import Principal
from app.domain.resumption import InputReceived, ResumeTokens, is_same_client
from app.domain.tenant import Tenant
from app.web.parley.sent_frames import SentFrame, SentFrames

ACME = Principal(Tenant("acme"), key_id="k1", person="p1")


def test_only_its_own_token_is_accepted():
    tokens = ResumeTokens("a")

    assert tokens.accept("a")
    assert not any(tokens.accept(wrong) for wrong in ("", "b", "A", "aa", "ä"))


def test_the_token_before_holds_until_the_client_has_used_the_new_one():
    """The answer with the new token may be lost with its connection."""
    rotated = ResumeTokens("a").rotate("a", "b")

    assert rotated.accept("a")
    assert rotated.accept("b")
    confirmed = rotated.confirm()
    assert not confirmed.accept("a")
    assert confirmed.accept("b")


def test_a_return_with_the_new_token_voids_the_older_ones():
    tokens = ResumeTokens("a").rotate("a", "b").rotate("b", "c")

    assert [token for token in "abc" if tokens.accept(token)] == ["b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        Principal(Tenant("other"), key_id="k1", person="p1"),
        Principal(Tenant("acme"), key_id="k2", person="p1"),
        Principal(Tenant("acme"), key_id="k1", person="p2"),
        Principal(Tenant("acme"), key_id="k1"),
        Principal(),
    ],
)
def test_a_token_is_of_use_to_its_own_key_and_person_alone(other):
    assert not is_same_client(ACME, other)


def test_a_session_token_of_the_same_key_is_the_same_client():
    assert is_same_client(ACME, Principal(Tenant("acme"), key_id="k1", person="p1", by_token=True))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=40))
def test_overlapping_packets_are_taken_once_and_in_order(packets):
    """Whatever is sent again, each sample is taken at most once; a gap is told."""
    received, taken = InputReceived(), []
    for start, samples in packets:
        known, missing = received.samples_known(start, samples), received.samples_missing(start)
        taken += range(start + known, start + samples)
        assert missing == max(0, start - received.samples)
        received = received.with_packet(start, samples)

    assert taken == sorted(set(taken))
    assert received.samples == (taken[-1] + 1 if taken else 0)


def test_a_packet_without_a_position_follows_the_last():
    received = InputReceived(100).with_packet(None, 40)

    assert (received.samples, received.samples_known(None, 40), received.samples_missing(None)) == (140, 0, 0)


def test_a_message_that_comes_again_is_known():
    received = InputReceived().with_message(1).with_message(None).with_message(2)

    assert [received.knows_message(number) for number in (1, 2, 3, None)] == [True, True, False, False]


def frame(number: int, size: int = 10) -> SentFrame:
    return SentFrame(number, bytes(size), is_text=True)


def test_what_is_not_confirmed_is_sent_again():
    sent = SentFrames()
    for _ in range(5):
        sent.keep(frame(sent.next_number()))

    sent.confirm(2)

    assert [each.number for each in sent.after(3)] == [4, 5]
    assert [number for number in range(7) if sent.can_resume_after(number)] == [2, 3, 4, 5]


def test_what_a_client_never_confirms_is_bounded_and_cannot_be_resumed():
    sent = SentFrames(limit=100)
    for _ in range(30):
        sent.keep(frame(sent.next_number()))

    assert len(sent.after(0)) == 10
    assert [number for number in range(31) if sent.can_resume_after(number)] == list(range(20, 31))
