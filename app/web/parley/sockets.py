"""The WebSocket endpoints `/ws/transcribe` and `/ws/raw`: admission, one session each, and how it is closed."""

from contextlib import ExitStack, aclosing, suppress
from typing import Any

import anyio
import structlog
from litestar import WebSocket, websocket
from litestar.datastructures import State

from app.domain.errors import ClientError
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
from app.web.parley import messages
from app.web.parley.connection import ClientGone, Connection
from app.web.parley.resumable_sessions import ResumableSession, ResumableSessions, refusal
from app.web.parley.socket_client import SocketClient

WIND_DOWN_S = 15.0
"""A session that the server has ended has so long to get its pending finals."""

RESUME_TIMEOUT_S = 10.0
"""A client that comes back has so long to send its token."""
NEW = "new"
"""`?resume=new`: a new session that can be resumed; any other value is the id of one."""

_log = structlog.get_logger("parley.socket")


@websocket("/ws/transcribe", opt=requires(Scope.SPEAK))
async def transcribe(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Packets of audio with their sample rate."""
    await _serve(socket, state.service, state.resumable, raw=False)


@websocket("/ws/raw", opt=requires(Scope.SPEAK))
async def raw(socket: WebSocket[Any, Any, Any], state: State) -> None:
    """Bare 16 kHz mono PCM16."""
    await _serve(socket, state.service, state.resumable, raw=True)


async def refuse(socket: WebSocket[Any, Any, Any], error: Exception) -> None:
    """Accept, say why, and close: a browser tells its page nothing of a handshake that failed."""
    connection = Connection(socket)
    with suppress(ClientGone):
        await connection.accept()
        await connection.close_for(error)


async def _serve(
    socket: WebSocket[Any, Any, Any], service: Service, resumable: ResumableSessions, *, raw: bool
) -> None:
    """A session, or the next connection of one, from handshake to close; what it raises costs this one alone."""
    session = socket.query_params.get("resume") or ""
    if session in ("", NEW):
        await _serve_session(socket, service, resumable, raw=raw, grace_s=service.resume_s if session else 0.0)
    else:
        await _serve_connection(socket, resumable, session)


async def _serve_session(
    socket: WebSocket[Any, Any, Any], service: Service, resumable: ResumableSessions, *, raw: bool, grace_s: float
) -> None:
    connection, session = Connection(socket), new_id()
    client = SocketClient(connection, raw=raw, profiles=service.profiles, grace_s=grace_s)
    structlog.contextvars.bind_contextvars(session=session)
    try:
        await connection.accept()
        name = socket.query_params.get("profile")
        profile = service.profiles.choose(name, socket.user.tenant)
        peer, user_agent = peer_of(socket), socket.headers.get("user-agent", "")
        with (
            service.running_sessions.registered(session, socket.user, peer=peer, user_agent=user_agent) as running,
            audited_session(socket, session),
            ExitStack() as offered,
        ):
            running.resume_s = grace_s
            started = _greeting(service, session, socket.user.tenant)
            if grace_s:
                own = ResumableSession(running, client, started)
                offered.enter_context(resumable.offered(own))
                started = own.greeting()
            await client.send(started)
            await _run_session(client, service, running, profile, is_profile_named=bool(name))
        client.raise_for_fault()
    except ClientGone:
        return  # it left while we were writing: the session has noticed, or never began
    except Exception as error:  # noqa: BLE001 because a defect in one session must not reach the others unseen
        _report(session, error)
        await _close(client, service, error)
    finally:
        client.connection.give_up()  # where it is not the first, its own handler ends


async def _serve_connection(socket: WebSocket[Any, Any, Any], resumable: ResumableSessions, session: str) -> None:
    """A connection that resumes a session, which runs where its first connection began it."""
    connection = Connection(socket)
    structlog.contextvars.bind_contextvars(session=session[:64])
    try:
        await connection.accept()
        resume = await _read_resume(connection)
        connection.received = resume.received
        await resumable.claim(session, resume, socket.user).take_over(connection, resume.token, socket.user)
        _log.info("session resumed", session=session, received=resume.received)
        await connection.lost.wait()
    except ClientGone:
        return
    except ClientError as error:
        await connection.close_for(error)
    except Exception as error:  # noqa: BLE001 because a defect in one session must not reach the others unseen
        _report(session, error)
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
        writing.start_soon(client.write)
        error = await session.ended()
        writing.cancel_scope.cancel()
    await _close(client, service, error)
    await anyio.sleep(WIND_DOWN_S)
    run.cancel()


async def _close(client: SocketClient, service: Service, error: Exception) -> None:
    service.metrics.closed_sessions.labels(error_reply(error).code).inc()
    await client.close_for(error)


def _report(session: str, error: Exception) -> None:
    """One log line for a session that the server ended through its own fault; none for a refusal."""
    reply = error_reply(error)
    if has_defect(error):
        report_defect("session", error, event="session failed", session=session)
    elif reply.close_code == INTERNAL_ERROR:
        _log.error("session failed", session=session, code=reply.code, message=reply.message)
