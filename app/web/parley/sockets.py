"""The WebSocket endpoints `/ws/transcribe` and `/ws/raw`: admission, one session each, and how it is closed."""

from contextlib import ExitStack, aclosing, suppress
from typing import Any

import anyio
import structlog
from litestar import WebSocket, websocket
from litestar.datastructures import State

from app.domain.audit import AuditAction, AuditOutcome
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.domain.tenant import Tenant
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.web.auth.middleware import peer_of, requires
from app.web.parley import messages, realtimestt
from app.web.parley.connection import Connection
from app.web.parley.resumable_sessions import ResumableSession, ResumableSessions, refusal
from app.web.parley.socket_client import SocketClient
from app.web.served_session import ClientGone, begin_session, closed_on_error, report_failure
from app.web.socket_handshake import origin_of, refused_by

RESUME_TIMEOUT_S = 10.0
"""A client that comes back has so long to send its token."""
NEW = "new"
"""`?resume=new`: a new session that can be resumed; any other value is the id of one."""

_log = structlog.get_logger("parley.socket")


async def accept_and_close(socket: WebSocket[Any, Any, Any], error: Exception) -> None:
    """Accept, say why, and close: a browser tells its page nothing of a handshake that failed."""
    connection = Connection(socket)
    with suppress(ClientGone):
        await connection.accept()
        await connection.close_for(error)


SPEAK = {**requires(Scope.SPEAK), **refused_by(accept_and_close)}


@websocket("/ws/transcribe", opt=SPEAK)
async def transcribe(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Packets of audio with their sample rate, of Parley's clients and of RealtimeSTT's FastAPI page."""
    await _serve(socket, state.service, state.resumable, raw=False)


@websocket("/ws/raw", opt=SPEAK)
async def raw(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Bare 16 kHz mono PCM16."""
    await _serve(socket, state.service, state.resumable, raw=True)


async def _serve(
    socket: WebSocket[Any, Any, Any], service: Service, resumable: ResumableSessions, *, raw: bool
) -> None:
    """A session, or the next connection of one, from handshake to close; what it raises costs this one alone."""
    session = socket.query_params.get("resume") or ""
    if session in ("", NEW):
        grace_s = service.resume_s if session else 0.0
        connection = Connection(socket) if raw or session else _connection_of(socket)
        await serve_new_session(connection, service, resumable, raw=raw, grace_s=grace_s)
    else:
        await _serve_connection(socket, service, resumable, session)


def _connection_of(socket: WebSocket[Any, Any, Any]) -> Connection:
    """Of a client of `/ws/transcribe` that may be RealtimeSTT's page."""
    is_page = socket.query_params.get("client") == realtimestt.NAME
    return realtimestt.RealtimeSttConnection(socket, page=realtimestt.RealtimeSttPage("") if is_page else None)


async def serve_new_session(
    connection: Connection, service: Service, resumable: ResumableSessions, *, raw: bool, grace_s: float
) -> None:
    """A session from its first connection to its end; one with `grace_s` may have further connections."""
    socket, session = connection.socket, new_id()
    connection.session = session
    client = SocketClient(connection, raw=raw, profiles=service.profiles, grace_s=grace_s)
    try:
        async with closed_on_error(service, session, client):
            await connection.accept()
            with begin_session(service, session, origin_of(socket)) as served, ExitStack() as offered:
                served.running.resume_s = grace_s
                started = _greeting(service, session, socket.user.tenant)
                if grace_s:
                    own = ResumableSession(served.running, client, started)
                    offered.enter_context(resumable.offered(own))
                    started = own.greeting()
                await client.send(started)
                await served.run(client)
    finally:
        client.connection.give_up()  # where it is not the first, its own handler ends


async def _serve_connection(
    socket: WebSocket[Any, Any, Any], service: Service, resumable: ResumableSessions, session: str
) -> None:
    """A connection that resumes a session, which runs where its first connection began it."""
    connection = Connection(socket)
    structlog.contextvars.bind_contextvars(session=session[:64])
    try:
        await connection.accept()
        resume = await _read_resume(connection)
        connection.received = resume.received
        await resumable.claim(session, resume, socket.user).take_over(connection, resume.token, socket.user)
        _log.info("session resumed", session=session, received=resume.received)
        service.audit.record(AuditAction.SESSION_RESUMED, socket.user, peer_of(socket), target=session)
        await connection.lost.wait()
    except ClientGone:
        return
    except ClientError as error:
        if error.code is ClientFault.RESUME_REFUSED:
            refused = AuditOutcome.REFUSED
            service.audit.record(
                AuditAction.SESSION_RESUMED, socket.user, peer_of(socket), target=session, outcome=refused
            )
        await connection.close_for(error)
    except Exception as error:  # noqa: BLE001 because a defect in one session must not reach the others unseen
        report_failure(session, error)
        await connection.close_for(error)


async def _read_resume(connection: Connection) -> messages.ResumeMessage:
    """The first message of a connection that resumes. Raises ClientError where another one comes, or none in time."""
    with anyio.move_on_after(RESUME_TIMEOUT_S):
        async with aclosing(connection.frames()) as frames:
            frame: dict[str, Any] = await anext(frames, {})
        connection.has_spoken = False  # it does not know the token that it will get
        with suppress(ClientError):
            message = messages.decode(frame.get("text") or "")
            if isinstance(message, messages.ResumeMessage):
                return message
    raise refusal()


def _greeting(service: Service, session: str, tenant: Tenant) -> messages.SessionStarted:
    """Tells the client whether what it will say is recorded, and for how long it is kept."""
    records = service.uploader.records(tenant)
    conversation = session if records and service.chat else None
    return messages.SessionStarted(session, records, service.uploader.days_kept(tenant) or None, conversation)
