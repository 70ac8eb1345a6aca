"""Emulator of OpenAI's chat API on the loopback interface, with faults on demand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any

from tests.emulators.in_thread import serve_in_thread


@dataclass(frozen=True, slots=True)
class Script:
    """How the server behaves; without deltas it repeats the last message, word by word."""

    deltas: tuple[str, ...] = ()
    first_after_s: float = 0.0
    status: int = 200
    retry_after: str = ""
    error_code: str = ""
    fails_first: int = 0
    """So many requests get `status`, later ones an answer; 0: every one gets it."""

    cuts_after: int | None = None
    """The connection dies after so many deltas."""

    stalls_after: int | None = None
    """After so many deltas nothing more comes, and the connection stays."""

    ends_without_finish: bool = False
    lingers: bool = False
    """The answer is finished, but the stream is not."""

    usage: tuple[int, int] | None = None
    """Tokens of prompt and answer, sent to a request that asks for them."""

    tool_calls: tuple[tuple[dict[str, Any], ...], ...] = ()
    """Behind the deltas: the pieces of calls, by chunk. Without deltas the answer has no text."""

    raw: str = ""
    """Sent as it is, in place of the whole answer."""


class Cut(Exception):
    """Raised in the middle of an answer: the server drops the connection."""


@dataclass(slots=True)
class OpenAIEmulator:
    port: int
    script: Script = field(default_factory=Script)
    turns: tuple[Script, ...] = ()
    """One for each request, the last for all further ones; in place of `script`."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    models: tuple[str, ...] = ("small",)
    clients: set[int] = field(default_factory=set)
    """The ports that requests came from: one for each connection."""

    disconnected: Event = field(default_factory=Event)
    """Set when a client has left before the end of its answer."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/v1/models" and self.script.status == 200:
            if self.script.stalls_after is not None:
                await receive_disconnect(receive)
                return
            models = [{"id": name, "object": "model"} for name in self.models]
            await respond(send, 200, {"object": "list", "data": models})
            return
        if not scope["path"].startswith("/v1/"):
            await respond(send, 404, {"error": "not found"})
            return
        body = b""
        while (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event["more_body"]:
                break
        self.clients.add(scope["client"][1])
        self.keys.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        self.requests.append(json.loads(body or b"{}"))
        if self.turns:
            self.script = self.turns[min(len(self.requests), len(self.turns)) - 1]
        is_over = 0 < self.script.fails_first < len(self.requests)
        if self.script.status != 200 and not is_over:
            error = {"message": "no", "type": "error", "code": self.script.error_code or None}
            await respond(send, self.script.status, {"error": error}, self.script.retry_after)
            return
        answer = asyncio.ensure_future(self.answer(send, self.requests[-1]))
        leaving = asyncio.ensure_future(receive_disconnect(receive))
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            leaving.cancel()
            await answer
        else:
            self.disconnected.set()
            answer.cancel()

    async def answer(self, send: Any, request: dict[str, Any]) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await asyncio.sleep(self.script.first_after_s)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for event in self.events(request):
            await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def events(self, request: dict[str, Any]) -> AsyncIterator[str]:
        if self.script.raw:
            yield self.script.raw
            return
        yield chunk({"role": "assistant", "content": ""})
        echo = () if self.script.tool_calls else re.findall(r"\s*\S+", request["messages"][-1]["content"])
        deltas = self.script.deltas or echo
        for number, delta in enumerate(deltas):
            await self.obey_fault(number)
            yield chunk({"content": delta})
        for pieces in self.script.tool_calls:
            yield chunk({"content": None, "tool_calls": list(pieces)})
        await self.obey_fault(len(deltas))
        if not self.script.ends_without_finish:
            yield chunk({}, "tool_calls" if self.script.tool_calls else "stop")
            if self.script.usage and (request.get("stream_options") or {}).get("include_usage"):
                prompt, generated = self.script.usage
                counts = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}
                yield f"data: {json.dumps({'choices': [], 'usage': counts})}\n\n"
            if self.script.lingers:
                await asyncio.Event().wait()
            yield "data: [DONE]\n\n"

    async def obey_fault(self, number: int) -> None:
        if self.script.cuts_after == number:
            raise Cut
        if self.script.stalls_after == number:
            await asyncio.Event().wait()


def chunk(delta: dict[str, object], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "small", "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n"


async def receive_disconnect(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Any, status: int, body: dict[str, Any], retry_after: str = "") -> None:
    headers = [(b"content-type", b"application/json")]
    if retry_after:
        headers.append((b"retry-after", retry_after.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


@contextmanager
def serve_openai(**options: Any) -> Iterator[OpenAIEmulator]:
    """A server on a free port, in a thread of its own."""
    with serve_in_thread(partial(OpenAIEmulator, **options), "openai-emulator") as emulator:
        yield emulator
