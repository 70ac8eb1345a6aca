"""Opens the conversations in the database, and the reply engines for their messages in text."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from sqlalchemy.ext.asyncio import AsyncEngine

from app.assembly.replies import ReplyEngines, max_reply_characters
from app.config import Settings
from app.data.conversation_log import conversation_log_in
from app.domain.conversations.options import ReplyOptions
from app.domain.errors import ProviderBusy
from app.domain.profile import Profile
from app.domain.tenant import Tenant
from app.runtime.conversations.chat import MAX_REPLIES, Chat
from app.runtime.conversations.reply_run import ChatEngine, ClientTools, ReplyBill
from app.runtime.ids import new_id
from app.runtime.profiles import ProfileCatalogue
from app.runtime.recording.uploader import Uploader
from app.runtime.routing.session_budget import SessionBudget

REPLIES_HERE = 1
"""Replies to messages in text at once, where a model in this process writes them: the places in its queue are left to
those who speak."""


@asynccontextmanager
async def open_chat(
    settings: Settings, database: AsyncEngine, replies: ReplyEngines, uploader: Uploader, profiles: ProfileCatalogue
) -> AsyncGenerator[Chat, None]:
    """Conversations are kept as long as recordings, and a deleted recording is erased from them."""
    async with conversation_log_in(database) as log:
        uploader.erasers = (*uploader.erasers, log)
        engines = ChatEngines(settings, replies)
        yield Chat(
            log,
            engines.open,
            options=ReplyOptions(instructions=settings.reply_instructions),
            profiles=profiles,
            max_conversations=settings.max_conversations,
            keep_days=settings.archive_keep_days,
            tenant_keep_days=uploader.tenant_keep_days,
            open_with_tools=engines.open,
        )


@dataclass(frozen=True, slots=True)
class ChatEngines:
    """Opens the reply engine for one message in text."""

    settings: Settings
    replies: ReplyEngines
    here: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(REPLIES_HERE))
    """Places where a model in this process may write the reply."""
    elsewhere: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MAX_REPLIES))

    def open(self, tenant: Tenant, profile: Profile | None, tools: ClientTools | None = None) -> ChatEngine:
        """Each message has a budget of its own as a session has, and shares those of its tenant and of the day.

        Its expenses are recorded under an id that nothing else knows, so that they lead to nobody. Raises ProviderBusy
        where nothing replies, and ClientError where the client brings tools and an engine cannot call any.
        """
        session, bill = new_id(), ReplyBill()
        budget = SessionBudget(self.replies.routes, session, tenant, bill.add)
        generator = self.replies.generator(profile, budget)
        if generator is not None and tools is not None:
            generator = self.replies.generator_with(profile, tools, budget)
        if generator is None:
            raise ProviderBusy("replies", "this service has no reply engine")
        is_here = any(name.partition("/")[0] == "embedded" for name in self.replies.names(profile))
        return ChatEngine(
            generator,
            bill,
            max_characters=max_reply_characters(self.settings),
            close=lambda: self.replies.routes.ledger.close(session),
            places=self.here if is_here else self.elsewhere,
        )
