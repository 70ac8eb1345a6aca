"""uvicorn as Parley runs it: it says when it listens, and stops in good order."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from litestar import Litestar

from app.domain.errors import SettingsError

DRAIN_SECONDS = 20
"""How long sessions have to finish when the server is told to stop."""

PING_SECONDS = 20
"""Between two pings on a socket: what stands in between must not cut a silent connection sooner."""

KEEP_ALIVE_SECONDS = 130
"""How long a plain connection is kept: longer than a load balancer does, or its next request meets a closed door."""

MAX_MESSAGE = 16 << 20
"""Bytes in a frame that the transport takes; what is merely too large is answered, not cut off."""


class GracefulServer(uvicorn.Server):
    """SIGINT and SIGTERM close sessions with 1012 and let what opened the server close what it opened."""

    def __init__(
        self, app: Litestar, *, drain_seconds: int = DRAIN_SECONDS, ping_seconds: float = PING_SECONDS
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE,
                ws_ping_interval=ping_seconds,
                ws_ping_timeout=ping_seconds,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=drain_seconds,
            )
        )
        self.listening = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, this does not raise the signal again: the process ends by itself, cleanly."""
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
    """A listening socket; port 0 takes a free one. Raises SettingsError that names the variable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        variable = "PARLEY_HOST" if isinstance(error, socket.gaierror) else "PARLEY_PORT"
        raise SettingsError(f"{variable}: cannot listen on {host}:{port}: {error.strerror}") from error
