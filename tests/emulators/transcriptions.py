"""A small server with OpenAI's `POST /v1/audio/transcriptions` on the loopback, with faults on demand."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn


@dataclass(frozen=True, slots=True)
class Script:
    """How the server behaves."""

    text: str = "hello from afar"
    status: int = 200
    retry_after: str = ""
    error_code: str = ""
    after_s: float = 0.0
    stalls: bool = False
    """No answer ever comes, and the connection stays."""
    cuts: bool = False
    """The connection dies in the middle of the answer."""
    raw: str | None = None
    """Sent as it is, in place of the answer."""


@dataclass(slots=True)
class Upload:
    fields: dict[str, str]
    sound: bytes
    key: str


@dataclass(slots=True)
class TranscriptionServer:
    port: int = 0
    script: Script = field(default_factory=Script)
    uploads: list[Upload] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has left before its answer."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = b""
        while (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event.get("more_body"):
                break
        self.uploads.append(_upload(body, headers))
        self.arrived.set()
        answer = asyncio.ensure_future(self._answer(send))
        gone = asyncio.ensure_future(_gone(receive))
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            self.hung_up.set()
        for task in (answer, gone):
            task.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)

    async def _answer(self, send: Any) -> None:
        script = self.script
        if script.stalls:
            await asyncio.Event().wait()
        await asyncio.sleep(script.after_s)
        content = {"text": script.text}
        if script.status != 200:
            content = {"error": {"message": "no", "type": "error", "code": script.error_code or None}}
        sent = json.dumps(content).encode() if script.raw is None else script.raw.encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(sent)).encode())]
        if script.retry_after:
            headers.append((b"retry-after", script.retry_after.encode()))
        await send({"type": "http.response.start", "status": script.status, "headers": headers})
        await send({"type": "http.response.body", "body": sent[:3] if script.cuts else sent, "more_body": script.cuts})


def _upload(body: bytes, headers: dict[str, str]) -> Upload:
    match = re.search(r'boundary="?([^";]+)', headers.get("content-type", ""))
    fields: dict[str, str] = {}
    sound = b""
    for part in body.split(b"--" + match[1].encode()) if match else ():
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        if name and b"filename=" in head:
            sound = content[:-2]
        elif name:
            fields[name[1].decode()] = content[:-2].decode()
    return Upload(fields, sound, headers.get("authorization", ""))


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def serve_transcriptions(**script: Any) -> AsyncGenerator[TranscriptionServer, None]:
    """A server on a free port, in the test's own event loop."""
    emulator = TranscriptionServer(script=Script(**script))
    config = uvicorn.Config(
        emulator,
        host="127.0.0.1",
        port=0,
        log_config=None,
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    emulator.port = server.servers[0].sockets[0].getsockname()[1]
    serving = asyncio.ensure_future(server.main_loop())
    try:
        yield emulator
    finally:
        server.should_exit = True
        await serving
        await server.shutdown()
