"""Token bucket, deadlines of a session, and the address of a client behind proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.client_limits import ClientLimits, SessionActivity, is_on_standby, next_deadline
from app.domain.errors import ClientFault
from app.domain.token_bucket import TokenBucket
from app.domain.trusted_proxies import client_address, names_proxy, parse_networks
from app.runtime.authentication import Peer

PROXY, CLIENT = "10.0.0.1", "203.0.113.7"
PRIVATE = parse_networks("private")


def test_token_bucket_allows_a_burst_and_then_its_rate():
    bucket = TokenBucket(rate=2, burst=3, updated_at=0)

    waits = [bucket.take(0) for _ in range(4)]

    assert waits == [0, 0, 0, 0.5]
    assert [bucket.take(0.5), bucket.take(0.5)] == [0, 0.5]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 10)), max_size=30))
def test_charged_amounts_never_outrun_the_rate(steps):
    """A caller that waits as long as it is told takes at most the burst and the rate times the time."""
    bucket, now, taken = TokenBucket(rate=8, burst=30, updated_at=0), 0.0, 0.0
    for pause, amount in steps:
        now += pause
        taken += amount
        now += bucket.charge(now, amount)

        assert taken <= 30 + 8 * now + 1e-6


def test_token_bucket_survives_a_clock_that_stands_still_or_goes_back():
    bucket = TokenBucket(rate=1, burst=1, updated_at=10)

    assert [bucket.take(10), bucket.take(9), bucket.take(9)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (ClientLimits(), None),
        (ClientLimits(session_idle_s=60, session_silent_s=60, session_max_s=90), (80, ClientFault.SESSION_SILENT)),
        (ClientLimits(session_idle_s=60, session_silent_s=600, session_max_s=900), (110, ClientFault.SESSION_IDLE)),
        (ClientLimits(session_idle_s=60, session_max_s=90), (90, ClientFault.SESSION_TOO_LONG)),
    ],
    ids=["no limits", "silent", "idle", "too long"],
)
def test_the_first_deadline_of_a_session_counts(limits, expected):
    """The last audio was received at 50 s, the last words at 20 s."""
    deadline = next_deadline(SessionActivity(started_at=0, active_at=50, words_at=20), limits)

    assert (deadline and (deadline.at, deadline.code)) == expected


def test_session_is_on_standby_after_its_last_activity():
    activity, limits = SessionActivity(0, 50, 0), ClientLimits(session_standby_s=10)

    assert [is_on_standby(activity, limits, now) for now in (59.9, 60)] == [False, True]
    assert not is_on_standby(activity, ClientLimits(), 1e9)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (CLIENT, [], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [CLIENT], CLIENT),
        (CLIENT, ["198.51.100.1"], CLIENT),
        (PROXY, [f"127.0.0.1, {CLIENT}"], CLIENT),
        (PROXY, [f"198.51.100.1, {CLIENT}, 10.0.0.2"], CLIENT),
        (PROXY, [f"198.51.100.1, {CLIENT}", "10.0.0.2"], CLIENT),
        (PROXY, ["192.168.1.5"], "192.168.1.5"),
        (PROXY, ["unknown"], PROXY),
        (PROXY, [f"{CLIENT}:4711"], CLIENT),
        (PROXY, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (f"::ffff:{PROXY}", [CLIENT], CLIENT),
        ("", [CLIENT], ""),
    ],
)
def test_forwarded_address_is_believed_from_trusted_proxies_alone(peer, forwarded, expected):
    """What the client itself has put into the header is behind the address its first trusted proxy saw."""
    assert client_address(peer, forwarded, PRIVATE) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["host", "authorization", "user-agent", "origin"], False),
        ([], False),
        *[
            (["host", name], True)
            for name in (
                "via",
                "forwarded",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-forwarded-port",
                "x-real-ip",
                "cf-connecting-ip",
                "true-client-ip",
                "x-client-ip",
                "cdn-loop",
            )
        ],
    ],
)
def test_proxy_is_known_by_the_headers_that_it_writes(headers, expected):
    assert names_proxy(headers) is expected


def test_nobody_is_trusted_with_none():
    assert client_address(PROXY, [CLIENT], parse_networks("none")) == PROXY


def test_an_ipv6_zone_is_no_part_of_the_address():
    """A zone may be any text: with it, every request would come from another address."""
    assert client_address(PROXY, ["2001:db8::9%a\r\nb"], PRIVATE) == "2001:db8::9"


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "example.com", "10.0.0.1/8"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r"network|host bits"):
        parse_networks(text)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_limits_count_a_whole_ipv6_network_as_one_address(address, network):
    assert Peer(address).network == network


@pytest.mark.parametrize(
    ("peer", "is_limited"),
    [
        (Peer("127.0.0.1"), False),
        (Peer("::1"), False),
        (Peer(""), False),
        (Peer("127.0.0.1", is_forwarded=True), True),
        (Peer("203.0.113.7"), True),
    ],
)
def test_limits_per_address_spare_this_machines_own_clients(peer, is_limited):
    assert peer.is_limited is is_limited
