"""The address of a client behind proxies: `X-Forwarded-For` is believed from trusted proxies alone."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_NETWORKS = {
    "private": ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
    "none": (),
}
"""Words for networks: `private` are those that no packet from the internet comes from."""

_PROXY_HEADERS = frozenset(
    {
        "cdn-loop",
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-ray",
        "client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-forwarded",
        "x-original-forwarded-for",
        "x-original-host",
        "x-real-ip",
    }
)
_PROXY_PREFIX = "x-forwarded-"
"""Headers that proxies write and clients do not, in lower case."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses, networks, and the words `private` and `none`, comma-separated. Raises ValueError."""
    names = [name.strip() for name in text.split(",")]
    return tuple(ip_network(each) for name in names for each in _NETWORKS.get(name, (name,)))


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy's; the farthest one where all are, and `peer` where there is none.

    `forwarded` has the values of `X-Forwarded-For`, in the order they came: each proxy appends the address that
    connected to it, so whatever a client has written itself stands before what its first trusted proxy wrote.
    """
    address = peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops):
        previous = _parsed(hop)
        if previous is None or not is_in(address, trusted):
            break
        address = str(previous)
    return address


def names_proxy(headers: Iterable[str]) -> bool:
    """Whether one of these names of headers, in lower case, says that a proxy sent the request on.

    Nothing is believed of its value. A client that writes one itself takes rights from nobody but itself.
    """
    return any(name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX) for name in headers)


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether this is an address, in one of these networks."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """With or without a port; an IPv4 address in IPv6 form as IPv4; without an IPv6 zone, which may be any text."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
