"""Which proxy a connection takes: the environment's, as `NO_PROXY` allows, and none to this machine.

Decided here for every client, because httpx opens all proxies of the environment, also those that it will not
use, and raises what it likes where it cannot.
"""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from app.domain.errors import SettingsError
from app.domain.loopback import is_loopback

_HTTP_SCHEME = {"ws": "http", "wss": "https"}


def proxy_of(url: str) -> str | None:
    """The address of the proxy for this URL (http, https, ws, wss); None where the connection is direct.

    Raises SettingsError where the environment names a proxy that is neither http nor https, such as SOCKS.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    scheme = _HTTP_SCHEME.get(parts.scheme, parts.scheme)
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_usable(proxy):
        raise SettingsError(
            f"the proxy that the environment names for {host} cannot be used: it must be http:// or https://; "
            f"set {scheme.upper()}_PROXY, or put {host} into NO_PROXY"
        )
    return proxy


def _is_usable(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or brackets that do not close
        return False
