"""The sessions of this process that a client may come back to, and how a newer connection takes one over."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe

import msgspec

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal
from app.domain.resumption import ResumeTokens, is_same_client
from app.runtime.session_registry import RunningSession
from app.web.parley import messages
from app.web.parley.connection import Connection
from app.web.parley.socket_client import SocketClient

REFUSED = "there is no session of yours with this id and token that waits to be resumed; begin a new one"
"""The same for a wrong id, a wrong, old or foreign token, and a session that is over."""
TAKEN_OVER = "the session goes on over a newer connection"

_NOBODY = ResumeTokens("-" * 43)
"""Compared where there is no session, so that the answer takes as long."""


def refusal() -> ClientError:
    """For a connection that resumes nothing."""
    return ClientError(ClientFault.RESUME_REFUSED, REFUSED, fatal=True)


def _new_token() -> str:
    return token_urlsafe(32)


@dataclass(slots=True)
class ResumableSession:
    """One session, with the secret by which its client comes back."""

    running: RunningSession
    client: SocketClient
    started: messages.SessionStarted
    """Its first message, as it was sent at the beginning."""
    tokens: ResumeTokens = field(default_factory=lambda: ResumeTokens(_new_token()))
    _newest: Connection | None = None
    """The newest that claims the session; the token that is offered was sent over it."""

    def greeting(self) -> messages.SessionStarted:
        """The first message of a connection."""
        received = self.client.input
        token = self.tokens.offered or self.tokens.current
        offer = messages.ResumeOffer(token, self.client.grace_s, received.samples, received.messages)
        return msgspec.structs.replace(self.started, resume=offer)

    def confirm_token(self) -> None:
        """Where the client has used the connection that the newest token was sent over, older ones are void."""
        if self._newest is not None and self._newest.has_spoken:
            self.tokens = self.tokens.confirm()

    async def take_over(self, connection: Connection, presented: str, principal: Principal) -> None:
        """Go on over this connection, and close the one before. Raises ClientGone or ClientError.

        Where several claim the session at once, the newest wins.
        """
        self.tokens = self.tokens.rotate(presented, _new_token())
        self._newest, self.running.principal = connection, principal
        before = self.client.connection
        before.give_up()
        await connection.send(messages.encode(self.greeting()))
        if self._newest is not connection:
            raise ClientError(ClientFault.SESSION_RESUMED, TAKEN_OVER, fatal=True)
        if self.client.is_over:  # its time ran out meanwhile
            raise refusal()
        self.client.attach(connection)
        await before.close_for(ClientError(ClientFault.SESSION_RESUMED, TAKEN_OVER, fatal=True))


@dataclass(slots=True)
class ResumableSessions:
    sessions: dict[str, ResumableSession] = field(default_factory=dict)

    @contextmanager
    def offered(self, session: ResumableSession) -> Generator[None, None, None]:
        """It can be resumed for the lifetime of the context."""
        self.sessions[session.running.id] = session
        try:
            yield
        finally:
            del self.sessions[session.running.id]

    def claim(self, session: str, resume: messages.ResumeMessage, principal: Principal) -> ResumableSession:
        """The session of this client. Raises ClientError, the same for whatever is wrong."""
        found = self.sessions.get(session)
        if found is not None:
            found.confirm_token()
        is_token = (found.tokens if found else _NOBODY).accept(resume.token)
        if (
            found is None
            or not is_token
            or not is_same_client(found.running.principal, principal)
            or found.running.error is not None
            or not found.client.can_return(resume.received)
        ):
            raise refusal()
        return found

    def stop(self) -> None:
        """The server stops: clients that are away are waited for no longer."""
        for session in self.sessions.values():
            session.client.wait_no_longer()
