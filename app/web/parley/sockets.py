"""The WebSocket endpoints `/ws/transcribe` and `/ws/raw`: admission, one session each, and how it is closed."""

from contextlib import suppress
from typing import Any

import anyio
import structlog
from litestar import WebSocket, websocket
from litestar.datastructures import State

from app.domain.principal import Scope
from app.domain.profile import Profile
from app.domain.tenant import Tenant
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.runtime.session_registry import RunningSession
from app.runtime.supervision import report_defect
from app.web.auth.audit import audited_session
from app.web.auth.middleware import peer_of, requires
from app.web.errors import INTERNAL_ERROR, error_reply, has_defect
from app.web.parley.messages import SessionStarted
from app.web.parley.socket_client import ClientGone, SocketClient

WIND_DOWN_S = 15.0
"""A session that the server has ended has so long to get its pending finals."""

_log = structlog.get_logger("parley.socket")


@websocket("/ws/transcribe", opt=requires(Scope.SPEAK))
async def transcribe(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Packets of audio with their sample rate."""
    await _serve(socket, state.service, raw=False)


@websocket("/ws/raw", opt=requires(Scope.SPEAK))
async def raw(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Bare 16 kHz mono PCM16."""
    await _serve(socket, state.service, raw=True)


async def refuse(socket: WebSocket[Any, Any, Any], error: Exception) -> None:
    """Accept, say why, and close: a browser tells its page nothing of a handshake that failed."""
    client = SocketClient(socket, raw=False)
    with suppress(ClientGone):
        await client.accept()
        await client.close_for(error)


async def _serve(socket: WebSocket[Any, Any, Any], service: Service, *, raw: bool) -> None:
    """One session from handshake to close; whatever it raises costs this session alone."""
    client, session = SocketClient(socket, raw=raw, profiles=service.profiles), new_id()
    structlog.contextvars.bind_contextvars(session=session)
    try:
        await client.accept()
        name = socket.query_params.get("profile")
        profile = service.profiles.choose(name, socket.user.tenant)
        peer, user_agent = peer_of(socket), socket.headers.get("user-agent", "")
        with (
            service.running_sessions.registered(session, socket.user, peer=peer, user_agent=user_agent) as running,
            audited_session(socket, session),
        ):
            await client.send(_greeting(service, session, socket.user.tenant))
            await _run_session(client, service, running, profile, is_profile_named=bool(name))
        client.raise_for_fault()
    except ClientGone:
        return  # it left while we were writing: the session has noticed, or never began
    except Exception as error:  # noqa: BLE001 because a defect in one session must not reach the others unseen
        _report(session, error)
        await _close(client, service, error)


def _greeting(service: Service, session: str, tenant: Tenant) -> SessionStarted:
    """Tells the client whether what it will say is recorded, and for how long it is kept."""
    records = service.uploader.records(tenant)
    conversation = session if records and service.chat else None
    return SessionStarted(session, records, service.uploader.days_kept(tenant) or None, conversation)


async def _run_session(
    client: SocketClient,
    service: Service,
    session: RunningSession,
    profile: Profile | None,
    *,
    is_profile_named: bool,
) -> None:
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as run:
            tasks.start_soon(_write_until_ended, client, service, session, run)
            await service.run_session(session, client, profile=profile, is_profile_named=is_profile_named)
        tasks.cancel_scope.cancel()


async def _write_until_ended(
    client: SocketClient, service: Service, session: RunningSession, run: anyio.CancelScope
) -> None:
    """Write what is shown. Where the server ends the session, say why and close; its run ends by itself, or is ended.

    The run sees the closed socket as a client that has left, so that the last audio is transcribed and recorded.
    """
    async with anyio.create_task_group() as writing:
        writing.start_soon(_write, client)
        error = await session.ended()
        writing.cancel_scope.cancel()
    await _close(client, service, error)
    await anyio.sleep(WIND_DOWN_S)
    run.cancel()


async def _close(client: SocketClient, service: Service, error: Exception) -> None:
    service.metrics.closed_sessions.labels(error_reply(error).code).inc()
    await client.close_for(error)


async def _write(client: SocketClient) -> None:
    try:
        await client.write()
    except ClientGone:
        return  # the reading side ends the session


def _report(session: str, error: Exception) -> None:
    """One log line for a session that the server ended through its own fault; none for a refusal."""
    reply = error_reply(error)
    if has_defect(error):
        report_defect("session", error, event="session failed", session=session)
    elif reply.close_code == INTERNAL_ERROR:
        _log.error("session failed", session=session, code=reply.code, message=reply.message)
