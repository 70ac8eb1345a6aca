"""A small HTTP server with endpoints that a model may call, on the loopback interface."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any
from urllib.parse import parse_qs

from tests.emulators.in_thread import serve_in_thread


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class ToolServer:
    """`/echo` answers with what it got, `/slow` never, `/large` with 100 kB, `/redirect?to=` with a redirect."""

    port: int
    requests: list[Received] = field(default_factory=list)
    arrived: Event = field(default_factory=Event)
    """Set when `/slow` was asked."""
    left: Event = field(default_factory=Event)
    """Set when whoever asked `/slow` has closed the connection."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event["more_body"]:
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode())
        self.requests.append(Received(scope["method"], scope["path"], query, body, headers))
        match scope["path"]:
            case "/slow":
                self.arrived.set()
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.left.set()
            case "/drip":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                while True:
                    await send({"type": "http.response.body", "body": b".", "more_body": True})
                    await asyncio.sleep(0.01)
            case "/large":
                await answer(send, 200, b"x" * 100_000)
            case "/packed":
                await answer(send, 200, gzip.compress(b"x" * 100_000), (b"content-encoding", b"gzip"))
            case "/redirect":
                await answer(send, 302, b"", (b"location", query["to"][0].encode()))
            case "/around":
                await answer(send, 302, b"", (b"location", b"/around"))
            case "/broken":
                await answer(send, 500, b"the database is away")
            case "/empty":
                await answer(send, 204, b"")
            case _:
                got = {name: values[0] for name, values in query.items()} or json.loads(body or b"{}")
                await answer(send, 200, f"{scope['method']} {json.dumps(got)}".encode())


async def answer(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serve_tools() -> Iterator[ToolServer]:
    """A server on a free port, in a thread of its own."""
    with serve_in_thread(ToolServer, "tool-server") as tools:
        yield tools
