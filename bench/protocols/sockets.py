"""WebSocket client with JSON messages, for servers of other projects."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.domain.errors import ProviderDown

READY_SECONDS = 60
"""How long a server may take to say that it is ready; some load their model first."""


@asynccontextmanager
async def open_socket(url: str, **options: Any) -> AsyncGenerator[ClientConnection, None]:
    """Raises ProviderDown if the server cannot be reached."""
    try:
        socket = await connect(url, max_size=None, compression=None, **options)
    except (OSError, websockets.WebSocketException) as error:
        raise ProviderDown(url, "no server answers there; start it first") from error
    async with socket:
        yield socket


async def messages(socket: ClientConnection) -> AsyncGenerator[dict[str, Any], None]:
    """Every JSON object the server sends, until it closes."""
    try:
        async for frame in socket:
            yield msgspec.json.decode(frame)
    except websockets.ConnectionClosed:
        return  # after a stop message a server may close without a close frame


async def send_json(socket: ClientConnection, message: dict[str, Any]) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def await_type(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The first message of this type. Raises ProviderDown when it does not come."""
    with anyio.move_on_after(READY_SECONDS):
        async for message in messages(socket):
            if kind in (message.get("type"), message.get("message")):
                return message
    raise ProviderDown("server", f"it never sent {kind!r}")
