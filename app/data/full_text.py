"""Full-text search of one column: an index of PostgreSQL over `tsvector`, or a table of SQLite's FTS5 beside it.

The column has folded words (`app.domain.recording.text_search`); the database keeps the index itself, and nobody writes
into it. Call `full_text()` once for each column, where its table is defined.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy.dialects.postgresql  # noqa: F401 because func.to_tsvector is defined there
from sqlalchemy import (
    DDL,
    ColumnElement,
    Index,
    Select,
    Text,
    and_,
    bindparam,
    event,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.schema import Column

from app.domain.recording.text_search import SearchTerm

_TOKENS = "tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* M* Co'\""


@dataclass(frozen=True, slots=True)
class FullTextIndex:
    """The index over `column` of a table whose integer primary key is `key`."""

    column: Column[Any]
    key: Column[Any]

    @property
    def name(self) -> str:
        return f"{self.column.table.name}_{self.column.name}_search"

    @property
    def sqlite_statements(self) -> tuple[str, ...]:
        """What makes the table of FTS5, and the triggers that keep it; they are dropped with their tables."""
        table, column, key, name = self.column.table.name, self.column.name, self.key.name, self.name
        columns = f"(rowid, {column}) VALUES (new.{key}, new.{column});"
        removed = f"({name}, rowid, {column}) VALUES ('delete', old.{key}, old.{column});"
        add, remove, trigger = (
            f"INSERT INTO {name} {columns}",
            f"INSERT INTO {name} {removed}",
            f"CREATE TRIGGER {name}",
        )
        return (
            f"CREATE VIRTUAL TABLE {name} USING fts5({column}, content='{table}', content_rowid='{key}', {_TOKENS})",
            f"{trigger}_insert AFTER INSERT ON {table} BEGIN {add} END",
            f"{trigger}_delete AFTER DELETE ON {table} BEGIN {remove} END",
            f"{trigger}_update AFTER UPDATE OF {column} ON {table} BEGIN {remove} {add} END",
        )

    def found(self, terms: Sequence[SearchTerm], dialect: str) -> Select[Any]:
        """The keys of rows that have all of these terms, of which there is at least one."""
        if dialect == "postgresql":
            return select(self.key).where(self.matches(terms, dialect))
        found: Select[Any] = select(literal_column("rowid")).select_from(text(self.name))
        matching = literal_column(self.name).op("MATCH")
        return found.where(matching(bindparam(None, fts5_query(terms), type_=Text, unique=True)))

    async def expected(self, connection: AsyncConnection, terms: Sequence[SearchTerm]) -> int:
        """How many rows PostgreSQL expects to have the words of these terms."""
        vector = f"to_tsvector('simple', {self.column.name}) @@ to_tsquery('simple', :asked)"
        query = f"SELECT {self.key.name} FROM {self.column.table.name} WHERE {vector}"  # noqa: S608 because no value is in it
        return await expected_rows(connection, query, asked=tsquery_of(terms))

    def matches(self, terms: Sequence[SearchTerm], dialect: str) -> ColumnElement[bool]:
        """The condition that a row has all of these terms.

        PostgreSQL's positions would be made of the text again for each row that has the words of a phrase; to look for
        the phrase in the text is much faster.
        """
        if dialect == "postgresql":
            asked = func.to_tsquery(text("'simple'"), tsquery_of(terms))
            vector = func.to_tsvector(text("'simple'"), self.column).bool_op("@@")(asked)
            phrases = [is_in_words(self.column, term, dialect) for term in terms if len(term.words) > 1]
            return and_(vector, *phrases)
        return self.key.in_(self.found(terms, dialect))


async def expected_rows(connection: AsyncConnection, query: str, **values: str) -> int:
    """How many rows PostgreSQL expects of this query by its statistics; to count them takes as long as to find them."""
    plan = (await connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}"), values)).scalar_one()
    return msgspec.convert(plan, list[_Explained])[0].plan.rows


class _Plan(msgspec.Struct):
    rows: int = msgspec.field(name="Plan Rows")


class _Explained(msgspec.Struct):
    plan: _Plan = msgspec.field(name="Plan")


def tsquery_of(terms: Sequence[SearchTerm]) -> str:
    """A tsquery for all words of these terms."""
    return " & ".join(lexeme for term in terms for lexeme in lexemes_of(term))


def lexemes_of(term: SearchTerm) -> Iterator[str]:
    """Of a tsquery; words are letters and digits, so that nothing in them has a meaning of its own."""
    *head, last = term.words
    for word in head:
        yield f"'{word}'"
    yield f"'{last}':*" if term.is_prefix else f"'{last}'"


def fts5_query(terms: Sequence[SearchTerm]) -> str:
    """A query of FTS5 for all of these terms."""
    return " AND ".join(f'"{" ".join(term.words)}"{"*" if term.is_prefix else ""}' for term in terms)


def is_in_words(column: Any, term: SearchTerm, dialect: str) -> ColumnElement[bool]:
    """Whether this column of folded words has the term, by reading it, without an index."""
    position = func.strpos if dialect == "postgresql" else func.instr
    words = literal(" ").op("||")(column).op("||")(" ")
    return position(words, f" {' '.join(term.words)}{'' if term.is_prefix else ' '}") > 0


async def plan_for_values(connection: AsyncConnection) -> None:
    """The best plan for a common word is the worst for a rare one: let PostgreSQL plan with the values, every time."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def full_text(table: SqlTable, column: str) -> FullTextIndex:
    """The index over this column, which is made with the table."""
    (key,) = table.primary_key.columns
    index = FullTextIndex(table.c[column], key)
    vector = func.to_tsvector(text("'simple'"), table.c[column])
    Index(index.name, vector, postgresql_using="gin").ddl_if(dialect="postgresql")
    for statement in index.sqlite_statements:
        ddl = DDL(statement).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]  # because it has no types
        event.listen(table, "after_create", ddl)
    return index
