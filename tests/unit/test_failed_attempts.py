"""The token bucket for wrong keys, by address."""

from app.runtime.authentication import Peer
from app.web.auth.failures import BURST, MAX_ADDRESSES, REFILL_EVERY_S, FailedAttempts


def test_burst_of_wrong_keys_is_followed_by_a_wait():
    failures = FailedAttempts(lambda: 0.0)

    waits = [failures.retry_after_s(Peer("203.0.113.7")) for _ in range(BURST + 2)]

    assert waits == [0] * BURST + [3, 3]


def test_waiting_refills_one_attempt_at_a_time():
    now = 0.0
    failures = FailedAttempts(lambda: now)
    for _ in range(BURST + 10):
        failures.retry_after_s(Peer("203.0.113.7"))

    now = REFILL_EVERY_S

    assert failures.retry_after_s(Peer("203.0.113.7")) == 0
    assert failures.retry_after_s(Peer("203.0.113.7")) > 0


def test_addresses_are_limited_apart_and_an_ipv6_network_together():
    failures = FailedAttempts(lambda: 0.0)
    for number in range(BURST):
        failures.retry_after_s(Peer(f"2001:db8::{number:x}"))

    assert failures.retry_after_s(Peer("2001:db8::ffff")) > 0
    assert failures.retry_after_s(Peer("2001:db8:0:1::1")) == 0
    assert failures.retry_after_s(Peer("203.0.113.7")) == 0


def test_so_many_addresses_are_remembered_and_no_more():
    failures = FailedAttempts(lambda: 0.0)

    for number in range(MAX_ADDRESSES + 50):
        failures.retry_after_s(Peer(f"host-{number}"))

    assert len(failures._full_at) == MAX_ADDRESSES


def test_clients_on_this_machine_are_not_limited():
    failures = FailedAttempts(lambda: 0.0)

    assert {failures.retry_after_s(Peer("127.0.0.1")) for _ in range(BURST + 2)} == {0}
