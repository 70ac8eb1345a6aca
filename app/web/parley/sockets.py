"""The sockets people speak into."""

from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog
from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect

from app.domain.errors import ClientError, ClientFault, ParleyError
from app.runtime.service import Service, new_session_id
from app.web.auth.middleware import accept
from app.web.parley import messages
from app.web.parley.socket_client import SocketClient

POLICY_VIOLATION, INTERNAL_ERROR, TRY_AGAIN_LATER = 1008, 1011, 1013

LEFT = WebSocketDisconnect, OSError
"""What writing to a client that is gone raises; the OSError is ASGI's word for it."""

_log = structlog.get_logger("parley.socket")


@websocket("/ws/transcribe")
async def transcribe(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Packets of audio with their sample rate."""
    await _serve(socket, state.service, raw=False)


@websocket("/ws/raw")
async def raw(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Bare 16 kHz mono PCM16."""
    await _serve(socket, state.service, raw=True)


async def _serve(socket: WebSocket[Any, Any, Any], service: Service, *, raw: bool) -> None:
    await accept(socket)
    client = SocketClient(socket, raw=raw)
    try:
        if not may_connect(socket.headers.get("origin"), socket.headers.get("host"), service.allowed_origins):
            error = ClientError(
                ClientFault.ORIGIN_REFUSED, "this web origin may not connect; see PARLEY_ALLOWED_ORIGINS"
            )
            await _end(client, error, POLICY_VIOLATION)
        elif full := service.admission.refusal(socket.user):
            await client.send(messages.ErrorMessage("no_capacity", full, fatal=True))
            await socket.close(TRY_AGAIN_LATER, "no capacity")
        else:
            await _run_session(client, service)
    except LEFT:
        pass  # it left while we were writing: the session has noticed or never began


async def _run_session(client: SocketClient, service: Service) -> None:
    session = new_session_id()
    structlog.contextvars.bind_contextvars(session=session)
    await client.send(messages.SessionStarted(session))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_write, client)
            with service.admission.admitted(session, client.socket.user):
                await service.run_session(session, client, client.socket.user)
            tasks.cancel_scope.cancel()
    except* ParleyError as group:
        error = group.exceptions[0]
        _log.error("session failed", kind=type(error).__name__, message=str(error))
        await client.send(messages.ErrorMessage("internal_error", "the session cannot go on", fatal=True))
        await client.socket.close(INTERNAL_ERROR, "the session cannot go on")
    if client.verdict:
        await _end(client, client.verdict, POLICY_VIOLATION)


async def _write(client: SocketClient) -> None:
    try:
        await client.write()
    except LEFT:
        return  # the reading side ends the session


async def _end(client: SocketClient, error: ClientError, code: int) -> None:
    await client.send(messages.error_message(error, fatal=True))
    await client.socket.close(code, error.code)


def may_connect(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """No origin: no browser. A page of our own has our host; others must be named."""
    return origin is None or urlsplit(origin).netloc == host or origin in allowed or "*" in allowed
