"""How a reply is answered: as JSON when it is whole, or as server-sent events while it is generated."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.response import Stream

from app.domain.conversations.export import message_json, tool_call_json
from app.runtime.conversations.chat import Answer
from app.runtime.conversations.reply_run import DeltaGenerated, ReplyBroken, ReplyKept, ToolCalled
from app.web.errors import error_reply

EVENT_STREAM = "text/event-stream"
HEARTBEAT_S = 10.0
"""A comment is sent after so long without an event, so that no proxy takes the connection for dead."""

_encode = msgspec.json.Encoder().encode


def wants_events(request: Request[Any, Any, Any], stream: bool | None) -> bool:
    """By the query parameter, else by the header `Accept`."""
    return EVENT_STREAM in request.headers.get("accept", "") if stream is None else stream


async def answer_response(
    answer: Answer, *, conversation: str | None, as_events: bool, heartbeat_s: float = HEARTBEAT_S
) -> Response[Any]:
    """Raises what the reply is broken by, where it is answered as JSON."""
    head: dict[str, Any] = {} if conversation is None else {"conversation": conversation}
    if answer.message:
        head["message"] = message_json(answer.message)
    if not as_events:
        return Response({**head, **_end(await answer.run.finished())}, status_code=200)
    headers = {"x-accel-buffering": "no"}  # NGINX would collect the events
    return Stream(_events(answer, head, heartbeat_s), status_code=200, media_type=EVENT_STREAM, headers=headers)


async def _events(answer: Answer, head: dict[str, Any], heartbeat_s: float) -> AsyncGenerator[bytes, None]:
    """A client that leaves closes or drops this generator; either stops the reply."""
    try:
        while True:
            match await answer.run.next_event(heartbeat_s):
                case None:
                    yield b": the reply goes on\n\n"
                case DeltaGenerated(text):
                    yield _event("delta", {"text": text})
                case ToolCalled(call):
                    yield _event("tool", tool_call_json(call))
                case ReplyKept() as kept:
                    yield _event("done", {**head, **_end(kept)})
                    return
                case ReplyBroken(error):
                    reply = error_reply(error)
                    yield _event("error", {**head, "code": reply.code, "message": reply.message})
                    return
    finally:
        answer.run.leave()


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(data))


def _end(kept: ReplyKept) -> dict[str, Any]:
    reply, usage = kept.reply, kept.reply.usage
    once: dict[str, Any] = {"text": reply.text, "engine": reply.engine}
    if reply.tool_calls:
        once["toolCalls"] = [tool_call_json(call) for call in reply.tool_calls]
    return {
        "reply": message_json(kept.message) if kept.message else once,
        "usage": {"promptTokens": usage.prompt, "replyTokens": usage.generated, "isEstimate": usage.is_estimate},
        "costUsd": round(reply.usd, 8),
    }
