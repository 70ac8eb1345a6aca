"""Takes the words of whatever the service deletes out of the database's full-text indexes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.full_text_purge import FullTextPurge
from app.runtime.conversations.chat import Chat
from app.runtime.recording.uploader import Uploader
from app.runtime.supervision import run_in_background


@asynccontextmanager
async def purging_full_text(database: AsyncEngine, uploader: Uploader, chat: Chat) -> AsyncGenerator[None, None]:
    """At the start, and soon after each deletion of a recording or a conversation."""
    purge = FullTextPurge(database)
    uploader.after_deletion = chat.after_deletion = purge.request
    async with run_in_background({"full_text_purge": purge.run}):
        yield
