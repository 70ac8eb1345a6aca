"""What a server without room answers: 503 in the protocol's shape, and its health as long as it lives."""

from collections.abc import Callable

import msgspec

from app.domain.errors import NoCapacity
from app.domain.loopback import is_loopback
from app.web.errors import error_reply, http_answer
from app.web.http import App, Receive, Scope, Send

NO_ROOM = error_reply(NoCapacity("this server has as many connections as it may; try again soon"))


def refuse_when_full(app: App, is_full: Callable[[], bool]) -> App:
    """Requests are refused with `no_capacity` where the server is full; `/health/live` from this machine never is.

    A handshake of a WebSocket is not refused here: its session is counted, and refused in its own protocol.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_full() or _is_own_health_check(scope):
            await app(scope, receive, send)
            return
        status, content = http_answer(scope["path"], NO_ROOM)
        body = msgspec.json.encode(content)
        headers = {**NO_ROOM.headers, "content-type": "application/json", "content-length": str(len(body))}
        pairs = [(name.encode(), value.encode()) for name, value in {**headers, "connection": "close"}.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    return answer


def _is_own_health_check(scope: Scope) -> bool:
    client = scope.get("client")
    return scope["path"] == "/health/live" and client is not None and is_loopback(client[0])
