"""Replies over OpenAI's chat protocol: OpenAI itself, Ollama, or any server that speaks it.

A request that fails before its first delta is retried once; after that delta it is not, because a listener would hear
the beginning twice. Closing the reply closes the stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import openai
import stamina

from app.domain.dialog.conversation import Message
from app.domain.errors import ProviderBusy, ProviderDown, ProviderMisbehaved, RequestRefused
from app.domain.spending import TokenUsage
from providers.openai.chat_chunks import DONE, ChatChunk, UnreadableChunk, read_chunk
from providers.openai.client import open_client
from providers.openai.errors import translate_errors
from providers.openai.sse import EventDecoder

_MAX_RETRY_AFTER_S = 1.0
"""A server that asks for a longer pause is not asked again: nobody waits that long for a reply to begin."""
_DRAIN_TIMEOUT_S = 0.2


@dataclass(frozen=True, slots=True)
class ChatReplies:
    """A ReplyGenerator over one client.

    The SDK sends the request and names its errors; its event stream is read here, because the SDK's own reader stops at
    what many compatible servers send (empty events, `delta: null`, no `[DONE]`).
    """

    client: openai.AsyncOpenAI
    provider: str
    options: dict[str, Any]
    first_token_timeout_s: float
    token_timeout_s: float
    retry_after_s: float

    async def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None] = lambda _: None
    ) -> AsyncGenerator[str, None]:
        """Text deltas of the answer. Raises a ProviderError, or RequestRefused where the model declines to answer."""
        messages = [{"role": str(message.role), "content": message.text} for message in conversation]
        async with AsyncExitStack() as attempts:
            async for attempt in stamina.retry_context(
                on=self._backoff, attempts=2, timeout=None, wait_initial=self.retry_after_s, wait_jitter=0
            ):
                with attempt:
                    deltas = await attempts.enter_async_context(aclosing(self._request(messages, report_usage)))
                    first = await anext(deltas)
            yield first
            async for delta in deltas:
                yield delta

    def _backoff(self, error: Exception) -> bool | float:
        """Whether another attempt is worth while, or the seconds until then where the server names them."""
        if not isinstance(error, ProviderDown | ProviderBusy):
            return False
        match error.__cause__:
            case TimeoutError() | openai.APITimeoutError() | httpx2.TimeoutException():
                return False
            case openai.APIStatusError(response=response) if asked := response.headers.get("retry-after", ""):
                return float(asked) if asked.isdecimal() and int(asked) <= _MAX_RETRY_AFTER_S else False
        return True

    async def _request(
        self, messages: list[dict[str, str]], report_usage: Callable[[TokenUsage], None]
    ) -> AsyncGenerator[str, None]:
        """The deltas of one request, none of them empty, and at least one."""
        with translate_errors(self.provider):
            async with AsyncExitStack() as stack:
                with anyio.fail_after(self.first_token_timeout_s):
                    request = self.client.chat.completions.with_streaming_response.create(
                        messages=messages,  # type: ignore[arg-type]  # because the SDK wants a type for each role
                        stream=True,
                        **self.options,
                    )
                    response = await stack.enter_async_context(request)
                chunks = await stack.enter_async_context(aclosing(self._chunks(response.http_response)))
                async for delta in self._deltas(chunks, report_usage):
                    yield delta

    async def _deltas(
        self, chunks: AsyncGenerator[ChatChunk, None], report_usage: Callable[[TokenUsage], None]
    ) -> AsyncGenerator[str, None]:
        has_text = has_reasoning = is_refusal = False
        finish_reason, usage = "", None
        while not finish_reason:
            with anyio.fail_after(self.token_timeout_s if has_text else self.first_token_timeout_s):
                chunk = await anext(chunks, None)
            if chunk is None:
                raise ProviderMisbehaved(self.provider, "broke off its answer")
            finish_reason, usage = chunk.finish_reason, chunk.usage or usage
            has_reasoning |= chunk.has_reasoning
            is_refusal |= chunk.is_refusal
            if chunk.text:
                has_text = True
                yield chunk.text
        # A connection that was read to its end serves the next request; the answer is complete either way.
        with anyio.move_on_after(_DRAIN_TIMEOUT_S), suppress(httpx2.HTTPError, ProviderMisbehaved, UnicodeDecodeError):
            async for chunk in chunks:
                usage = chunk.usage or usage
        if usage:
            report_usage(usage)
        if finish_reason == "content_filter" or (is_refusal and not has_text):
            raise RequestRefused(self.provider, "held back its answer")
        if not has_text and has_reasoning:
            raise ProviderMisbehaved(
                self.provider, "used all its tokens for thinking: allow more, or turn thinking off"
            )
        if not has_text:
            raise ProviderMisbehaved(self.provider, "answered with nothing")

    async def _chunks(self, response: httpx2.Response) -> AsyncGenerator[ChatChunk, None]:
        """Chunks up to the end of the stream; `[DONE]` is a chunk that ends the answer, for it may be the only one."""
        decoder = EventDecoder()
        try:
            async with aclosing(_parts(response)) as parts:
                async for part in parts:
                    for data in decoder.finish() if part is None else decoder.push(part):
                        yield ChatChunk(finish_reason="stop") if data.strip() == DONE else read_chunk(data)
        except UnreadableChunk as error:
            raise ProviderMisbehaved(self.provider, "sent something that is no answer") from error


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
    first_token_timeout_s: float = 15.0,
    token_timeout_s: float = 5.0,
    retry_after_s: float = 0.2,
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
        yield ChatReplies(client, provider_name, options, first_token_timeout_s, token_timeout_s, retry_after_s)
