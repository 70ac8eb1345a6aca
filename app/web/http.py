"""HTTP behaviour that both applications share: HEAD for whatever has GET, late faults, deadlines of bodies."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

import anyio
import structlog

from app.domain.errors import ClientError, ClientFault
from app.runtime.supervision import report_defect
from app.web.errors import error_reply, has_defect

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""ASGI as its specification has it; each framework has narrower types of its own."""

BODY_TIMEOUT_S = 30.0
"""How long a body may be waited for before it has come; what comes of it makes up for waiting, never for more."""
LEAST_BODY_RATE = 4096
"""Bytes that make up for a second of waiting."""

STOPPING = "is_stopping"
ON_STOP = "on_stop"
"""Keys of the application's state: whether the server stops, from the beginning of the shutdown on, so that responses
without an end of their own end then; and what is called at that moment."""
DRAIN = "drain"
"""Key of the application's state: what is awaited before connections are closed, with the most seconds that turns may
take, and with what says that nobody waits for them any more."""

_ASCII = "".join(map(chr, range(128)))
_log = structlog.get_logger("parley.http")


def served_app(app: App, body_timeout_s: float = BODY_TIMEOUT_S) -> App:
    """The application as the server runs it."""
    return report_late_faults(limit_body_time(answer_head(percent_encode_query(app)), body_timeout_s))


def percent_encode_query(app: App) -> App:
    """Bytes that no URL may have are percent-encoded in the query: the framework reads it as UTF-8, or fails."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        query = scope.get("query_string", b"")
        if not query.isascii():
            scope = {**scope, "query_string": quote(query, safe=_ASCII).encode()}
        await app(scope, receive, send)

    return answer


def answer_head(app: App) -> App:
    """HEAD on a route that declares GET alone is answered with GET's headers; no body is made for it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            if not await _answers(app, _copy(scope, "HEAD"), receive, send):
                await _head_of_get(app, _copy(scope, "GET"), receive, send)
        else:
            await app(scope, receive, send)

    return answer


async def _answers(app: App, scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether the application has a HEAD of its own there; then it has answered."""
    refused = False

    async def unless_refused(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start":
            refused = message["status"] == 405
        if not refused:
            await send(message)

    await app(scope, receive, unless_refused)
    return not refused


async def _head_of_get(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    with anyio.CancelScope() as body:

        async def head_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                body.cancel()

        await app(scope, receive, head_only)


def _copy(scope: Scope, method: str) -> Scope:
    """The application writes into its scope, so that each attempt needs its own."""
    return {**scope, "method": method, "state": dict(scope.get("state") or {})}


def report_late_faults(app: App) -> App:
    """What a response raises after its start cannot be answered any more: it is logged once, and the connection cut."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            fault, path = error.__cause__ or error, scope["path"]
            if has_defect(fault):
                report_defect("http", fault, method=scope["method"], path=path)
            else:
                _log.warning("response cut off", path=path, code=error_reply(fault).code)

    return answer


def limit_body_time(app: App, timeout_s: float = BODY_TIMEOUT_S, least_rate: float = LEAST_BODY_RATE) -> App:
    """A body that does not come, or too slowly, is a ClientError (408). Only the time of waiting for it counts."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, _BodyDeadline(receive, timeout_s, least_rate).receive, send)
        else:
            await app(scope, receive, send)

    return answer


@dataclass(slots=True)
class _BodyDeadline:
    """The receiving side of one request."""

    wrapped: Receive
    longest_s: float
    least_rate: float
    is_whole: bool = False
    remaining_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.remaining_s = self.longest_s

    async def receive(self) -> Message:
        """Raises ClientError."""
        if self.is_whole:  # what comes now is the disconnect, and may take as long as the response
            return await self.wrapped()
        began = anyio.current_time()
        try:
            with anyio.fail_after(max(0.0, self.remaining_s)):
                message = await self.wrapped()
        except TimeoutError:
            reason = "the body of the request came too slowly; large files can be sent in parts, to /recordings/uploads"
            raise ClientError(ClientFault.BODY_TOO_SLOW, reason) from None
        left_s = self.remaining_s - (anyio.current_time() - began)
        self.remaining_s = min(self.longest_s, left_s + len(message.get("body", b"")) / self.least_rate)
        self.is_whole = not message.get("more_body", False)
        return message
