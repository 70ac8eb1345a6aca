"""Full-text search over `recordings.words`: FTS5 on SQLite, a `tsvector` with a GIN index on PostgreSQL.

Both see words that are folded already (`app.domain.recording.text_search`) and find the same recordings. PostgreSQL's
column is made of these words as the configuration `simple` would leave them, without its parser, which takes e-mail
addresses and numbers apart in its own way. Positions are left out, because a tsvector keeps 256 of a word at most; a
phrase is compared with the words themselves.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, event, false, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import DDL
from sqlalchemy.sql.expression import TextClause

from app.data.recording_tables import RecordingRow, UtteranceRow
from app.domain.recording.text_search import SearchTerm

COMMON = 2000
"""From this many matches on SQLite walks the recordings in the order of the list instead of sorting the matches."""

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


async def containing(connection: AsyncConnection, terms: Sequence[SearchTerm]) -> ColumnElement[bool]:
    """The condition that a recording contains all of these terms."""
    if not terms:
        return false()
    if connection.dialect.name == "postgresql":
        await _plan_for_values(connection)
        return and_(_vector_matches(terms), *map(_phrase_follows, terms))
    found = text("SELECT rowid FROM recording_words WHERE recording_words MATCH :words").bindparams(
        words=" AND ".join(f'"{" ".join(term.words)}"{"*" if term.is_prefix else ""}' for term in terms)
    )
    return await _among(connection, "recordings.id", found)


async def using_route(connection: AsyncConnection, route: str) -> ColumnElement[bool]:
    """The condition that a final of the recording came over this route."""
    if connection.dialect.name == "postgresql":
        await _plan_for_values(connection)
        return _has_final_over(route)
    found = text("SELECT session FROM recording_utterances WHERE route = :route").bindparams(route=route)
    return await _among(connection, "recordings.session", found, otherwise=_has_final_over(route))


def _has_final_over(route: str) -> ColumnElement[bool]:
    finals: Select[Any] = select(literal(1)).where(
        UtteranceRow.session == RecordingRow.session, UtteranceRow.route == route
    )
    return finals.exists()


def _vector_matches(terms: Sequence[SearchTerm]) -> ColumnElement[bool]:
    lexemes = (
        f"'{word}'{':*' if term.is_prefix and last else ''}"
        for term in terms
        for word, last in zip(term.words, [*([False] * (len(term.words) - 1)), True], strict=True)
    )
    return text("recordings.search @@ CAST(:lexemes AS tsquery)").bindparams(lexemes=" & ".join(lexemes))  # type: ignore[return-value]  # because a text clause is a condition, too


def _phrase_follows(term: SearchTerm) -> ColumnElement[bool]:
    """True for one word, which the vector has found."""
    if len(term.words) == 1:
        return literal(value=True)
    phrase = f" {' '.join(term.words)}{'' if term.is_prefix else ' '}"
    return func.strpos(func.concat(" ", RecordingRow.words, " "), phrase) > 0


async def _plan_for_values(connection: AsyncConnection) -> None:
    """The best plan for a common word is the worst for a rare one: let PostgreSQL plan with the values, every time."""
    await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


async def _among(
    connection: AsyncConnection, column: str, found: TextClause, otherwise: ColumnElement[bool] | None = None
) -> ColumnElement[bool]:
    """SQLite has no statistics of words: few matches are looked up and sorted; with many the list is walked.

    A plus sign keeps SQLite from looking up each of the matches.
    """
    count = text(f"SELECT count(*) FROM ({found.text} LIMIT {COMMON + 1})").bindparams(**found.compile().params)  # noqa: S608 because both parts are constants
    if (await connection.execute(count)).scalar_one() <= COMMON:
        return text(f"{column} IN ({found.text})").bindparams(**found.compile().params)  # type: ignore[return-value]  # because a text clause is a condition, too
    if otherwise is not None:
        return otherwise
    return text(f"+{column} IN ({found.text})").bindparams(**found.compile().params)  # type: ignore[return-value]  # because a text clause is a condition, too
