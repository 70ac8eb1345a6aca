"""A response that is sent while it is made, and whose status is known with its first piece.

What fails before that is answered as any error, and what fails behind it in the stream's own words.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, cast

import anyio
import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.domain.errors import ParleyError, flatten
from app.runtime.supervision import report_defect
from app.web.errors import has_defect

EVENT_STREAM = "text/event-stream; charset=utf-8"
HEARTBEAT_S = 10.0
"""A comment is sent so often, so that no proxy takes the connection for dead."""
HEARTBEAT = b": ping\n\n"
DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def event(data: Mapping[str, Any]) -> bytes:
    """One event without a name."""
    return b"data: %s\n\n" % _encode(data)


class LateStartResponse(Response[None]):
    """The pieces of a generator; its head is sent with the first of them.

    A client that leaves stops the generator. `heartbeat` is sent every HEARTBEAT_S behind it; `late_error`
    makes the last piece of an error behind the first one, which cuts the connection where there is none.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        heartbeat: bytes = b"",
        heartbeat_s: float = HEARTBEAT_S,
        late_error: Callable[[Exception], bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        streaming = {"x-accel-buffering": "no"}  # NGINX would collect the pieces
        super().__init__(None, status_code=200, media_type=media_type, headers={**streaming, **(headers or {})})
        self.pieces, self.heartbeat, self.heartbeat_s, self.late_error = pieces, heartbeat, heartbeat_s, late_error

    def to_asgi_response(self, *_: Any, **options: Any) -> ASGIResponse:
        names = {**(options.get("headers") or {}), **self.headers, "content-type": str(self.media_type)}
        pairs = [(name.lower().encode(), value.encode()) for name, value in names.items()]
        return cast(ASGIResponse, _LateStart(self, pairs))


class _LateStart:
    """The ASGI application of one such response."""

    def __init__(self, response: LateStartResponse, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._response, self._headers = response, list(headers)
        self._begun, self._is_over = anyio.Event(), False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 because ASGI has it
        fault: Exception | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            if self._response.heartbeat:
                tasks.start_soon(self._beat, send)
            try:
                await self._send_all(send)
            except Exception as raised:  # noqa: BLE001 because the task group would wrap it
                fault = raised
            tasks.cancel_scope.cancel()
        if fault is not None:
            raise fault

    async def _send_all(self, send: Send) -> None:
        response = self._response
        async with aclosing(response.pieces) as pieces:
            first = await anext(pieces, b"")
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await self._body(send, first)
            self._begun.set()
            try:
                async for piece in pieces:
                    await self._body(send, piece)
            except Exception as error:
                if response.late_error is None:
                    raise
                if has_defect(error):
                    report_defect("http", error)
                await self._body(send, response.late_error(_known(error)))
        self._is_over = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, send: Send) -> None:
        await self._begun.wait()
        while True:
            await anyio.sleep(self._response.heartbeat_s)
            if self._is_over:
                return
            await self._body(send, self._response.heartbeat)

    async def _body(self, send: Send, piece: bytes) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})


def _known(error: Exception) -> Exception:
    """The first of a group that is ours; else the error itself."""
    return next((leaf for leaf in flatten(error) if isinstance(leaf, ParleyError)), error)
