"""The content security policy: the page runs its own files alone, and speaks to no server that nobody has named."""

import re
from functools import cache
from urllib.parse import urlsplit

from app.web.browser.origin import is_loopback_host
from app.web.page_files import FOLDER

_LOOPBACK = "ws://localhost:* ws://127.0.0.1:* http://localhost:* http://127.0.0.1:*"
"""A page on the developer's own machine may use any server there."""


def content_security_policy(host: str | None) -> str:
    """The policy for a response to a request with this `Host` header."""
    connect = ["'self'", *named_servers(), *([_LOOPBACK] if is_loopback_host(host) else [])]
    return "; ".join(
        (
            "default-src 'self'",
            f"connect-src {' '.join(connect)}",
            "img-src 'self' data:",
            "media-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


@cache
def named_servers() -> tuple[str, ...]:
    """The servers in the page's `<meta name="parley-ws">`, as sources of the policy: their socket and their HTTP."""
    found = re.search(r'<meta name="parley-ws" content="([^"]*)"', (FOLDER / "index.html").read_text("utf-8"))
    return tuple(source for address in (found.group(1).split() if found else ()) for source in _sources(address))


def _sources(address: str) -> tuple[str, ...]:
    url = urlsplit(address)
    if url.scheme not in ("ws", "wss") or not url.netloc:
        return ()
    return f"{url.scheme}://{url.netloc}", f"{url.scheme.replace('ws', 'http')}://{url.netloc}"
