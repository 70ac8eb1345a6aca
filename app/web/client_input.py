"""What every client on a WebSocket is held to, in any protocol: how fast it is read, and what ends its session."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import anyio

from app.domain.errors import ClientError, ClientFault
from app.domain.token_bucket import TokenBucket
from app.runtime.dialog.outbox import Outbox
from app.web.socket_connection import SocketConnection

MAX_BAD_FRAMES = 50
"""Frames that could not be read, after which the session is closed: the client is broken, and stays so."""

FRAMES_PER_S, FRAME_BURST = 1000, 5000
"""Frames of one client are read at most so fast, whatever is in them: 10 ms of audio in each is ten times real time."""


@dataclass(slots=True)
class FrameRate:
    """Of one client, over all its connections."""

    _bucket: TokenBucket = field(default_factory=lambda: TokenBucket(FRAMES_PER_S, FRAME_BURST, anyio.current_time()))

    async def frames(self, connection: SocketConnection) -> AsyncGenerator[dict[str, Any], None]:
        """Its frames, at most so fast; nothing is read meanwhile."""
        async with aclosing(connection.frames()) as frames:
            async for frame in frames:
                if wait_s := self._bucket.charge(anyio.current_time(), 1):
                    await anyio.sleep(wait_s)
                yield frame


def client_fault(
    connection: SocketConnection, outbox: Outbox, bad_frames: int, *, may_return: bool = False
) -> ClientError | None:
    """Why the session ends through the client's fault; None: it goes on."""
    if connection.timed_out and not may_return:
        return ClientError(ClientFault.TIMED_OUT, "the client answered no ping", fatal=True)
    if outbox.overflowed:
        return ClientError(ClientFault.TOO_SLOW, "the client reads too slowly", fatal=True)
    if bad_frames >= MAX_BAD_FRAMES:
        return ClientError(ClientFault.BAD_MESSAGE, f"{MAX_BAD_FRAMES} frames could not be read", fatal=True)
    return None
