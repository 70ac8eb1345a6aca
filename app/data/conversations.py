"""Conversations in the database: created, listed, searched, read, appended to, and deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Update, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.data.conversation_search import search
from app.data.database import as_busy, stored_moment, transaction
from app.data.tables import ConversationRow, MessageRow
from app.domain.conversations.message import Conversation, MessageKind, StoredMessage, title_of
from app.domain.dialog.conversation import Role
from app.domain.errors import ConversationBusy, ConversationFull, ConversationNotFound, TooManyConversations
from app.domain.recording.text_search import indexed_words, parse_search
from app.domain.storable_text import storable_text
from app.domain.tools import ToolCall
from app.domain.transcript import Word

MAX_MESSAGES = 20_000
"""Of one conversation: what an export holds in memory."""

SESSION_LEASE = timedelta(seconds=30)
"""A conversation takes messages in text so long after the session that speaks in it was last known to do so."""

_CREATING = 71057712
"""Class of PostgreSQL's advisory locks, one for each tenant, that make the check of a limit and a new row one step."""

_BUSY = "another message of this conversation is being answered; send this one after its reply"
_TOO_MANY = "{} has {} conversations, which is the limit; delete some (DELETE /conversations/ID)"
_SPEAKING = "a voice session speaks in this conversation; say it there, or send it when the session is over"
_FULL = f"the conversation has {MAX_MESSAGES} messages, which is the limit; begin another one"


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations; None matches all."""

    tenant: str | None = None
    person: str | None = None
    text: str | None = None
    """Terms, all of which its title, or one of its messages, has (`app.domain.recording.text_search`)."""
    before: tuple[str, str] | None = None
    """`updated` and `id` of the last one of the page before."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class DeletedConversation:
    messages: int
    """How many were deleted with it."""
    sessions: tuple[str, ...]
    """Sessions and recordings that they were spoken in; their recordings are not deleted."""
    remaining: tuple[str, ...] = ()
    """What remains in the database for now; a sentence each."""


@dataclass(frozen=True, slots=True)
class ConversationTable:
    """Every method raises ProviderBusy where the database is unavailable."""

    engine: AsyncEngine

    # -- reading ---------------------------------------------------------------------

    async def find(self, criteria: ConversationFilter) -> list[Conversation]:
        """The one with the newest message first."""
        query = select(*_CONVERSATION).order_by(ConversationRow.updated.desc(), ConversationRow.id.desc())
        if criteria.tenant is not None:
            query = query.where(ConversationRow.tenant == criteria.tenant)
        if criteria.person is not None:
            query = query.where(ConversationRow.person == criteria.person)
        if criteria.before is not None:
            updated, last = criteria.before
            is_same = and_(ConversationRow.updated == updated, ConversationRow.id < last)
            query = query.where(or_(ConversationRow.updated < updated, is_same))
        if criteria.text is not None:
            terms = parse_search(criteria.text)
            if not terms:
                return []
            with as_busy("conversations"):
                async with transaction(self.engine) as connection:
                    return [_conversation(row) for row in await search(connection, query, terms, criteria.limit)]
        return [_conversation(row) for row in await self._read(query.limit(criteria.limit))]

    async def get(self, conversation: str, tenant: str | None = None, *, person: str | None = None) -> Conversation:
        """Of this tenant and this person, or of any where that is None. Raises ConversationNotFound."""
        query = select(*_CONVERSATION).where(ConversationRow.id == conversation)
        if tenant is not None:
            query = query.where(ConversationRow.tenant == tenant)
        if person is not None:
            query = query.where(ConversationRow.person == person)
        for row in await self._read(query):
            return _conversation(row)
        raise ConversationNotFound(conversation[:64])

    async def messages(self, conversation: str, *, before: int | None = None, limit: int) -> list[StoredMessage]:
        """The newest of it, or the newest before this number; in their order."""
        query = select(*_MESSAGE).where(MessageRow.conversation == conversation)
        if before is not None:
            query = query.where(MessageRow.number < before)
        rows = await self._read(query.order_by(MessageRow.number.desc()).limit(limit))
        return [_message(row) for row in reversed(rows)]

    async def is_answered(self, conversation: str, message: int) -> bool:
        """Whether the message with this id is stored, and a reply to it."""
        return bool(await self._read(_reply_to(conversation, message)))

    async def of_session(self, session: str) -> list[tuple[str, StoredMessage]]:
        """Every message that was spoken in this session, with its conversation."""
        query = select(*_MESSAGE).where(MessageRow.session == session).order_by(MessageRow.id).limit(MAX_MESSAGES)
        return [(row.conversation, _message(row)) for row in await self._read(query)]

    # -- writing ---------------------------------------------------------------------

    async def create(self, conversation: Conversation, *, most: int = 0, most_of_person: int = 0) -> None:
        """Unless its tenant has so many already, or its person within the tenant; 0 is no limit.

        Raises TooManyConversations, also where several processes create some at the same moment.
        """
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                if (most or most_of_person) and self.engine.dialect.name == "postgresql":
                    locked = func.pg_advisory_xact_lock(_CREATING, func.hashtext(conversation.tenant))
                    await connection.execute(select(locked))
                # First, because SQLite locks the file with it
                await connection.execute(insert(ConversationRow).values(conversation_row(conversation)))
                of_tenant = ConversationRow.tenant == conversation.tenant
                if most and await _are_there(connection, most + 1, of_tenant):
                    raise TooManyConversations(_TOO_MANY.format("your tenant", most))
                of_person = and_(of_tenant, ConversationRow.person == conversation.person)
                if most_of_person and await _are_there(connection, most_of_person + 1, of_person):
                    raise TooManyConversations(_TOO_MANY.format("this person", most_of_person))

    async def begin_reply(
        self, conversation: str, message: StoredMessage, *, now: datetime, until: datetime
    ) -> StoredMessage:
        """Append the user's message, unless another one is being answered; from now on this one is, until `until`.

        One that is stored already is not appended again; while nothing is behind it, it is the one that is being
        answered, by an attempt that is over, and does not wait for that.

        Raises ConversationNotFound, ConversationBusy or ConversationFull.
        """
        is_free = or_(ConversationRow.busy_until.is_(None), ConversationRow.busy_until < stored_moment(now))
        newest = select(MessageRow.id).where(
            MessageRow.conversation == conversation, MessageRow.number == ConversationRow.messages
        )
        is_own = and_(ConversationRow.speaking_session == "", newest.scalar_subquery() == message.id)
        claim = (
            update(ConversationRow)
            .where(ConversationRow.id == conversation, or_(is_free, is_own))
            .values(busy_until=stored_moment(until), speaking_session="")
        )
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                if not (await connection.execute(claim)).rowcount:
                    raise await _why_busy(connection, conversation)
                stored = select(*_MESSAGE).where(MessageRow.id == message.id)
                if (row := (await connection.execute(stored)).first()) is not None:
                    return _message(row)
                (appended,) = await append_messages(connection, conversation, [message], is_new_turn=True)
                return appended

    async def end_reply(
        self, conversation: str, reply: StoredMessage | None, *, answers: int | None = None
    ) -> StoredMessage | None:
        """Append the reply, where there is any, and let the next message come.

        Not where it `answers` a message, by its id, that has a reply already: None. Raises ConversationNotFound where
        the conversation was deleted meanwhile.
        """
        appended = None
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                await connection.execute(_text_is_answered(conversation).values(busy_until=None))
                if answers is not None and (await connection.execute(_reply_to(conversation, answers))).first():
                    return None
                if reply is not None:
                    (appended,) = await append_messages(connection, conversation, [reply])
        return appended

    async def withdraw(self, conversation: str, message: StoredMessage) -> None:
        """Take back the user's message that begin_reply() has appended, and let the next message come.

        A number is left out where a voice session has appended something behind it.
        """
        is_newest = and_(ConversationRow.id == conversation, ConversationRow.messages == message.number)
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                await connection.execute(delete(MessageRow).where(MessageRow.id == message.id))
                fewer = update(ConversationRow).where(is_newest).values(messages=ConversationRow.messages - 1)
                await connection.execute(fewer)
                await connection.execute(_text_is_answered(conversation).values(busy_until=None))
                await _retitle(connection, conversation)

    # -- voice sessions --------------------------------------------------------------

    async def begin_session(self, conversation: str, session: str, *, now: datetime, takes_over: bool = False) -> None:
        """From now on this session speaks in it, and messages in text are refused.

        Raises ConversationNotFound; ConversationBusy while a message in text is being answered, or another session
        speaks, unless this one `takes_over`.
        """
        is_free = or_(ConversationRow.busy_until.is_(None), ConversationRow.busy_until < stored_moment(now))
        speaks = ConversationRow.speaking_session
        is_own = speaks != "" if takes_over else speaks == session
        claim = (
            update(ConversationRow)
            .where(ConversationRow.id == conversation, or_(is_free, is_own))
            .values(speaking(session, now))
        )
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                if not (await connection.execute(claim)).rowcount:
                    raise await _why_busy(connection, conversation)

    async def keep_sessions(self, sessions: Collection[str], *, now: datetime) -> None:
        """They speak on, each in the conversation that it has begun or continued, unless another one does now."""
        if not sessions:
            return
        until = stored_moment(now + SESSION_LEASE)
        query = update(ConversationRow).where(ConversationRow.speaking_session.in_(sessions))
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                await connection.execute(query.values(busy_until=until))

    async def change(self, conversation: str, *, title: str | None = None, profile: str | None = None) -> None:
        """What is None stays as it is; one of them at least must be given."""
        titled = {} if title is None else {"title": title, "folded": indexed_words([title]), "is_titled": True}
        values = titled if profile is None else {**titled, "profile": profile}
        query = update(ConversationRow).where(ConversationRow.id == conversation).values(values)
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                await connection.execute(query)

    # -- deleting --------------------------------------------------------------------

    async def delete(self, conversation: str) -> DeletedConversation | None:
        """Delete it with its messages; None where there was no such conversation."""
        is_of_it = MessageRow.conversation == conversation
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                gone = await connection.execute(delete(ConversationRow).where(ConversationRow.id == conversation))
                spoken = select(MessageRow.session).where(is_of_it, MessageRow.session != "").distinct()
                sessions = tuple((await connection.execute(spoken.order_by(MessageRow.session))).scalars())
                messages = await connection.execute(delete(MessageRow).where(is_of_it))
                return DeletedConversation(messages.rowcount, sessions) if gone.rowcount else None

    async def erase_session(self, session: str) -> Mapping[str, int]:
        """Empty every message that was spoken in this session; a conversation without another one is deleted."""
        if not session:
            return {}
        of_it = MessageRow.session == session
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                found = await connection.execute(select(MessageRow.conversation).where(of_it).distinct())
                conversations = [row.conversation for row in found]
                erased = await connection.execute(update(MessageRow).where(of_it).values(_ERASED))
                deleted = 0
                for conversation in conversations:
                    deleted += await _delete_or_retitle(connection, conversation)
        return {"messages": erased.rowcount, "conversations": deleted}

    async def prune(self, before: datetime, tenants: Sequence[str], *, others: bool = False) -> int:
        """Delete what has no message since then, of these tenants, or of all `others`: how many."""
        whose = ConversationRow.tenant.not_in(tenants) if others else ConversationRow.tenant.in_(tenants)
        is_old = and_(ConversationRow.updated < stored_moment(before), whose)
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                old = select(ConversationRow.id).where(is_old)
                await connection.execute(delete(MessageRow).where(MessageRow.conversation.in_(old)))
                return (await connection.execute(delete(ConversationRow).where(is_old))).rowcount

    async def _read(self, query: Select[Any]) -> Sequence[Any]:
        with as_busy("conversations"):
            async with transaction(self.engine) as connection:
                rows: Sequence[Any] = (await connection.execute(query)).all()
                return rows


async def append_messages(
    connection: AsyncConnection,
    conversation: str,
    messages: Sequence[StoredMessage],
    *,
    is_new_turn: bool = False,
) -> list[StoredMessage]:
    """The messages with their numbers. Raises ConversationNotFound or ConversationFull.

    One without a turn is of the newest turn, or of the next where that is asked for.
    """
    at = messages[-1].at
    count = (
        update(ConversationRow)
        .where(ConversationRow.id == conversation, ConversationRow.messages <= MAX_MESSAGES - len(messages))
        .values(
            messages=ConversationRow.messages + len(messages),
            updated=case((ConversationRow.updated < at, at), else_=ConversationRow.updated),
        )
        .returning(ConversationRow.messages, ConversationRow.title, ConversationRow.is_titled)
    )
    counted = (await connection.execute(count)).first()
    if counted is None:
        await _require_known(connection, conversation)
        raise ConversationFull(_FULL)
    first = counted.messages - len(messages) + 1
    turn = await newest_turn(connection, conversation) + is_new_turn
    appended = [
        replace(message, number=first + index, turn=message.turn or turn, text=storable_text(message.text))
        for index, message in enumerate(messages)
    ]
    await connection.execute(insert(MessageRow), [_message_row(conversation, message) for message in appended])
    if not counted.title and not counted.is_titled:
        await _set_title(connection, conversation, next((m.text for m in appended if m.role is Role.USER), ""))
    return appended


def speaking(session: str, now: datetime) -> dict[str, Any]:
    """Columns of a conversation that this session speaks in."""
    return {"speaking_session": session, "busy_until": stored_moment(now + SESSION_LEASE)}


async def end_session(connection: AsyncConnection, session: str) -> None:
    """It speaks no more: its conversation takes messages in text."""
    query = update(ConversationRow).where(ConversationRow.speaking_session == session)
    await connection.execute(query.values(speaking_session="", busy_until=None))


def _reply_to(conversation: str, message: int) -> Select[Any]:
    """The id of the reply to the message with this id."""
    asked = select(MessageRow.turn).where(MessageRow.id == message).scalar_subquery()
    is_reply = and_(MessageRow.role == Role.ASSISTANT, MessageRow.turn == asked)
    return select(MessageRow.id).where(MessageRow.conversation == conversation, is_reply).limit(1)


def _text_is_answered(conversation: str) -> Update:
    """The update of a conversation that is busy with a message in text, and not with a session."""
    return update(ConversationRow).where(ConversationRow.id == conversation, ConversationRow.speaking_session == "")


async def _why_busy(connection: AsyncConnection, conversation: str) -> ConversationBusy | ConversationNotFound:
    found = select(ConversationRow.speaking_session).where(ConversationRow.id == conversation)
    row = (await connection.execute(found)).first()
    if row is None:
        return ConversationNotFound(conversation[:64])
    return ConversationBusy(_SPEAKING if row.speaking_session else _BUSY)


async def newest_turn(connection: AsyncConnection, conversation: str) -> int:
    """0 where it has no message."""
    newest = select(MessageRow.turn).where(MessageRow.conversation == conversation)
    turn: int | None = (await connection.execute(newest.order_by(MessageRow.number.desc()).limit(1))).scalar()
    return turn or 0


async def _are_there(connection: AsyncConnection, count: int, criterion: ColumnElement[bool]) -> bool:
    """Whether at least so many conversations meet it; at most so many are looked at."""
    query = select(ConversationRow.id).where(criterion).offset(count - 1).limit(1)
    return (await connection.execute(query)).first() is not None


async def _require_known(connection: AsyncConnection, conversation: str) -> None:
    """Raises ConversationNotFound."""
    known = select(ConversationRow.row_id).where(ConversationRow.id == conversation)
    if (await connection.execute(known)).first() is None:
        raise ConversationNotFound(conversation[:64])


async def _set_title(connection: AsyncConnection, conversation: str, text: str) -> None:
    query = update(ConversationRow).where(ConversationRow.id == conversation)
    await connection.execute(query.values(title=title_of(text), folded=indexed_words([title_of(text)])))


async def _delete_or_retitle(connection: AsyncConnection, conversation: str) -> int:
    """After some of its messages were emptied: 1 where nothing is left, and it is deleted."""
    is_of_it = MessageRow.conversation == conversation
    left = select(MessageRow.role, MessageRow.text).where(is_of_it, MessageRow.text != "").order_by(MessageRow.number)
    rows = (await connection.execute(left.limit(MAX_MESSAGES))).all()
    if not rows:
        await connection.execute(delete(MessageRow).where(is_of_it))
        await connection.execute(delete(ConversationRow).where(ConversationRow.id == conversation))
        return 1
    await _retitle(connection, conversation)
    return 0


async def _retitle(connection: AsyncConnection, conversation: str) -> None:
    """By the first text of a user that it has now, unless somebody has named it."""
    named = select(ConversationRow.is_titled).where(ConversationRow.id == conversation)
    if (await connection.execute(named)).scalar():
        return
    said = select(MessageRow.text).where(
        MessageRow.conversation == conversation, MessageRow.role == Role.USER, MessageRow.text != ""
    )
    first: str | None = (await connection.execute(said.order_by(MessageRow.number).limit(1))).scalar()
    await _set_title(connection, conversation, first or "")


# -- rows ------------------------------------------------------------------------------

_BUSY_COLUMNS = ("busy_until", "speaking_session")
_CONVERSATION = tuple(
    column for column in ConversationRow.__table__.columns if column.name not in ("row_id", "folded", *_BUSY_COLUMNS)
)
_MESSAGE = tuple(column for column in MessageRow.__table__.columns if column.name != "folded")
_ERASED = {
    "text": "",
    "folded": "",
    "session": "",
    "start": None,
    "end": None,
    "words": None,
    "language": None,
    "played": None,
    "cancelled": "erased",
    "tool_calls": None,
    "speaker": None,
}

_words = msgspec.json.Decoder(list[tuple[str, int, int, float]])
_tool_calls = msgspec.json.Decoder(list[tuple[str, str, str, str]])


def conversation_row(conversation: Conversation) -> dict[str, Any]:
    fields = {column.name: getattr(conversation, column.name) for column in _CONVERSATION}
    return {**fields, "folded": indexed_words([conversation.title]), "busy_until": None, "speaking_session": ""}


def _conversation(row: Any) -> Conversation:
    return Conversation(**row._mapping)  # noqa: SLF001 because that is SQLAlchemy's public name of it


def _message_row(conversation: str, message: StoredMessage) -> dict[str, Any]:
    fields = {column.name: getattr(message, column.name) for column in _MESSAGE if column.name != "conversation"}
    words = [(storable_text(word.text), word.start, word.end, word.probability) for word in message.words]
    calls = [
        tuple(storable_text(each) for each in (call.id, call.tool, call.arguments, call.result or ""))
        for call in message.tool_calls
    ]
    return {
        **fields,
        "conversation": conversation,
        "folded": indexed_words([message.text]),
        "role": str(message.role),
        "kind": str(message.kind),
        "words": msgspec.json.encode(words).decode() if words else None,
        "tool_calls": msgspec.json.encode(calls).decode() if calls else None,
    }


def _message(row: Any) -> StoredMessage:
    fields = dict(row._mapping)  # noqa: SLF001 likewise
    del fields["conversation"]
    words = _words.decode(fields["words"]) if fields["words"] else ()
    calls = _tool_calls.decode(fields["tool_calls"]) if fields["tool_calls"] else ()
    return StoredMessage(
        **{
            **fields,
            "role": Role(fields["role"]),
            "kind": MessageKind(fields["kind"]),
            "words": tuple(Word(*word) for word in words),
            "tool_calls": tuple(ToolCall(*call) for call in calls),
        }
    )
