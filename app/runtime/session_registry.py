"""The sessions that run in this process: who they belong to, how long they may run, and how they are ended."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import anyio
import structlog

from app.domain.client_limits import ClientLimits, SessionActivity, is_on_standby, next_deadline
from app.domain.errors import ClientError, ClientFault, NoCapacity, ParleyError, ProviderError
from app.domain.principal import Principal
from app.runtime.admission import Admission
from app.runtime.authentication import UNKNOWN_PEER, Authenticator, Peer

CHECK_EVERY_S = 0.5
"""Between two checks of every session. A tenants file is read every second, so a removed key ends its sessions
within two."""
KEY_ENDED = "the key of this session was revoked or has expired"
WARN_BEFORE_S = 30.0
"""How long before its deadline a session is warned, and never in the first three quarters of the time it has."""

_log = structlog.get_logger("parley.sessions")


class RunState(StrEnum):
    """What a running session is doing."""

    ACTIVE = "active"
    """It has a place."""
    STANDBY = "standby"
    """It sends no audio, and has released its place."""
    DETACHED = "detached"
    """Its client has lost the connection, and may come back; it keeps its place."""
    ENDING = "ending"
    """The server ends it; its last audio is being recorded."""


def _no_warning(error: ParleyError) -> None:
    """Until a session begins there is nobody to warn."""


def _false() -> bool:
    return False


@dataclass(slots=True, eq=False)
class RunningSession:
    """One session from admission to its end."""

    id: str
    principal: Principal
    activity: SessionActivity
    peer: Peer = UNKNOWN_PEER
    user_agent: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    audio_s: float = 0.0
    """Seconds of audio received."""
    cost_usd: float = 0.0
    """Of the finals shown."""
    warn: Callable[[ParleyError], None] = _no_warning
    """Shows the client an error that is not fatal."""
    is_in_turn: Callable[[], bool] = _false
    """Whether somebody speaks, or a final or a reply is on its way."""
    shown_at: float = 0.0
    """When its client was shown something, by the event loop's clock."""
    resume_s: float = 0.0
    """How long its client may be away; 0: it ends with its connection."""
    is_detached: bool = False
    """Its client has lost the connection, and may come back."""
    error: ParleyError | None = None
    """Why the server ends it."""
    _warned_of: ClientFault | None = None
    _has_ended: anyio.Event = field(default_factory=anyio.Event)

    def end(self, error: ParleyError) -> None:
        """Have the session closed with this error; its audio is recorded. Only the first error counts."""
        if self.error is None:
            self.error = error
            self._has_ended.set()

    async def ended(self) -> ParleyError:
        """Wait until the server ends the session. Returns why."""
        await self._has_ended.wait()
        assert self.error is not None
        return self.error

    def enforce(self, limits: ClientLimits, now: float) -> None:
        """End the session where it has reached a limit; warn its client before."""
        deadline = next_deadline(self.activity, limits)
        if deadline is None:
            return
        lead_s = min(WARN_BEFORE_S, deadline.after_s / 4)
        if now >= deadline.at:
            self.end(ClientError(deadline.code, deadline.reason, fatal=True))
        elif now < deadline.at - lead_s:
            self._warned_of = None
        elif self._warned_of is not deadline.code:
            self._warned_of = deadline.code
            self.warn(ClientError(deadline.code, f"the session ends in {deadline.at - now:.0f} s: {deadline.reason}"))


@dataclass(slots=True)
class SessionRegistry:
    """Every running session, by id."""

    admission: Admission
    limits: ClientLimits = field(default_factory=ClientLimits)
    check_every_s: float = CHECK_EVERY_S
    sessions: dict[str, RunningSession] = field(default_factory=dict)

    @contextmanager
    def registered(
        self, session: str, principal: Principal, *, peer: Peer = UNKNOWN_PEER, user_agent: str = ""
    ) -> Generator[RunningSession, None, None]:
        """Run a new session with a place, for the lifetime of the context. Raises NoCapacity or Draining."""
        self._check_connections(principal, peer)
        with self.admission.admitted(session, principal.tenant):
            now = anyio.current_time()
            running = RunningSession(session, principal, SessionActivity(now, now, now), peer, user_agent)
            self.sessions[session] = running
            try:
                yield running
            finally:
                del self.sessions[session]

    def state(self, session: RunningSession) -> RunState:
        if session.error is not None:
            return RunState.ENDING
        if session.is_detached:
            return RunState.DETACHED
        return RunState.ACTIVE if session.id in self.admission.sessions else RunState.STANDBY

    def of_tenant(self, tenant: str | None) -> list[RunningSession]:
        """The sessions of this tenant, or of all, the oldest first."""
        return [s for s in self.sessions.values() if tenant in (None, s.principal.tenant.name)]

    def owner(self, session: str) -> str | None:
        """The name of the tenant whose session this is; None where no such session runs here."""
        running = self.sessions.get(session)
        return running.principal.tenant.name if running else self.admission.sessions.get(session)

    def resume(self, session: RunningSession) -> None:
        """A session that is active again takes a place; where there is none, it ends."""
        try:
            self.admission.take(session.id, session.principal.tenant)
        except NoCapacity as error:
            session.end(error)

    def enforce_limits(self) -> None:
        """Release places that are not in use, and end sessions that have reached a limit."""
        now = anyio.current_time()
        for session in self.sessions.values():
            if not session.is_detached and is_on_standby(session.activity, self.limits, now):
                self.admission.release(session.id)
            session.enforce(self.limits, now)

    async def end_invalid(self, authenticator: Authenticator) -> None:
        """End the sessions of principals whose key is not valid any more; calls have none. Raises a ProviderError.

        It is raised when all have been asked about: a key that cannot be checked now keeps no other one in force.
        """
        unchecked: ProviderError | None = None
        keyed = [session for session in self.sessions.values() if session.principal.key_id]
        for principal, sessions in _by_principal(keyed):
            try:
                if await authenticator.is_valid(principal):
                    continue
            except ProviderError as error:
                unchecked = error
                continue
            for session in sessions:
                _log.warning("session ended: its key is not valid any more", session=session.id, key=principal.key_id)
                session.end(ClientError(ClientFault.UNAUTHORIZED, KEY_ENDED, fatal=True))
        if unchecked is not None:
            raise unchecked

    async def watch(self, authenticator: Callable[[], Authenticator]) -> None:
        """Check every session again and again, for ever."""
        failing = False
        while True:
            await anyio.sleep(self.check_every_s)
            self.enforce_limits()
            try:
                await self.end_invalid(authenticator())
            except ProviderError as error:  # sessions go on while keys cannot be checked
                if not failing:
                    _log.error("keys of running sessions cannot be checked", message=str(error))
                failing = True
            else:
                failing = False

    def _check_connections(self, principal: Principal, peer: Peer) -> None:
        limits, sessions = self.limits, self.sessions.values()
        of_address = sum(s.peer.network == peer.network for s in sessions) if peer.is_limited else 0
        of_key = sum(s.principal.key_id == principal.key_id for s in sessions) if principal.key_id else 0
        for limit, count, whose in (
            (limits.connections, len(sessions), "this server"),
            (limits.connections_per_address, of_address, "your address"),
            (limits.connections_per_key, of_key, "your key"),
        ):
            if limit and count >= limit:
                raise NoCapacity(f"{whose} has {count} sessions connected, which is the limit; end one first")


def _by_principal(sessions: Iterable[RunningSession]) -> Iterable[tuple[Principal, list[RunningSession]]]:
    """Sessions grouped by principal, so that each key is checked once."""
    groups: dict[Principal, list[RunningSession]] = {}
    for session in sessions:
        groups.setdefault(session.principal, []).append(session)
    return groups.items()
