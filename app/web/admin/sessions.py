"""`/admin/sessions` lists and ends running sessions; `/admin/drain` keeps new ones from beginning."""

from typing import Any

import structlog
from litestar import Request, Router, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from app.domain.errors import ClientError, ClientFault, SessionNotRunning
from app.domain.principal import Principal, Scope
from app.runtime.service import Service
from app.runtime.session_registry import RunningSession, SessionRegistry
from app.web.auth.middleware import requires

_log = structlog.get_logger("parley.admin")


@get("/sessions")
async def list_sessions(state: State, tenant: FromQuery[str | None] = None) -> dict[str, Any]:
    """The running sessions of this process, the oldest first; with `tenant` those of one."""
    registry = _registry(state)
    return {
        "draining": registry.admission.is_draining,
        "sessions": [_described(state.service, session) for session in registry.of_tenant(tenant)],
    }


@delete("/sessions/{session:str}", status_code=200)
async def end_session(
    state: State, request: Request[Principal, Any, Any], session: FromPath[str]
) -> dict[str, list[str]]:
    """End one session: its client gets `session_ended_by_admin`, and what it said is kept."""
    running = _registry(state).sessions.get(session)
    if running is None:
        raise SessionNotRunning(session[:64])
    return _end([running], request.user)


@delete("/sessions", status_code=200)
async def end_sessions(
    state: State, request: Request[Principal, Any, Any], tenant: FromQuery[str]
) -> dict[str, list[str]]:
    """End every session of one tenant."""
    return _end(_registry(state).of_tenant(tenant), request.user)


@post("/drain", status_code=200)
async def drain(state: State, request: Request[Principal, Any, Any]) -> dict[str, Any]:
    """No new session begins in this process from now on; running ones go on to their end."""
    return _set_draining(state, request.user, is_draining=True)


@delete("/drain", status_code=200)
async def stop_draining(state: State, request: Request[Principal, Any, Any]) -> dict[str, Any]:
    """New sessions may begin again."""
    return _set_draining(state, request.user, is_draining=False)


router = Router(
    "/admin",
    route_handlers=[list_sessions, end_session, end_sessions, drain, stop_draining],
    opt=requires(Scope.ADMIN),
)


def _registry(state: State) -> SessionRegistry:
    service: Service = state.service
    return service.running_sessions


def _end(sessions: list[RunningSession], admin: Principal) -> dict[str, list[str]]:
    for session in sessions:
        _log.warning("session ended by an administrator", session=session.id, admin=admin.name or admin.key_id)
        session.end(ClientError(ClientFault.ENDED_BY_ADMIN, "an administrator has ended this session", fatal=True))
    return {"ended": [session.id for session in sessions]}


def _set_draining(state: State, admin: Principal, *, is_draining: bool) -> dict[str, Any]:
    registry = _registry(state)
    registry.admission.is_draining = is_draining
    _log.warning("draining" if is_draining else "draining stopped", admin=admin.name or admin.key_id)
    return {"draining": is_draining, "sessions": len(registry.sessions)}


def _described(service: Service, session: RunningSession) -> dict[str, Any]:
    return {
        "id": session.id,
        "tenant": session.principal.tenant.name,
        "keyName": session.principal.name,
        "keyId": session.principal.key_id,
        "address": session.peer.address,
        "userAgent": session.user_agent,
        "started": session.started.isoformat(timespec="milliseconds"),
        "audioSeconds": round(session.audio_s, 3),
        "costUsd": round(service.spent_usd(session), 6),
        "state": service.running_sessions.state(session),
    }
