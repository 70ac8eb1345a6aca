"""Conversations and jobs of a tenant or of one person, as exports find them in the database."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from app.data.conversations import MAX_MESSAGES, ConversationFilter, ConversationTable
from app.domain.conversations.export import conversation_json, message_json
from app.domain.conversations.message import Conversation
from app.domain.job import JobState, TranscriptionJob
from app.domain.job_json import job_json

PAGE = 1000


class JobFinder(Protocol):
    async def find(
        self, *, tenant: str | None, person: str | None, state: JobState | None, before: str | None, limit: int
    ) -> Sequence[TranscriptionJob]:
        """The newest first. Raises ProviderBusy."""
        ...


@dataclass(frozen=True, slots=True)
class FoundRows:
    conversations: Sequence[Conversation] = ()
    jobs: Sequence[TranscriptionJob] = ()

    def __bool__(self) -> bool:
        return bool(self.conversations or self.jobs)


@dataclass(frozen=True, slots=True)
class RowsExport:
    """Every method raises ProviderBusy where the database is unavailable."""

    conversations: ConversationTable | None = None
    """None: they are left out."""
    jobs: JobFinder | None = None
    """The same."""

    async def find(self, tenant: str, person: str | None = None) -> FoundRows:
        """Of one person; None: everyone's."""
        return FoundRows(await self._find_conversations(tenant, person), await self._find_jobs(tenant, person))

    async def files(self, rows: FoundRows) -> AsyncGenerator[tuple[str, bytes], None]:
        """Name and content: a file for each conversation, with its messages as they are now, and one for the jobs."""
        for found in rows.conversations:
            assert self.conversations is not None
            messages = await self.conversations.messages(found.id, limit=MAX_MESSAGES)
            content = {**conversation_json(found), "messages": [message_json(message) for message in messages]}
            yield f"conversations/{found.id}.json", _encode(content)
        if rows.jobs:
            yield "jobs.json", _encode([job_json(job) for job in rows.jobs])

    async def _find_conversations(self, tenant: str, person: str | None) -> list[Conversation]:
        found: list[Conversation] = []
        criteria = ConversationFilter(tenant=tenant, person=person, limit=PAGE)
        while self.conversations is not None:
            page = await self.conversations.find(criteria)
            found += page
            if len(page) < PAGE:
                break
            criteria = replace(criteria, before=(page[-1].updated, page[-1].id))
        return found

    async def _find_jobs(self, tenant: str, person: str | None) -> list[TranscriptionJob]:
        found: list[TranscriptionJob] = []
        while self.jobs is not None:
            before = found[-1].id if found else None
            page = await self.jobs.find(tenant=tenant, person=person, state=None, before=before, limit=PAGE)
            found += page
            if len(page) < PAGE:
                break
        return found


def _encode(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content))
