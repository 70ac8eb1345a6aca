"""What is said in voice sessions, on its way into conversations: queued in memory, written in the background."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import anyio
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.data.conversations import (
    SESSION_LEASE,
    ConversationTable,
    append_messages,
    conversation_row,
    end_session,
    speaking,
)
from app.data.database import UNAVAILABLE, transaction
from app.data.row_log import RowLog, insert_new
from app.data.tables import ConversationRow, MessageRow
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.errors import ConversationFull, ConversationNotFound, ProviderBusy

RENEW_EVERY_S = 10.0
"""Between two renewals of the conversations in which sessions speak."""
CLAIMED_S = SESSION_LEASE.total_seconds() - RENEW_EVERY_S
"""So long behind the last sign of a session its conversation is surely its own."""


@dataclass(slots=True)
class Destination:
    """The conversation that a session's messages are for."""

    conversation: Conversation
    is_stored: bool
    """False: it is stored with its first message. One that was deleted meanwhile is not stored again."""
    session: str = ""
    """Which speaks in it from its first message on, where it is not stored yet."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    destination: Destination
    message: StoredMessage

    @property
    def id(self) -> str:
        return str(self.message.id)


@dataclass(frozen=True, slots=True)
class QueuedCut:
    """A reply that is queued or stored as whole was interrupted while it was played."""

    message: int
    played: str
    cancelled: str

    @property
    def id(self) -> str:
        return str(self.message)


@dataclass(frozen=True, slots=True)
class QueuedSpeaker:
    """The speaker label of an utterance that is queued or stored already."""

    message: int
    speaker: int

    @property
    def id(self) -> str:
        return str(self.message)


@dataclass(frozen=True, slots=True)
class QueuedCost:
    """What is known of the cost of a reply that is queued or stored already."""

    message: int
    engine: str
    usd: float
    prompt_tokens: int
    reply_tokens: int

    @property
    def id(self) -> str:
        return str(self.message)

    @property
    def fields(self) -> dict[str, Any]:
        """Of the message."""
        fields = asdict(self)
        del fields["message"]
        return fields


@dataclass(frozen=True, slots=True)
class QueuedEnd:
    """The session is over: its conversation is free behind its last message."""

    session: str

    @property
    def id(self) -> str:
        return self.session


Queued: TypeAlias = QueuedMessage | QueuedCut | QueuedSpeaker | QueuedCost | QueuedEnd


class _Rows(RowLog[Queued]):
    """In place of plain rows: messages get their numbers, and the first of a session its conversation."""

    async def _insert(self, batch: list[Queued]) -> None:
        async with transaction(self.engine) as connection:
            for record in batch:
                match record:
                    case QueuedMessage():
                        await self._append(connection, record)
                    case QueuedCut(message, played, cancelled):
                        cut = update(MessageRow).where(MessageRow.id == message)
                        await connection.execute(cut.values(played=played, cancelled=cancelled))
                    case QueuedSpeaker(message, speaker):
                        labelled = update(MessageRow).where(MessageRow.id == message)
                        await connection.execute(labelled.values(speaker=speaker))
                    case QueuedCost(message):
                        costing = update(MessageRow).where(MessageRow.id == message)
                        await connection.execute(costing.values(**record.fields))
                    case QueuedEnd(session):
                        await end_session(connection, session)
        for record in batch:
            if isinstance(record, QueuedMessage):
                record.destination.is_stored = True

    async def _append(self, connection: AsyncConnection, record: QueuedMessage) -> None:
        """Once, however often it is tried."""
        stored = select(MessageRow.id).where(MessageRow.id == record.message.id)
        if (await connection.execute(stored)).first() is not None:
            return
        destination = record.destination
        if not destination.is_stored:
            row = conversation_row(destination.conversation)
            if destination.session:
                row |= speaking(destination.session, datetime.now(UTC))
            await insert_new(connection, ConversationRow, [row])
        try:
            await append_messages(connection, destination.conversation.id, [record.message])
        except (ConversationNotFound, ConversationFull):  # it was deleted, or takes no more
            self.dropped += 1


def _no_rows(_: Sequence[Queued]) -> Sequence[tuple[type, Sequence[dict[str, object]]]]:
    return ()


@dataclass(slots=True)
class ConversationLog:
    """The queue of one process."""

    engine: AsyncEngine
    rows: _Rows = field(init=False)
    sessions: dict[str, float] = field(default_factory=dict)
    """Of this process, which speak in a conversation: when something was last said in each, by the event loop."""

    def __post_init__(self) -> None:
        self.rows = _Rows(self.engine, "message", "messages of conversations", _no_rows)

    @property
    def table(self) -> ConversationTable:
        return ConversationTable(self.engine)

    def offer(self, record: Queued) -> bool:
        """Queue it; False where the queue is full, and it is lost. Never waits."""
        before = self.rows.dropped
        self.rows.record(record)
        return self.rows.dropped == before

    def speaks(self, session: str) -> None:
        """Something is said in this session: its conversation takes no message in text for a while."""
        self.sessions[session] = anyio.current_time()

    def may_be_lost(self, session: str) -> bool:
        """Whether this session was silent for so long that another one may have written in its conversation."""
        return anyio.current_time() - self.sessions.get(session, -math.inf) > CLAIMED_S

    async def keep_sessions(self) -> None:
        """Renew the leases of the sessions of this process in which something is said, for ever."""
        while True:
            since = anyio.current_time() - RENEW_EVERY_S
            speaking_now = frozenset(session for session, at in self.sessions.items() if at >= since)
            with suppress(ProviderBusy):  # because a session that speaks on is kept by the next renewal
                await self.table.keep_sessions(speaking_now, now=datetime.now(UTC))
            await anyio.sleep(RENEW_EVERY_S)

    async def erase_session(self, session: str) -> Mapping[str, int]:
        """As ConversationTable.erase_session() does; with what is queued. Raises ProviderBusy."""
        if not await self.rows.flush():
            raise ProviderBusy("conversations", UNAVAILABLE)
        return await self.table.erase_session(session)


@asynccontextmanager
async def conversation_log_in(engine: AsyncEngine) -> AsyncIterator[ConversationLog]:
    """The log in this open database. What is queued at the end is written."""
    log = ConversationLog(engine)
    try:
        yield log
    finally:
        with anyio.CancelScope(shield=True):
            await log.rows.close()
