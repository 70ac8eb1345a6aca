"""Opening a WebSocket to a server: what goes wrong is one sentence that names the cause."""

from collections.abc import Mapping
from ipaddress import ip_address
from socket import gaierror
from ssl import SSLContext, SSLError
from urllib.parse import SplitResult, urlsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

from parley_client.errors import AddressError, ServerUnreachable, SessionError, SessionRefused

PATH = "/ws/transcribe"
PING_S = 20.0
"""Between two pings, and until a pong is missed."""

_STATUS_HINTS = {
    401: "it asks for a key",
    403: "it refuses this key or this origin",
    404: f"there is no socket at this path; Parley's is {PATH}",
    **dict.fromkeys((502, 503, 504), "a gateway answered, and no server behind it"),
}


def session_address(url: str, **query: str) -> str:
    """The address with these fields in its query, and with Parley's path where it has none. Raises AddressError."""
    parts = _split(url)
    path = PATH if parts.path in ("", "/") else parts.path
    fields = [parts.query, *(f"{name}={value}" for name, value in query.items())]
    return parts._replace(path=path, query="&".join(filter(None, fields))).geturl()


async def open_socket(
    url: str,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    ssl: SSLContext | None = None,
    ping_s: float = PING_S,
) -> ClientConnection:
    """A WebSocket; through the proxy of the environment, where the server is not on this machine.

    Raises AddressError, ServerUnreachable and SessionRefused.
    """
    if key is not None and not (key.isascii() and key.isprintable()):
        raise AddressError("the key has characters that no HTTP header may have; a key is plain ASCII on one line")
    try:
        return await connect(
            url,
            max_size=None,
            compression=None,
            additional_headers={**(headers or {}), **({"Authorization": f"Bearer {key}"} if key else {})},
            proxy=None if _is_loopback(_split(url).hostname or "") else True,
            ping_interval=ping_s,
            ping_timeout=ping_s,
            ssl=ssl or (True if _split(url).scheme == "wss" else None),
        )
    except (OSError, ImportError, ValueError, websockets.WebSocketException) as error:
        raise _reason(url, error) from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # a port that is no number, or brackets that do not close
        pass
    raise AddressError(f"{url} is no WebSocket address, such as ws://localhost:8000{PATH}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reason(url: str, error: Exception) -> SessionError:
    """Why no socket could be opened, and what to do."""
    match error:
        case SSLError():  # before ValueError and OSError, because a certificate's error is both
            return ServerUnreachable(f"{url}: no trusted TLS connection: {error.reason or error}")
        case websockets.InvalidProxy() | websockets.ProxyError() | ImportError():  # a SOCKS proxy needs a package
            return AddressError(f"the proxy that the environment names does not work: {error}")
        case websockets.InvalidURI() | ValueError():
            return AddressError(f"{url} is no WebSocket address, such as ws://localhost:8000{PATH}")
        case websockets.InvalidStatus():
            status = error.response.status_code
            hint = _STATUS_HINTS.get(status, "")
            sentence = f"{url}: the server answered HTTP {status}{f': {hint}' if hint else ''}"
            return SessionRefused(f"http_{status}", sentence)
        case gaierror():
            return ServerUnreachable(f"{url}: there is no host of this name")
        case websockets.InvalidHandshake():
            return SessionRefused("", f"{url}: what answers there is no WebSocket server")
        case _:
            return ServerUnreachable(f"{url}: no server answers; is it running? Start it with `parley serve`")
