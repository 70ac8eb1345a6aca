"""Requests to an application in this process, as uvicorn hands them over: any bytes, no client that tidies them up."""

from dataclasses import dataclass, field
from urllib.parse import unquote

from litestar import Litestar


@dataclass(frozen=True)
class HostileRequest:
    method: str = "GET"
    path: bytes = b"/"
    """As sent, percent-encoded."""
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: tuple[bytes, ...] = ()
    host: bytes = b"localhost:8000"


@dataclass
class Answer:
    status: int = 0
    body: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)


async def ask(app: Litestar, request: HostileRequest) -> Answer:
    """The application's answer. Raises what comes out of it."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path.decode("latin-1")),
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": "",
        "headers": [(b"host", request.host), *((name.lower(), value) for name, value in request.headers)],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    pieces, answer = list(request.body) or [b""], Answer()

    async def receive() -> dict[str, object]:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer
