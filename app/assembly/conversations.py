"""Opens the conversations in the database, and the reply engines for their messages in text."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from sqlalchemy.ext.asyncio import AsyncEngine

from app.assembly.replies import ReplyEngines, max_reply_characters
from app.config import Settings
from app.data.conversation_log import ConversationLog, conversation_log_in
from app.data.full_text_purge import FullTextPurge
from app.domain.conversations.options import ReplyOptions
from app.domain.errors import ProviderBusy
from app.domain.tenant import Tenant
from app.runtime.conversations.chat import MAX_REPLIES, Chat
from app.runtime.conversations.reply_run import ChatEngine, ReplyBill
from app.runtime.ids import new_id
from app.runtime.recording.uploader import Uploader
from app.runtime.routing.reply_failover import FailoverReplies
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.supervision import run_in_background

REPLIES_HERE = 1
"""Replies to messages in text at once, where a model in this process writes them: the places in its queue are left to
those who speak."""


@asynccontextmanager
async def open_chat(
    settings: Settings, database: AsyncEngine, replies: ReplyEngines, uploader: Uploader
) -> AsyncGenerator[Chat, None]:
    """Conversations are kept as long as recordings, and a deleted recording is erased from them."""
    async with conversation_log_in(database) as log:
        uploader.erasers = (*uploader.erasers, log)
        purge = FullTextPurge(database)
        uploader.after_deletion = purge.request
        chat = _chat(settings, log, replies, uploader)
        chat.after_deletion = purge.request
        async with run_in_background({"full_text_purge": purge.run}):
            yield chat


def _chat(settings: Settings, log: ConversationLog, replies: ReplyEngines, uploader: Uploader) -> Chat:
    return Chat(
        log,
        lambda tenant: _engine(settings, replies, tenant),
        options=ReplyOptions(instructions=settings.reply_instructions),
        max_conversations=settings.max_conversations,
        keep_days=settings.archive_keep_days,
        tenant_keep_days=uploader.tenant_keep_days,
        places=anyio.CapacityLimiter(REPLIES_HERE if _replies_here(replies) else MAX_REPLIES),
    )


def _replies_here(replies: ReplyEngines) -> bool:
    """Whether a model in this process may write a reply."""
    return replies.replies is not None and any(engine.name == "embedded" for engine in replies.replies.engines)


def _engine(settings: Settings, replies: ReplyEngines, tenant: Tenant) -> ChatEngine:
    """Each message has a budget of its own as a session has, and shares those of its tenant and of the day.

    Its expenses are recorded under an id that nothing else knows, so that they lead to nobody.
    """
    if replies.replies is None:
        raise ProviderBusy("replies", "this service has no reply engine")
    session, bill = new_id(), ReplyBill()
    budget = SessionBudget(replies.routes, session, tenant, on_reply=bill.add)
    return ChatEngine(
        FailoverReplies(replies.replies, budget),
        bill,
        max_characters=max_reply_characters(settings),
        close=lambda: replies.routes.ledger.close(session),
    )
