"""Scripted server for the tests of the web page: the wire protocol without engines."""

import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from app.web.browser.content_security import content_security_policy

FRONTEND = Path(__file__).parents[2] / "frontend"
CONTENT_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class PageServer:
    """Serves the page, records what it sends, and sends what the test does."""

    def __init__(self) -> None:
        self.port = 0
        self.pcm = bytearray()
        """All sound the page has sent, at `sample_rate`."""

        self.sample_rate = 0
        self.next_start = 0
        """Position behind the newest packet, as the page has it."""

        self.packet_seconds: list[float] = []
        self.control: list[dict[str, Any]] = []
        self.sessions = 0
        self.refuse_with: int | None = None
        """A close code for the next connection, instead of a greeting."""

        self.greeting: dict[str, object] = {"archive": True, "keepDays": 30}
        """Of each session, besides its id."""

        self.routes: dict[str, object] = {
            "/engines": {
                "replies": [{"engine": "ollama", "model": "llama3.2", "demonstration": False}],
                "languages": ["en"],
            },
            "/profiles": [],
        }
        """The JSON of HTTP routes; a number is a status without a body."""

        self.offers_resume = False
        """A session can be resumed; one that is has everything that came before."""

        self._messages = 0
        self._socket: ServerConnection | None = None
        self._changed = anyio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def send(self, **message: object) -> None:
        """Send one message."""
        assert self._socket is not None, "no page is connected"
        await self._socket.send(json.dumps(message))

    async def play(self, turn: int, pcm: bytes, *, sample_rate: int = 16_000) -> None:
        """Send one packet of a reply's sound."""
        assert self._socket is not None, "no page is connected"
        metadata = json.dumps({"type": "replyAudio", "turn": turn, "sampleRate": sample_rate}).encode()
        await self._socket.send(struct.pack("<i", len(metadata)) + metadata + pcm)

    async def close(self, code: int) -> None:
        assert self._socket is not None, "no page is connected"
        await self._socket.close(code)

    def lose_connection(self) -> None:
        """As a network does: without a word."""
        assert self._socket is not None, "no page is connected"
        self._socket.transport.abort()

    async def wait_for_session(self, number: int) -> None:
        """Return once this many sessions have been greeted."""
        async with self._changed:
            while self.sessions < number:
                await self._changed.wait()

    async def wait_for_audio(self, seconds: float) -> None:
        """Return once the page has sent this much sound."""
        async with self._changed:
            while sum(self.packet_seconds) < seconds:
                await self._changed.wait()

    async def wait_for_control(self, kind: str) -> None:
        """Return once the page has sent a text frame of this type."""
        async with self._changed:
            while all(frame["type"] != kind for frame in self.control):
                await self._changed.wait()

    async def serve_session(self, socket: ServerConnection) -> None:
        """One connection, from greeting to end."""
        if self.refuse_with is not None:
            await socket.close(self.refuse_with)
            return
        assert socket.request is not None
        session = parse_qs(urlsplit(socket.request.path).query).get("resume", [""])[0]
        if session in ("", "new"):
            session, self._messages = f"session-{self.sessions + 1}", 0
        else:
            self._accept(await socket.recv())
        self._socket = socket
        await self.send(type="session", id=session, **self.greeting, **self._offer())
        async with self._changed:
            self.sessions += 1
            self._changed.notify_all()
        try:
            async for frame in socket:
                async with self._changed:
                    self._accept(frame)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass  # a page that vanishes is the test's business

    def _offer(self) -> dict[str, object]:
        if not self.offers_resume:
            return {}
        here = {"samples": len(self.pcm) // 2, "messages": self._messages}
        return {"resume": {"token": f"token-{self.sessions + 1}", "seconds": 30, **here}}

    def _accept(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            self.control.append(json.loads(frame))
            self._messages = self.control[-1].get("seq", self._messages)
            return
        (length,) = struct.unpack_from("<i", frame)
        metadata = json.loads(frame[4 : 4 + length])
        self.sample_rate = metadata["sampleRate"]
        pcm = frame[4 + length :]
        self.pcm += pcm
        self.next_start = metadata["start"] + len(pcm) // 2
        self.packet_seconds.append(len(pcm) / 2 / self.sample_rate)

    def answer(self, _socket: ServerConnection, request: Request) -> Response | None:
        """A file of the page, or None for the socket itself."""
        path = request.path.partition("?")[0]
        if path == "/ws/transcribe":
            return None
        if path in self.routes:
            return _json(self.routes[path])
        file = (FRONTEND / (path.lstrip("/") or "index.html")).resolve()
        if not file.is_file() or FRONTEND not in file.parents:
            return Response(HTTPStatus.NOT_FOUND, "Not Found", Headers({"Content-Length": "0"}))
        body = file.read_bytes()
        kind = CONTENT_TYPES.get(file.suffix, "application/octet-stream")
        headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
        headers["Content-Security-Policy"] = content_security_policy(request.headers.get("Host"))
        return Response(HTTPStatus.OK, "OK", headers, body)


def _json(answer: object) -> Response:
    status = HTTPStatus(answer) if isinstance(answer, int) else HTTPStatus.OK
    body = b"null" if isinstance(answer, int) else json.dumps(answer).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, status.phrase, headers, body)


@asynccontextmanager
async def open_page_server() -> AsyncIterator[PageServer]:
    """Listen on a free port of this machine."""
    page = PageServer()
    async with serve(page.serve_session, "127.0.0.1", 0, process_request=page.answer) as server:
        page.port = next(iter(server.sockets)).getsockname()[1]
        yield page
