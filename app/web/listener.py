"""The uvicorn server as Parley runs it: listening sockets, limits of the transport, graceful shutdown."""

import asyncio
import errno
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import cast

import anyio
import uvicorn
from litestar import Litestar

from app.domain.errors import SettingsError
from app.domain.trusted_proxies import Network
from app.web.http import BODY_TIMEOUT_S, DRAIN, ON_STOP, STOPPING, served_app
from app.web.http_protocol import HEAD_TIMEOUT_S, LINGER_S, WRITE_TIMEOUT_S, DeadlineHttpProtocol
from app.web.keepalive import KeepaliveProtocol
from app.web.open_connections import LOOPBACK, OpenConnections
from app.web.overload import refuse_when_full
from app.web.parley.packets import MAX_METADATA_BYTES, MAX_PCM_BYTES
from app.web.root_path import under_root_path

TURN_SECONDS = 12
"""How long turns may go on after SIGTERM or SIGINT; then their sessions are closed."""

DRAIN_SECONDS = 20
"""How long sessions that are closed have to finish."""

PING_SECONDS = 20
"""Between two pings on a WebSocket, and until one counts as unanswered; a proxy must not cut a silent one sooner."""

KEEP_ALIVE_SECONDS = 130
"""How long an idle HTTP connection is kept: longer than a load balancer keeps it, or its next request is lost."""

MAX_MESSAGE_BYTES = MAX_PCM_BYTES + MAX_METADATA_BYTES + (64 << 10)
"""Transport limit per WebSocket message. One above packets.MAX_PCM_BYTES and below this is answered with the error
`frame_too_large`; one above this closes the socket with 1009."""


class GracefulServer(uvicorn.Server):
    """SIGINT and SIGTERM let turns end, then close the sockets with 1012; `serve` returns when their sessions ended."""

    def __init__(
        self,
        app: Litestar,
        *,
        turn_seconds: float = TURN_SECONDS,
        drain_seconds: int = DRAIN_SECONDS,
        ping_seconds: float = PING_SECONDS,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        body_timeout_s: float = BODY_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        root_path: str = "",
        max_connections: int = 0,
        max_connections_per_address: int = 0,
        uncounted: Sequence[Network] = LOOPBACK,
    ) -> None:
        """`max_connections`: sockets and HTTP connections; a request is answered with 503 beyond it. 0: no limit.

        Of one address, except those in the networks `uncounted`, a connection beyond the limit is closed at once.
        """
        connections: OpenConnections[DeadlineHttpProtocol] = OpenConnections(
            max_connections, max_connections_per_address, uncounted
        )
        protocol = partial(
            DeadlineHttpProtocol,
            open_connections=connections,
            head_timeout_s=head_timeout_s,
            linger_s=min(LINGER_S, body_timeout_s),
            write_timeout_s=write_timeout_s,
        )

        def is_full() -> bool:  # requests outlive connections whose clients have gone
            return connections.is_full or 0 < max_connections < len(self.server_state.tasks)

        super().__init__(
            uvicorn.Config(
                under_root_path(refuse_when_full(served_app(app, body_timeout_s), is_full), root_path),
                log_config=None,
                access_log=False,
                proxy_headers=False,  # because app.domain.trusted_proxies reads them
                http=cast(type[asyncio.Protocol], protocol),  # uvicorn calls it, and does nothing else with it
                ws=KeepaliveProtocol,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                ws_ping_interval=ping_seconds,
                ws_ping_timeout=ping_seconds,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=drain_seconds,
            )
        )
        self.listening = anyio.Event()
        self._app, self._turn_seconds, self._is_hurried = app, turn_seconds, False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state[STOPPING] = True
        for stop in self._app.state.get(ON_STOP, ()):
            stop()
        for server in self.servers:
            server.close()
        if drain := self._app.state.get(DRAIN):
            await drain(self._turn_seconds, lambda: self._is_hurried)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 because uvicorn calls it so
        """The first signal lets turns end, the second closes sessions at once, the third waits for nothing."""
        self.force_exit = self._is_hurried
        self._is_hurried = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, this does not raise the signal again, so that the process ends with status 0."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one, host `::` both IPv6 and IPv4. Raises SettingsError.

    Its connections send at once (TCP_NODELAY, which they inherit): the second of two small messages in a row would else
    wait until the client acknowledges the first. asyncio sets it for sockets alone that name their protocol.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual_stack = host == "::" and socket.has_dualstack_ipv6()
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=dual_stack)
    except OSError as error:
        variable = "PARLEY_PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "PARLEY_HOST"
        raise SettingsError(f"{variable}: cannot listen on {host}:{port}: {error.strerror}") from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def http_url(host: str, listening: socket.socket) -> str:
    """The address to print for a socket bound to this host: an IPv6 address in brackets, the port it really has."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
