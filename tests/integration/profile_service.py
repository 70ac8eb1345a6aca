"""A server with profiles, whose reply engines are an emulator of OpenAI, and whose conversations are in a database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.assembly.conversations import open_chat
from app.assembly.profiles import open_profiles
from app.assembly.replies import open_reply_engines
from app.config import Settings
from app.data.database import open_database
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant, fingerprint
from app.runtime.conversations.chat import Chat
from app.runtime.dialog.engines import Engines
from app.runtime.recording.uploader import Uploader
from app.runtime.service import Service
from tests.emulators.openai import OpenAIEmulator, Script, serve_openai
from tests.fakes import MemoryBlobStore, MemorySessionLog, ScriptedDetector, ScriptedTranscriber, SingleRouteFinals
from tests.integration.conversation_service import bearer
from tests.routes import LOCAL, scripted_routes
from tests.serving import scripted_service, served

ACME = Tenant("acme", (fingerprint("acme-key"),))
KIOSK = Tenant("kiosk", (fingerprint("kiosk-key"),), profiles=frozenset({"cook"}))

COOK = 'instructions = "You cook."\nhistory_tokens = 10\n'
CODE = 'instructions = "You write code."\nengine = "openai"\nmodel = "large"\n'
PROFILES = {"cook": COOK, "code": CODE}


@dataclass
class ProfileServer:
    address: str
    http: httpx.AsyncClient
    """With the key of acme."""
    service: Service
    openai: OpenAIEmulator

    @property
    def chat(self) -> Chat:
        assert self.service.chat is not None
        return self.service.chat

    async def begin(self, **body: str) -> dict:
        """A new conversation of acme."""
        answer = await self.http.post("/conversations", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def say(self, conversation: str, text: str, **fields: str) -> dict:
        """The answer."""
        answer = await self.http.post(f"/conversations/{conversation}/messages", json={"text": text, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def messages(self, conversation: str) -> list[dict]:
        answer = await self.http.get(f"/conversations/{conversation}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["messages"])

    def prompt(self, number: int = -1) -> list[dict]:
        """The messages of that request to the emulator."""
        return list(self.openai.requests[number]["messages"])


def emulator_settings(openai: OpenAIEmulator, folder: Path, **options: Any) -> Settings:
    """Replies by this emulator at a dollar a token, profiles of this folder, no voice; `options` are settings."""
    return Settings(
        openai_api_key="sk-test",
        openai_base_url=openai.base_url,
        openai_model="small",
        reply_usd_per_million_prompt_tokens=1e6,
        reply_usd_per_million_generated_tokens=1e6,
        speech_provider="none",
        profiles=folder,
        **options,
    )


@asynccontextmanager
async def profile_server(
    url: str, folder: Path, *turns: Script, profiles: Mapping[str, str] = PROFILES, default: str = ""
) -> AsyncIterator[ProfileServer]:
    """The files of the profiles are written into `folder`; the emulator answers with `turns`."""
    for name, text in profiles.items():
        (folder / f"{name}.toml").write_text(text)
    async with AsyncExitStack() as stack:
        openai = stack.enter_context(serve_openai(turns=turns))
        settings = emulator_settings(openai, folder, reply_instructions="Be brief.", profile=default)
        catalogue = await stack.enter_async_context(open_profiles(settings))
        routes = scripted_routes(LOCAL, rules=RoutingRules()).routes
        named = list(catalogue.profiles().values())
        engines = await stack.enter_async_context(open_reply_engines(settings, ["openai"], routes, named))
        database = await stack.enter_async_context(open_database(url))
        uploader = Uploader(MemorySessionLog(), MemoryBlobStore(), write_interval_s=0.01)
        chat = await stack.enter_async_context(open_chat(settings, database, engines, uploader, catalogue))

        @asynccontextmanager
        async def session_engines(session: str, tenant: Tenant) -> AsyncIterator[Engines]:
            own = engines.for_session(session, tenant)
            finals = SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber())
            yield Engines(ScriptedDetector(), finals, generator=own.generator, generator_of=own.generator_of)

        service = scripted_service(
            session_engines=session_engines,
            profiles=catalogue,
            initial_state=DialogState(TurnRules(reply_after_ms=300, instructions="Be brief.", language="en")),
            tenants=lambda: (ACME, KIOSK),
            uploader=uploader,
            chat=chat,
        )
        address = await stack.enter_async_context(served(service))
        http = httpx.AsyncClient(base_url=f"http://{address}", timeout=30, headers=bearer("acme-key"))
        yield ProfileServer(address, await stack.enter_async_context(http), service, openai)
