"""A server whose conversations are in a real database, and whose reply engine obeys a script."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx

from app.data.conversation_log import conversation_log_in
from app.data.conversations import ConversationTable
from app.data.database import open_database
from app.data.jobs import JobTable
from app.domain.conversations.options import ReplyOptions
from app.domain.ports import ReplyGenerator
from app.domain.tenant import Tenant, fingerprint
from app.runtime.conversations.chat import MAX_REPLIES, Chat
from app.runtime.conversations.reply_run import ChatEngine, ReplyBill
from app.runtime.recording.uploader import Uploader
from app.runtime.service import Service
from tests.fakes import MemoryBlobStore, MemorySessionLog, ScriptedGenerator
from tests.serving import scripted_service, served

ACME = Tenant("acme", (fingerprint("acme-key"),))
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)


@dataclass
class ConversationServer:
    address: str
    http: httpx.AsyncClient
    """With the key of acme."""
    service: Service
    table: ConversationTable
    engine: ChatEngine

    @property
    def chat(self) -> Chat:
        assert self.service.chat is not None
        return self.service.chat

    async def begin(self, **body: str) -> str:
        """The id of a new conversation of acme."""
        answer = await self.http.post("/conversations", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def say(self, conversation: str, text: str) -> httpx.Response:
        return await self.http.post(f"/conversations/{conversation}/messages", json={"text": text})

    async def messages(self, conversation: str) -> list[dict]:
        answer = await self.http.get(f"/conversations/{conversation}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["messages"])


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def scripted_engine(generator: ReplyGenerator | None = None) -> ChatEngine:
    return ChatEngine(
        generator or ScriptedGenerator(), ReplyBill("scripted"), places=anyio.CapacityLimiter(MAX_REPLIES)
    )


@asynccontextmanager
async def conversation_server(
    url: str, generator: ReplyGenerator | None = None, **changes
) -> AsyncGenerator[ConversationServer, None]:
    """`changes` are those of the service."""
    async with open_database(url) as database, conversation_log_in(database) as log:
        uploader = Uploader(MemorySessionLog(), MemoryBlobStore(), erasers=(log,), write_interval_s=0.01)
        engine = scripted_engine(generator)
        chat = Chat(log, lambda *_: engine, ReplyOptions("Be brief."))
        service = scripted_service(
            **{
                "tenants": lambda: (ACME, GLOBEX, OPS),
                "uploader": uploader,
                "chat": chat,
                "jobs": JobTable(database),
                **changes,
            }
        )
        async with (
            served(service) as address,
            httpx.AsyncClient(base_url=f"http://{address}", timeout=30, headers=bearer("acme-key")) as http,
        ):
            yield ConversationServer(address, http, service, log.table, engine)
