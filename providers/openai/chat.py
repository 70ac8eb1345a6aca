"""Replies over OpenAI's chat protocol: OpenAI itself, Ollama, or any server that speaks it.

One request gives one reply; nothing is retried here, because the router knows which engine to ask next. Closing the
reply closes the stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import openai

from app.domain.dialog.conversation import Message
from app.domain.errors import AnswerWithheld, ProviderDown, ProviderMisbehaved
from app.domain.spending import TokenUsage, estimate_usage
from app.domain.tools import Tool, ToolCall
from providers.openai.chat_chunks import DONE, ChatChunk, UnreadableChunk, read_chunk
from providers.openai.client import open_client
from providers.openai.errors import translate_errors
from providers.openai.sse import EventDecoder
from providers.openai.tools import (
    ToolCallAssembler,
    TooLongArguments,
    definitions,
    messages_with_tools,
    plain_messages,
)

_DRAIN_TIMEOUT_S = 0.2


@dataclass(slots=True)
class _Answer:
    """What has come of an answer so far."""

    is_begun: bool = False
    """The server has accepted the request."""
    characters: int = 0
    """Generated, thinking included."""
    has_text: bool = False
    has_reasoning: bool = False
    is_refusal: bool = False
    finish_reason: str = ""
    calls: ToolCallAssembler = field(default_factory=ToolCallAssembler)
    is_complete: bool = False
    usage: TokenUsage | None = None

    def accept(self, chunk: ChatChunk) -> None:
        self.characters += (
            len(chunk.text) + len(chunk.reasoning) + sum(len(each.arguments) for each in chunk.tool_calls)
        )
        for delta in chunk.tool_calls:
            self.calls.push(delta)
        self.has_text |= bool(chunk.text)
        self.has_reasoning |= bool(chunk.reasoning)
        self.is_refusal |= chunk.is_refusal
        self.finish_reason = self.finish_reason or chunk.finish_reason
        self.usage = chunk.usage or self.usage
        is_last = chunk.usage is not None and not chunk.has_choice and self.characters > 0
        if self.finish_reason or is_last:
            self.is_complete = True
        elif chunk.text or chunk.tool_calls:
            self.is_complete = False


@dataclass(frozen=True, slots=True)
class ChatReplies:
    """A ReplyGenerator over one client.

    The SDK sends the request and names its errors; its event stream is read here, because the SDK's own reader stops at
    what many compatible servers send (empty events, `delta: null`, no `[DONE]`).
    """

    client: openai.AsyncOpenAI
    provider: str
    options: dict[str, Any]

    async def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None] = lambda _: None
    ) -> AsyncGenerator[str, None]:
        """Text deltas of the answer, none of them empty, and at least one.

        Raises a ProviderError, or AnswerWithheld where the model declines to answer. Once the server has accepted the
        request its usage is reported, however the reply ends: the server's own count, or an estimate.
        """
        answer = _Answer()
        async with aclosing(self._reply(conversation, plain_messages(conversation), {}, answer, report_usage)) as texts:
            async for text in texts:
                if text:
                    yield text
        self._check(answer)

    async def reply_with_tools(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Tool],
        *,
        may_call: bool = True,
        report_usage: Callable[[TokenUsage], None] = lambda _: None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        """As `reply`; behind the text come the calls that the model asks for. Empty while arguments arrive."""
        answer = _Answer()
        options = {"tools": definitions(tools), **({} if may_call else {"tool_choice": "none"})}
        messages = messages_with_tools(conversation)
        async with aclosing(self._reply(conversation, messages, options, answer, report_usage)) as texts:
            async for text in texts:
                yield text
        calls = answer.calls.calls()
        if not calls or answer.finish_reason == "content_filter":
            self._check(answer)
        for call in calls:
            yield call

    async def _reply(
        self,
        conversation: Sequence[Message],
        messages: list[dict[str, Any]],
        options: dict[str, Any],
        answer: _Answer,
        report_usage: Callable[[TokenUsage], None],
    ) -> AsyncGenerator[str, None]:
        try:
            with translate_errors(self.provider):
                async with AsyncExitStack() as stack:
                    request = self.client.chat.completions.with_streaming_response.create(
                        messages=messages,  # type: ignore[arg-type]  # because the SDK wants a type for each role
                        stream=True,
                        **self.options,
                        **options,
                    )
                    response = await stack.enter_async_context(request)
                    answer.is_begun = True
                    chunks = await stack.enter_async_context(aclosing(self._chunks(response.http_response)))
                    async for text in self._texts(chunks, answer):
                        yield text
        except TooLongArguments as error:
            raise ProviderMisbehaved(self.provider, "called a tool with arguments without end") from error
        finally:
            if answer.is_begun:
                report_usage(answer.usage or estimate_usage(conversation, answer.characters))

    async def _texts(self, chunks: AsyncGenerator[ChatChunk, None], answer: _Answer) -> AsyncGenerator[str, None]:
        """The texts up to the end of the stream, empty ones for pieces of calls.

        A connection that was read to its end serves the next request, so a complete answer is read a little further.
        Whatever comes there, the answer is complete.
        """
        ends_at = inf
        while True:
            try:
                with anyio.CancelScope(deadline=ends_at) as reading:
                    chunk = await anext(chunks, None)
            except (httpx2.HTTPError, ProviderMisbehaved, UnicodeDecodeError):
                if answer.is_complete:
                    return
                raise
            if reading.cancelled_caught:
                return
            if chunk is None:
                if not answer.is_complete:
                    raise ProviderDown(self.provider, "broke off its answer")
                return
            was_finished = bool(answer.finish_reason)
            answer.accept(chunk)
            if not answer.is_complete:
                ends_at = inf
            elif ends_at == inf:
                ends_at = anyio.current_time() + _DRAIN_TIMEOUT_S
            if (chunk.text or chunk.tool_calls) and not was_finished:
                yield chunk.text

    def _check(self, answer: _Answer) -> None:
        if answer.finish_reason == "content_filter" or (answer.is_refusal and not answer.has_text):
            raise AnswerWithheld(self.provider, "held back its answer")
        if not answer.has_text and answer.has_reasoning:
            raise ProviderMisbehaved(
                self.provider, "used all its tokens for thinking: allow more, or turn thinking off"
            )
        if not answer.has_text:
            raise ProviderMisbehaved(self.provider, "answered with nothing")

    async def _chunks(self, response: httpx2.Response) -> AsyncGenerator[ChatChunk, None]:
        """Chunks up to the end of the stream; `[DONE]` is a chunk that ends the answer, for it may be the only one."""
        decoder, has_chunk, is_closed = EventDecoder(), False, False
        try:
            async with aclosing(_parts(response)) as parts:
                async for part in parts:
                    is_closed = part is None
                    for data in decoder.finish() if part is None else decoder.push(part):
                        has_chunk = True
                        yield ChatChunk(finish_reason="stop") if data.strip() == DONE else read_chunk(data)
        except UnreadableChunk as error:
            if is_closed:  # the beginning of an event, whose end did not come
                raise ProviderDown(self.provider, "broke off its answer") from error
            raise ProviderMisbehaved(self.provider, "sent something that is no answer") from error
        if decoder.has_foreign_lines and not has_chunk:
            raise ProviderMisbehaved(self.provider, "sent something that is no answer")


async def _parts(response: httpx2.Response) -> AsyncGenerator[bytes | None, None]:
    """The body as it arrives, and None behind it."""
    async for part in response.aiter_bytes():
        yield part
    yield None


@asynccontextmanager
async def open_chat(
    *,
    provider_name: str,
    base_url: str,
    api_key: str,
    model: str,
    max_tokens: int = 300,
    temperature: float | None = None,
    connect_timeout_s: float = 3.0,
    include_usage: bool = False,
) -> AsyncIterator[ChatReplies]:
    """A client for one model at one address; a server without keys needs no `api_key`. Raises SettingsError.

    `include_usage` asks the server to send its count of tokens with the end of each answer.
    """
    # OpenAI's newer models know only the new name, other servers often only the old one.
    limit = "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"
    options: dict[str, Any] = {"model": model, limit: max_tokens}
    if include_usage:
        options["stream_options"] = {"include_usage": True}
    if temperature is not None:
        options["temperature"] = temperature
    async with open_client(provider_name, base_url, api_key, connect_timeout_s=connect_timeout_s) as client:
        yield ChatReplies(client, provider_name, options)
