"""Whether a host is this machine, by its name or address alone. Pure: no name is looked up."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether this host is on the loopback interface: `localhost`, a name below it (RFC 6761), or such an address.

    An IPv6 address comes without brackets. An IPv4 address in IPv6 form counts as that IPv4 address: so a server that
    listens on `::` sees a client of its own machine.
    """
    name = host.lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
