"""Full-text search over `recordings.words`: FTS5 on SQLite, a `tsvector` with a GIN index on PostgreSQL.

Both see words that are folded already (`app.domain.recording.text_search`) and find the same recordings. PostgreSQL's
column is made of these words as the configuration `simple` would leave them, without its parser, which takes e-mail
addresses and numbers apart in its own way. Positions are left out, because a tsvector keeps 256 of a word at most; a
phrase is compared with the words themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, event, false, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import DDL
from sqlalchemy.sql.expression import TextClause

from app.data.recording_tables import RecordingRow, UtteranceRow
from app.domain.recording.text_search import SearchTerm

COMMON = 5000
"""With more matches than these SQLite walks the recordings in the order of the list instead of sorting the matches."""

Query: TypeAlias = Any
"""A Select of `recordings`, whatever its columns."""

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


async def with_terms(connection: AsyncConnection, query: Query, terms: Sequence[SearchTerm]) -> Query:
    """Narrow a query of recordings to those that contain all of these terms."""
    if not terms:
        return query.where(false())
    if connection.dialect.name == "postgresql":
        await _plan_for_values(connection)
        lexemes = " & ".join(lexeme for term in terms for lexeme in _lexemes(term))
        found = text("recordings.search @@ CAST(:lexemes AS tsquery)").bindparams(lexemes=lexemes)
        return query.where(found, *(_is_in_words(term, func.strpos) for term in terms if len(term.words) > 1))
    phrases = " AND ".join(f'"{" ".join(term.words)}"{"*" if term.is_prefix else ""}' for term in terms)
    found = text("SELECT rowid FROM recording_words WHERE recording_words MATCH :found").bindparams(found=phrases)
    if await _is_common(connection, found):
        return query.where(*(_is_in_words(term, func.instr) for term in terms))
    return _looked_up(query, found)


async def with_route(connection: AsyncConnection, query: Query, route: str) -> Query:
    """Narrow a query of recordings to those with a final of this route."""
    if connection.dialect.name == "postgresql":
        await _plan_for_values(connection)
    else:
        found = text(
            "SELECT own.id FROM recording_utterances AS final JOIN recordings AS own ON own.session = final.session "
            "WHERE final.route = :route"
        ).bindparams(route=route)
        if not await _is_common(connection, found):
            return _looked_up(query, found)
    final: Any = select(literal(1)).where(UtteranceRow.session == RecordingRow.session, UtteranceRow.route == route)
    return query.where(final.exists())


def _lexemes(term: SearchTerm) -> Iterator[str]:
    """Of a tsquery; words are letters and digits, so that nothing in them has a meaning of its own."""
    *head, last = term.words
    for word in head:
        yield f"'{word}'"
    yield f"'{last}':*" if term.is_prefix else f"'{last}'"


def _is_in_words(term: SearchTerm, position: Callable[..., ColumnElement[int]]) -> ColumnElement[bool]:
    """By reading the words; `position` is the database's function that finds a text in a text."""
    words = literal(" ").op("||")(RecordingRow.words).op("||")(" ")
    return position(words, f" {' '.join(term.words)}{'' if term.is_prefix else ' '}") > 0


async def _plan_for_values(connection: AsyncConnection) -> None:
    """The best plan for a common word is the worst for a rare one: let PostgreSQL plan with the values, every time."""
    await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


async def _is_common(connection: AsyncConnection, found: TextClause) -> bool:
    """SQLite has no statistics of words: whether there are more than COMMON of these is counted."""
    counted = text(f"SELECT count(*) FROM ({found.text} LIMIT {COMMON + 1})")  # noqa: S608 because both are constants
    count: int = (await connection.execute(counted, found.compile().params)).scalar_one()
    return count > COMMON


def _looked_up(query: Query, found: TextClause) -> Query:
    """SQLite looks each of these recordings up, and sorts them; by itself it would walk all recordings in order."""
    ids = text(f"recordings.id IN ({found.text})").bindparams(**found.compile().params)
    return query.where(ids).with_hint(RecordingRow, "NOT INDEXED", "sqlite")
