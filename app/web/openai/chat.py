"""`POST /v1/chat/completions`: a reply to a conversation that the client keeps, as OpenAI has it."""

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State

from app.domain.audit import AuditAction
from app.domain.errors import ClientError, ClientFault, ProviderBusy
from app.domain.principal import Principal, Scope
from app.domain.tools import ToolCall
from app.runtime.conversations.chat import Chat
from app.runtime.conversations.reply_run import (
    DeltaGenerated,
    GeneratedReply,
    ReplyBroken,
    ReplyKept,
    ReplyRun,
    ToolCalled,
)
from app.runtime.ids import new_id
from app.web.auth.audit import audited
from app.web.auth.middleware import requires
from app.web.disconnect import cancel_on_disconnect
from app.web.event_stream import DONE, EVENT_STREAM, HEARTBEAT, LateStartResponse, event
from app.web.openai.chat_request import ChatCompletionRequest, SpokenPart, conversation, spoken_parts
from app.web.openai.json_body import json_body
from app.web.openai.late_error import error_event
from app.web.openai.transcriptions import CLIENT_CLOSED_REQUEST
from app.web.transcribed_files import FileReport

_MAX_BYTES = 8 << 20
"""Of a body, in which there may be audio."""
_request = msgspec.json.Decoder(ChatCompletionRequest)


@post(
    "/v1/chat/completions",
    request_max_body_size=_MAX_BYTES,
    opt={**requires(Scope.CHAT), **audited(AuditAction.MESSAGE_ANSWERED)},
)
async def chat_completions(request: Request[Principal, Any, Any], state: State) -> Response[Any]:
    """The reply to the last message. Nothing is kept.

    `model` is the name of a profile, or any other for the usual one. Tools are the client's: their calls are given
    back to it, where the reply engine can call any.
    """
    asked = await json_body(request, _request, longest=_MAX_BYTES)
    chat: Chat | None = state.service.chat
    if chat is None:
        raise ProviderBusy("replies", "this service has no database for conversations")
    tools = asked.client_tools
    transcripts = [await _transcript(part, request, state) for part in spoken_parts(asked.messages)]
    profiles = {profile.name for profile in chat.profiles.offered(request.user.tenant)}
    run = chat.complete(
        conversation(asked.messages, transcripts),
        request.user.tenant,
        profile=asked.model if asked.model in profiles else None,
        tools=tools,
        max_characters=asked.max_characters,
    )
    completion = Completion(asked)
    if asked.stream:
        events = completion.chunks(run)
        return LateStartResponse(events, media_type=EVENT_STREAM, heartbeat=HEARTBEAT, late_error=error_event)
    body = await cancel_on_disconnect(request, lambda: completion.whole(run))
    return Response(body, status_code=200 if body else CLIENT_CLOSED_REQUEST)


async def _transcript(part: SpokenPart, request: Request[Principal, Any, Any], state: State) -> str:
    """Raises ClientError without the scope for files, and what transcribing raises."""
    if not request.user.may(Scope.TRANSCRIBE):
        raise ClientError(ClientFault.FORBIDDEN, f"audio needs the scope {Scope.TRANSCRIBE}", param=part.path)
    try:
        file = BytesIO(base64.b64decode(part.audio.data, validate=True))
    except ValueError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, "the audio is not base64", param=f"{part.path}.data") from error
    async with aclosing(state.files.segments(file, request.user, FileReport())) as segments:
        return " ".join([segment.text async for segment in segments])


@dataclass(slots=True)
class Completion:
    """One answer: its id and time, and what has been written of it."""

    asked: ChatCompletionRequest
    id: str = field(default_factory=lambda: f"chatcmpl-{new_id()}")
    created: int = field(default_factory=lambda: int(time.time()))
    characters: int = 0
    calls: list[ToolCall] = field(default_factory=list)

    async def whole(self, run: ReplyRun) -> dict[str, Any]:
        """Raises why there is no reply, or not all of it; a client that leaves ends it."""
        text = ""
        async with aclosing(self._parts(run)) as parts:
            async for part in parts:
                if isinstance(part, GeneratedReply):
                    reply = part
                elif isinstance(part, str):
                    text += part
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if self.calls:
            message["tool_calls"] = [_call(call) for call in self.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason()}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(reply)}

    async def chunks(self, run: ReplyRun) -> AsyncGenerator[bytes, None]:
        """The same as server-sent events; usage comes last, where the client asks for it."""
        has_begun = False
        async with aclosing(self._parts(run)) as parts:
            async for part in parts:
                if not has_begun:
                    has_begun = True
                    yield self._chunk({"role": "assistant", "content": ""})
                match part:
                    case str(text):
                        yield self._chunk({"content": text})
                    case ToolCall() as call:
                        yield self._chunk({"tool_calls": [{"index": len(self.calls) - 1, **_call(call)}]})
                    case GeneratedReply() as reply:
                        yield self._chunk({}, self._finish_reason())
                        if self.asked.stream_options and self.asked.stream_options.include_usage:
                            yield event({**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(reply)})
        yield DONE

    async def _parts(self, run: ReplyRun) -> AsyncGenerator[str | ToolCall | GeneratedReply, None]:
        """Texts and calls, and last the whole reply. Closed early, it stops the engine. Raises why it broke off."""
        try:
            while True:
                match await run.next_event():
                    case DeltaGenerated(text):
                        self.characters += len(text)
                        yield text
                    case ToolCalled(call):
                        if run.calls_are_whole:  # a profile's own tools are performed here, and are not the client's
                            self.calls.append(call)
                            yield call
                    case ReplyKept(reply):
                        yield reply
                        return
                    case ReplyBroken(error):
                        raise error
        finally:
            run.leave()

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.asked.model or "parley"}

    def _finish_reason(self) -> str:
        if self.calls:
            return "tool_calls"
        limit = self.asked.max_characters
        return "length" if limit is not None and self.characters >= limit else "stop"


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}


def _usage(reply: GeneratedReply) -> dict[str, int]:
    usage = reply.usage
    total = usage.prompt + usage.generated
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.generated, "total_tokens": total}
