"""Which host names a browser may call this server by, and which web pages may connect. Pure.

A page has an origin: scheme, host and port of its address. A foreign page must not use a visitor's browser to reach
this server; nor may a foreign name that resolves to this server's address (DNS rebinding), whose page would have our
origin. A host that is an IP address cannot be rebound: a page of that origin came from that address.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from app.domain.loopback import is_loopback

ANY = "*"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = re.compile(r"([^@\[\]:]+|\[[^\[\]]+\])(:[0-9]*)?")
"""A host with or without a port. `urlsplit` alone reads `[::1].example.org` as the address `::1`."""


def is_allowed_host(host: str | None, names: Collection[str]) -> bool:
    """Whether this `Host` header is localhost, an IP address or one of the names. No header: no browser."""
    if host is None or ANY in names:
        return True
    name = host_name(host)
    return name is not None and (is_loopback(name) or _is_address(name) or name in names)


def is_loopback_host(host: str | None) -> bool:
    """Whether this `Host` header names the browser's own machine."""
    name = host_name(host) if host else None
    return name is not None and is_loopback(name)


def host_name(host: str) -> str | None:
    """The name in a `Host` header, in lower case and without its port; None where it cannot be read."""
    url = _split(f"//{host}")
    if url is None or url.netloc != host or not url.hostname:
        return None
    return url.hostname.removesuffix(".")


def is_allowed_origin(origin: str | None, own: str, allowed: Collection[str]) -> bool:
    """No `Origin`: no browser. A page of our own has our origin; that of any other must be allowed by name."""
    if origin is None or ANY in allowed or origin in allowed:
        return True
    page = _parts(origin)
    return page is not None and page == _parts(own)


def _parts(origin: str) -> tuple[str, str, int] | None:
    url = _split(origin)
    if url is None or url.scheme not in _DEFAULT_PORTS or not url.hostname:
        return None
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS[url.scheme]


def _split(url: str) -> SplitResult | None:
    """None for what is no URL, such as `http://[`, user information, or a port that is no number."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 because reading it raises the ValueError
    except ValueError:
        return None
    return parts if _NETLOC.fullmatch(parts.netloc) else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
