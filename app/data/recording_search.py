"""Full-text search over `recordings.words`: FTS5 on SQLite, a `tsvector` with a GIN index on PostgreSQL.

Both see words that are folded already (`app.domain.recording.text_search`) and find the same recordings. PostgreSQL's
column is made of these words as the configuration `simple` would leave them, without its parser, which takes e-mail
addresses and numbers apart in its own way. Positions are left out, because a tsvector keeps 256 of a word at most; a
phrase is compared with the words themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, event, false, func, literal, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import DDL

from app.data.full_text import expected_rows, fts5_query, is_in_words, plan_for_values, tsquery_of
from app.data.recording_tables import RecordingRow, UtteranceRow
from app.domain.recording.text_search import SearchTerm

COMMON = 2000
"""With more matches than these the recordings are read in the order of the list instead of sorting the matches."""

SQLITE = (
    (
        "CREATE VIRTUAL TABLE IF NOT EXISTS recording_words USING fts5(words, content='recordings', "
        "content_rowid='id', tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* M* Co'\")"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS recording_words_insert AFTER INSERT ON recordings BEGIN "
        "INSERT INTO recording_words (rowid, words) VALUES (new.id, new.words); END"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS recording_words_delete AFTER DELETE ON recordings BEGIN "
        "INSERT INTO recording_words (recording_words, rowid, words) VALUES ('delete', old.id, old.words); END"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS recording_words_update AFTER UPDATE OF words ON recordings "
        "WHEN old.words <> new.words BEGIN "
        "INSERT INTO recording_words (recording_words, rowid, words) VALUES ('delete', old.id, old.words); "
        "INSERT INTO recording_words (rowid, words) VALUES (new.id, new.words); END"
    ),
)
POSTGRESQL = (
    (
        "ALTER TABLE recordings ADD COLUMN IF NOT EXISTS search tsvector "
        "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED"
    ),
    "CREATE INDEX IF NOT EXISTS recordings_search ON recordings USING gin (search)",
)
"""What a new table gets beside its columns; a migration has these statements as they were at its version."""

for _dialect, _statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
    for _statement in _statements:
        _ddl: Any = DDL(_statement.replace("%", "%%")).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]  # because SQLAlchemy has no types there
        event.listen(RecordingRow.__table__, "after_create", _ddl)


@dataclass(slots=True)
class Narrowing:
    """Conditions of a query of recordings, and how it is to name the columns that it orders and filters by."""

    conditions: list[ColumnElement[bool]] = field(default_factory=list)
    is_looked_up: bool = False
    """Whether the conditions have the ids of a few recordings, so that no other index is to be used."""
    reads_words: bool = False
    """Whether the words of recordings are read one after the other, so that one page must not read them all."""

    def look_up(self, ids: Sequence[int]) -> None:
        """Only these recordings."""
        given = func.json_each(msgspec.json.encode(ids).decode()).table_valued("value")
        self.conditions.append(RecordingRow.id.in_(select(given.c.value)))
        self.is_looked_up = True

    def read(self, terms: Sequence[SearchTerm], dialect: str) -> None:
        """Compare these terms with the words of each recording."""
        self.conditions += [is_in_words(RecordingRow.words, term, dialect) for term in terms]
        self.reads_words = True

    def column(self, column: Any) -> ColumnElement[Any]:
        """SQLite has no statistics and would rather walk all recordings in order; a plus sign hides the column's index.

        PostgreSQL knows better by itself, and looks nothing up by an order.
        """
        return literal_column(f"+recordings.{column.key}") if self.is_looked_up else column


async def narrow(
    connection: AsyncConnection, terms: Sequence[SearchTerm] | None = None, route: str | None = None
) -> Narrowing:
    """To recordings that contain all of these terms, and have a final of this route."""
    narrowing = Narrowing()
    if terms or route:
        await plan_for_values(connection)
    if terms is not None:
        await _narrow_to_terms(connection, narrowing, terms)
    if route is not None:
        await _narrow_to_route(connection, narrowing, route)
    return narrowing


async def _narrow_to_terms(connection: AsyncConnection, narrowing: Narrowing, terms: Sequence[SearchTerm]) -> None:
    dialect = connection.dialect.name
    if not terms:
        narrowing.conditions.append(false())
    elif dialect == "postgresql":
        has_words, asked = "search @@ CAST(:asked AS tsquery)", tsquery_of(terms)
        query = f"SELECT id FROM recordings WHERE {has_words}"  # noqa: S608 because no value is in it
        if await expected_rows(connection, query, asked=asked) > COMMON:
            narrowing.read(terms, dialect)
        else:
            narrowing.conditions.append(_condition(f"recordings.{has_words}", asked=asked))
            phrases = [term for term in terms if len(term.words) > 1]
            narrowing.conditions += [is_in_words(RecordingRow.words, phrase, dialect) for phrase in phrases]
    else:
        found = "SELECT rowid FROM recording_words WHERE recording_words MATCH :phrases"
        few = await _few(connection, found, phrases=fts5_query(terms))
        if few is None:
            narrowing.read(terms, dialect)
        else:
            narrowing.look_up(few)


async def _narrow_to_route(connection: AsyncConnection, narrowing: Narrowing, route: str) -> None:
    found = (
        "SELECT own.id FROM recording_utterances AS final JOIN recordings AS own ON own.session = final.session "
        "WHERE final.route = :route"
    )
    few = None if connection.dialect.name == "postgresql" else await _few(connection, found, route=route)
    if few is None:
        final: Any = select(literal(1)).where(UtteranceRow.session == RecordingRow.session, UtteranceRow.route == route)
        narrowing.conditions.append(final.exists())
    else:
        narrowing.look_up(few)


def _condition(sql: str, **values: str) -> ColumnElement[bool]:
    condition: Any = text(sql).bindparams(**values)
    return cast(ColumnElement[bool], condition)


async def _few(connection: AsyncConnection, found: str, **values: str) -> list[int] | None:
    """The ids that this statement finds; None where there are more than COMMON.

    They are given to the query of the list, because to find them again takes as long as the first time.
    """
    ids = (await connection.execute(text(f"{found} LIMIT {COMMON + 1}"), values)).scalars().all()
    return list(ids) if len(ids) <= COMMON else None
