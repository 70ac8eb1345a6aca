"""Every reply engine, opened for its contract; the names are the registry's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.domain.ports import ReplyGenerator
from providers.local.llm.embedded import open_embedded
from providers.local.receiver.replies import open_receiver
from providers.openai.chat import open_chat
from tests.emulators.openai import serve_openai
from tests.emulators.receiver import serve_receiver
from tests.models import model


@asynccontextmanager
async def embedded() -> AsyncIterator[ReplyGenerator]:
    async with open_embedded(model=model("smollm2-135m-instruct"), temperature=0.0, max_tokens=60) as engine:
        yield engine


@asynccontextmanager
async def openai() -> AsyncIterator[ReplyGenerator]:
    with serve_openai() as server:
        async with open_chat(
            provider_name="openai", base_url=server.base_url, api_key="sk-test", model="gpt-4o-mini"
        ) as engine:
            yield engine


@asynccontextmanager
async def ollama() -> AsyncIterator[ReplyGenerator]:
    with serve_openai() as server:
        async with open_chat(provider_name="ollama", base_url=server.base_url, api_key="", model="llama3.2") as engine:
            yield engine


@asynccontextmanager
async def receiver() -> AsyncIterator[ReplyGenerator]:
    async with serve_receiver() as server, open_receiver(host="127.0.0.1", port=server.port) as engine:
        yield engine


REPLY_CASES: dict[str, Callable[[], AbstractAsyncContextManager[ReplyGenerator]]] = {
    "embedded": embedded,
    "ollama": ollama,
    "openai": openai,
    "receiver": receiver,
}

NEEDS_MODELS = frozenset({"embedded"})
