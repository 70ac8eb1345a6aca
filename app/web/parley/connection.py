"""One WebSocket connection that speaks Parley's own protocol."""

from dataclasses import dataclass

from app.web.parley import messages
from app.web.socket_connection import SocketConnection


@dataclass(slots=True, eq=False)
class Connection(SocketConnection):
    """Its last message says why it ends."""

    session: str = ""
    """Its id, where this is the first connection of one."""
    received: int = 0
    """Number of the newest message that the client had when it connected."""

    def farewell(self, error: Exception) -> bytes:
        return messages.encode(messages.error_message(error, fatal=True))
