"""A served service with everything that has a route: keys, tokens, audit log, policy, archive, chat, profiles."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.data.api_keys import KeyStore
from app.data.audit import audit_in
from app.data.conversation_log import ConversationLog
from app.data.database import open_database
from app.data.decisions import decisions_in
from app.domain.principal import Scope
from app.domain.routing.rules import RoutingRules
from app.policy.profiles_file import read_profiles
from app.runtime.audit import AuditLog
from app.runtime.authentication import AnyOf, DatabaseKeys
from app.runtime.clock import SystemClock
from app.runtime.conversations.chat import Chat
from app.runtime.conversations.reply_run import ChatEngine, ReplyBill
from app.runtime.dialog.engines import Engines
from app.runtime.profiles import ProfileCatalogue
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.service import RoutingPolicy, Service
from app.runtime.session_tokens import SessionTokens
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedSynthesizer, ScriptedTranscriber
from tests.routes import AWS, LOCAL
from tests.serving import scripted_service, served


@dataclass
class Site:
    http: httpx.AsyncClient
    socket: str
    key: str
    """Of an administrator of the tenant `acme`."""
    service: Service


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """Its database is in this folder."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(f"sqlite+aiosqlite:///{folder}/parley.db"))
        decisions = await stack.enter_async_context(decisions_in(database))
        audit = await stack.enter_async_context(audit_in(database))
        keys = KeyStore(database)
        await keys.load()
        known = DatabaseKeys(keys)
        tokens = SessionTokens(lambda: keys.signing_secrets, [known])
        engines = {"aws": ScriptedTranscriber("from afar"), "local": ScriptedTranscriber("from here")}
        routes = Routes((AWS, LOCAL), engines, RoutingRules, SystemClock(), lambda: 0.0)
        routes.record_decision = decisions.record

        @asynccontextmanager
        async def session_engines(session, tenant):
            finals = SessionFinals(routes, session, tenant)
            drafts = ScriptedTranscriber("from")
            yield Engines(ScriptedDetector(), finals, drafts, ScriptedGenerator(), ScriptedSynthesizer())

        service = scripted_service(
            session_engines=session_engines,
            authenticator=AnyOf([known, tokens]),
            keys=keys,
            session_tokens=tokens,
            audit=AuditLog(audit),
            policy=RoutingPolicy(routes, decisions, lambda: ""),
            chat=Chat(ConversationLog(database), lambda *_: ChatEngine(ScriptedGenerator(), ReplyBill("scripted"))),
            profiles=ProfileCatalogue(lambda: read_profiles(None, {})),
        )
        address = await stack.enter_async_context(served(service))
        key, _ = await keys.create("root", "acme", frozenset({Scope.ADMIN}), None)
        http = httpx.AsyncClient(base_url=f"http://{address}", headers={"authorization": f"Bearer {key}"}, timeout=30)
        yield Site(await stack.enter_async_context(http), f"ws://{address}/ws/transcribe", key, service)
