"""One session behind any protocol: admission, profile, audit, writing, the end by the server, and what is reported.

An adapter has the bytes of its protocol, and an AdapterClient; everything else about a session is here, for WebSockets
and for bare TCP alike. `ARCHITECTURE.md` says how an adapter is written.
"""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog

from app.domain.audit import AuditAction
from app.domain.principal import Principal
from app.domain.profile import Profile
from app.runtime.authentication import UNKNOWN_PEER, Peer
from app.runtime.dialog.session import SessionClient
from app.runtime.service import Service
from app.runtime.session_registry import RunningSession
from app.runtime.supervision import report_defect
from app.web.errors import INTERNAL_ERROR, error_reply, has_defect

WIND_DOWN_S = 15.0
"""A session that the server has ended has so long to get its pending finals."""

_log = structlog.get_logger("parley.socket")


class ClientGone(Exception):
    """The client left while we were writing to it."""


class AdapterClient(SessionClient, Protocol):
    """A SessionClient with a connection to close."""

    async def write(self) -> None:
        """Send what is shown, in order, until the connection is lost. The only writer while the session runs."""
        ...

    async def close_for(self, error: Exception) -> None:
        """Say why, in the protocol's own words, and close, where the client is still there and reads. Once."""
        ...

    def raise_for_fault(self) -> None:
        """Raises ClientError where the input ended through the client's fault, and it can still be told."""
        ...


@dataclass(frozen=True, slots=True)
class SessionOrigin:
    """Who begins a session, and with which profile."""

    principal: Principal
    peer: Peer = UNKNOWN_PEER
    user_agent: str = ""
    profile: str | None = None
    """Its name; empty or None: the tenant's default."""


@dataclass(frozen=True, slots=True)
class ServedSession:
    """A session with a place, before and while it runs."""

    service: Service
    running: RunningSession
    profile: Profile | None
    is_profile_named: bool

    async def run(self, client: AdapterClient) -> None:
        """Serve the client until it has left, or until the server ends the session and its audio is recorded.

        Raises what the session raises, and ClientError where it ended through the client's fault.
        """
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as run:
                tasks.start_soon(self._write_until_ended, client, run)
                await self.service.run_session(
                    self.running, client, profile=self.profile, is_profile_named=self.is_profile_named
                )
            tasks.cancel_scope.cancel()
        client.raise_for_fault()

    async def _write_until_ended(self, client: AdapterClient, run: anyio.CancelScope) -> None:
        """Write what is shown. Where the server ends the session, say why and close; its run ends, or is ended.

        The run sees the closed connection as a client that has left, so that the last audio is transcribed and
        recorded.
        """
        async with anyio.create_task_group() as writing:
            writing.start_soon(client.write)
            error = await self.running.ended()
            writing.cancel_scope.cancel()
        await _close(client, self.service, error)
        await anyio.sleep(WIND_DOWN_S)
        run.cancel()


@contextmanager
def begin_session(service: Service, session: str, origin: SessionOrigin) -> Generator[ServedSession, None, None]:
    """Give this session a place, for the lifetime of the context, and record its start and end in the audit log.

    Raises ClientError for a profile that its tenant may not use, and NoCapacity or Draining; then nothing has begun.
    """
    principal, peer = origin.principal, origin.peer
    profile = service.profiles.choose(origin.profile, principal.tenant)
    began = time.monotonic()
    with service.running_sessions.registered(session, principal, peer=peer, user_agent=origin.user_agent) as running:
        service.audit.record(AuditAction.SESSION_STARTED, principal, peer, target=session)
        try:
            yield ServedSession(service, running, profile, bool(origin.profile))
        finally:
            lasted_s = round(time.monotonic() - began, 1)
            service.metrics.count_session(principal.tenant.name, running.audio_s)
            service.audit.record(AuditAction.SESSION_ENDED, principal, peer, target=session, seconds=lasted_s)


@asynccontextmanager
async def closed_on_error(service: Service, session: str, client: AdapterClient) -> AsyncGenerator[None, None]:
    """What is raised inside costs this session alone: it is reported where it is a defect, and told to the client."""
    structlog.contextvars.bind_contextvars(session=session)
    try:
        yield
    except ClientGone:
        return  # it left while we were writing: the session has noticed, or never began
    except Exception as error:  # noqa: BLE001 because a defect in one session must not reach the others unseen
        report_failure(session, error)
        await _close(client, service, error)


def report_failure(session: str, error: Exception) -> None:
    """One log line for a session that the server ended through its own fault; none for a refusal."""
    reply = error_reply(error)
    if has_defect(error):
        report_defect("session", error, event="session failed", session=session)
    elif reply.close_code == INTERNAL_ERROR:
        _log.error("session failed", session=session, code=reply.code, message=reply.message)


async def _close(client: AdapterClient, service: Service, error: Exception) -> None:
    service.metrics.closed_sessions.labels(error_reply(error).code).inc()
    await client.close_for(error)
