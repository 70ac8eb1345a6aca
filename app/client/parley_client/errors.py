"""What can go wrong with a session, as its client sees it.

SessionError
├── AddressError        the address, the key or the proxy cannot be used; nothing was sent
├── ServerUnreachable   nobody answers, or nobody of whom it is known who that is        later it may work
├── SessionRefused      a server answers, and no session began; carries a code
├── SessionEnded        the session is over, and not by this client; carries a code and the close code
└── EventsUnread        events came and nobody read them
"""


class SessionError(Exception):
    """Base of every error that this package raises on purpose."""


class AddressError(SessionError, ValueError):
    """The address, the key or the proxy of the environment cannot be used."""


class ServerUnreachable(SessionError):
    """Nobody answers at the address, or its certificate is not trusted."""


class SessionRefused(SessionError):
    """A server answers, and no session began."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """An error code of the server, such as `unauthorized` or `no_capacity`; `http_…` with a status; else empty."""


class SessionEnded(SessionError):
    """The session is over, and not by this client."""

    def __init__(self, code: str, message: str, close_code: int) -> None:
        super().__init__(message)
        self.code = code
        """The code of the server's last error, such as `session_too_long`; empty where it gave none."""
        self.close_code = close_code
        """Of the WebSocket; 1006: the connection was lost, and the session could not be resumed in its time."""


class EventsUnread(SessionError):
    """More events than are kept came and nobody read them: iterate over the session while audio is sent."""
