"""Answers over OpenAI's chat protocol: OpenAI itself, Ollama, or any server that speaks it.

One more attempt is made where the service fails before its first word; after that word there is
none, because a listener would hear the beginning twice. Closing the answer closes the stream.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ProviderBusy, ProviderDown, ProviderMisbehaved, ProviderRefused
from providers.openai.errors import our_errors

_LONGEST_RETRY_AFTER_S = 1.0
_LAST_EVENT_S = 0.2


@dataclass(frozen=True, slots=True)
class ChatReplies:
    """A ReplyGenerator over one HTTP client."""

    client: openai.AsyncOpenAI
    provider: str
    options: dict[str, Any]
    first_token_timeout_s: float
    token_timeout_s: float
    retry_after_s: float

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str, None]:
        messages = [_spoken(message) for message in conversation]
        has_begun = False
        try:
            async with aclosing(self._attempt(messages)) as deltas:
                async for delta in deltas:
                    has_begun = True
                    yield delta
        except (ProviderDown, ProviderBusy) as error:
            pause = self._pause(error)
            if has_begun or pause is None:
                raise
        else:
            return
        await anyio.sleep(pause)
        async with aclosing(self._attempt(messages)) as deltas:
            async for delta in deltas:
                yield delta

    def _pause(self, error: ProviderDown | ProviderBusy) -> float | None:
        """Seconds until another attempt is worth while; None where it is not."""
        cause = error.__cause__
        if isinstance(cause, TimeoutError | openai.APITimeoutError):
            return None
        wished = cause.response.headers.get("retry-after", "") if isinstance(cause, openai.APIStatusError) else ""
        if not wished:
            return self.retry_after_s
        return float(wished) if wished.isdecimal() and int(wished) <= _LONGEST_RETRY_AFTER_S else None

    async def _attempt(self, messages: list[ChatCompletionMessageParam]) -> AsyncGenerator[str, None]:
        has_spoken = False
        with our_errors(self.provider):
            with anyio.fail_after(self.first_token_timeout_s):
                stream: openai.AsyncStream[ChatCompletionChunk] = await self.client.chat.completions.create(
                    messages=messages, stream=True, **self.options
                )
            async with stream:
                ending = None
                while not ending:
                    with anyio.fail_after(self.token_timeout_s if has_spoken else self.first_token_timeout_s):
                        chunk = await anext(stream, None)
                    if chunk is None:
                        raise ProviderMisbehaved(self.provider, "broke off its answer")
                    delta, ending = self._read(chunk)
                    if delta:
                        has_spoken = True
                        yield delta
                # The rest of the stream says nothing, but a connection read to its end serves the next answer.
                with anyio.move_on_after(_LAST_EVENT_S):
                    await anext(stream, None)
        if ending == "content_filter":
            raise ProviderRefused(self.provider, "held back its answer")
        if not has_spoken:
            raise ProviderMisbehaved(self.provider, "answered with nothing")

    def _read(self, chunk: ChatCompletionChunk) -> tuple[str, str | None]:
        """The words of one chunk, and how the answer ended where it did. The SDK checks no shapes."""
        try:
            if not chunk.choices:
                return "", None
            choice = chunk.choices[0]
            return str(choice.delta.content or ""), choice.finish_reason
        except (AttributeError, TypeError, LookupError) as error:
            raise ProviderMisbehaved(self.provider, "sent something that is no answer") from error


def _spoken(message: Message) -> ChatCompletionMessageParam:
    match message.role:
        case Role.SYSTEM:
            return {"role": "system", "content": message.text}
        case Role.USER:
            return {"role": "user", "content": message.text}
        case Role.ASSISTANT:
            return {"role": "assistant", "content": message.text}


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
) -> AsyncIterator[ChatReplies]:
    """A client for one model behind one address; a server without keys takes any `api_key`."""
    # OpenAI's newer models know only the new name, other servers often only the old one.
    limit = "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"
    options: dict[str, Any] = {"model": model, limit: max_tokens}
    if temperature is not None:
        options["temperature"] = temperature
    timeout = openai.Timeout(None, connect=connect_timeout_s)
    key = api_key or "none"  # because the SDK insists on one
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=0) as client:
        yield ChatReplies(client, provider_name, options, first_token_timeout_s, token_timeout_s, retry_after_s)


async def answers(base_url: str, *, within_s: float = 0.5) -> bool:
    """Whether a server without keys, such as Ollama, lists its models at this address."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", timeout=within_s, max_retries=0) as client:
        try:
            with anyio.fail_after(within_s):
                await client.models.list()
        except (openai.OpenAIError, TimeoutError, json.JSONDecodeError):
            return False
    return True
