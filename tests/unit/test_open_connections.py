"""Which connections a server keeps: limits of all and of one address, and who makes room."""

import pytest

from app.cli.connection_limits import connection_limits
from app.config import Settings
from app.domain.trusted_proxies import parse_networks
from app.web.open_connections import LOOPBACK, OpenConnections


def test_address_has_no_more_connections_than_its_limit_until_one_of_them_ends():
    connections = OpenConnections[int](per_address=2)

    admitted = [connections.add(number, "203.0.113.7") for number in range(3)]
    other = connections.add(3, "203.0.113.8")
    connections.remove(0)

    assert (admitted, other) == ([True, True, False], True)
    assert connections.add(4, "203.0.113.7")


def test_ipv6_addresses_count_by_their_network():
    connections = OpenConnections[int](per_address=1)

    assert [connections.add(n, host) for n, host in enumerate(("2001:db8::1", "2001:db8::2", "2001:db8:1::1"))] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("host", ["127.0.0.2", "::1", "::ffff:127.0.0.1", "10.0.0.3", ""])
def test_own_machine_and_proxies_are_not_counted_by_address(host):
    connections = OpenConnections[int](per_address=1, uncounted=(*LOOPBACK, *parse_networks("10.0.0.0/8")))

    assert all(connections.add(number, host) for number in range(5))


def test_connection_that_has_waited_longest_makes_room():
    """One that is served does not wait, and one whose response has ended waits anew. There is room for two, and two."""
    connections = OpenConnections[str](maximum=2)
    for name in ("served", "first", "answered", "last"):
        connections.add(name, "203.0.113.7")
    connections.begin_request("served")
    connections.begin_request("answered")
    connections.await_request("answered")

    made_room = []
    for name in ("a", "b", "c", "d"):
        connections.add(name, "203.0.113.7")
        made_room.append(connections.make_room(name))

    assert made_room == ["first", "last", "answered", "a"]


def test_server_is_full_of_what_it_serves_and_not_of_what_waits():
    connections = OpenConnections[int](maximum=2)
    for number in range(4):
        connections.add(number, "203.0.113.7")
    was_full = []
    for number in range(3):
        connections.begin_request(number)
        was_full.append(connections.is_full)
    connections.await_request(0)

    assert (was_full, connections.is_full) == ([False, False, True], False)


def test_where_nobody_waits_only_this_machine_may_connect():
    """The check of health comes from here."""
    connections = OpenConnections[str](maximum=1)
    for name in ("one", "two"):
        assert connections.add(name, "203.0.113.7")
        connections.begin_request(name)

    assert not connections.add("three", "203.0.113.8")
    assert connections.add("own", "127.0.0.1")
    assert connections.make_room("own") is None


def test_removed_connection_does_not_wait_again():
    connections = OpenConnections[str](maximum=1)
    connections.add("gone", "203.0.113.7")
    connections.remove("gone")
    connections.remove("gone")
    connections.await_request("gone")
    for name in ("a", "b", "c"):
        connections.add(name, "203.0.113.7")

    assert connections.make_room("c") == "a"


def test_without_limits_every_connection_stays():
    connections = OpenConnections[int]()
    for number in range(5000):
        assert connections.add(number, "203.0.113.7")
        connections.begin_request(number)

    assert (connections.make_room(0), connections.is_full) == (None, False)


def test_limits_of_connections_are_twice_those_of_sessions_and_concern_no_proxy():
    """The same of a gateway and of a worker."""
    settings = Settings(max_connections=7, max_connections_per_address=3, trusted_proxies="10.0.0.3")

    assert connection_limits(settings) == {
        "max_connections": 14,
        "max_connections_per_address": 6,
        "uncounted": (*LOOPBACK, *parse_networks("10.0.0.3")),
    }
