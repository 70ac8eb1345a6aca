"""Conversations in which something was said: by the full-text index, or, for common words, by reading the newest."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.data.full_text import is_in_words, plan_for_values
from app.data.tables import MESSAGE_TEXTS, TITLES, ConversationRow, MessageRow
from app.domain.recording.text_search import SearchTerm

COMMON = 2000
"""With more matching messages than these the newest conversations are read first: nearly all of them have one."""
PAGES_READ = 2
"""How many pages of conversations are read before the index is asked after all."""


async def search(
    connection: AsyncConnection, query: Select[Any], terms: Sequence[SearchTerm], limit: int
) -> Sequence[Any]:
    """The first `limit` rows of the query whose title, or one of whose messages, has all of these terms.

    Both ways find the same; the index takes time in proportion to the messages of all tenants that match.
    """
    dialect = connection.dialect.name
    await plan_for_values(connection)
    if await _is_common(connection, terms):
        newest = query.with_only_columns(ConversationRow.id).limit(PAGES_READ * limit)
        read = (await connection.execute(newest)).scalars().all()
        matching = query.where(ConversationRow.id.in_(read), _is_read(terms, dialect))
        rows: Sequence[Any] = (await connection.execute(matching.limit(limit))).all()
        if len(rows) == limit or len(read) < PAGES_READ * limit:
            return rows
    with_message = select(MessageRow.conversation).where(MESSAGE_TEXTS.matches(terms, dialect))
    matching = query.where(or_(TITLES.matches(terms, dialect), ConversationRow.id.in_(with_message)))
    return list(await connection.execute(matching.limit(limit)))


async def _is_common(connection: AsyncConnection, terms: Sequence[SearchTerm]) -> bool:
    """Whether more than COMMON messages match, or PostgreSQL expects so."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL enable_seqscan = off"))  # it would read the table for a common word
        return await MESSAGE_TEXTS.expected(connection, terms) > COMMON
    found = MESSAGE_TEXTS.found(terms, connection.dialect.name).limit(COMMON + 1).subquery()
    count: int = (await connection.execute(select(func.count()).select_from(found))).scalar_one()
    return count > COMMON


def _is_read(terms: Sequence[SearchTerm], dialect: str) -> ColumnElement[bool]:
    """By reading titles and messages; the offset keeps PostgreSQL from reading the messages of all conversations."""
    in_message = [is_in_words(MessageRow.folded, term, dialect) for term in terms]
    own = MessageRow.conversation == ConversationRow.id
    message: Any = select(literal(1)).where(own, *in_message).offset(0)
    in_title = [is_in_words(ConversationRow.folded, term, dialect) for term in terms]
    return or_(and_(*in_title), message.exists())
