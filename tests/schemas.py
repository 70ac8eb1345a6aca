"""Databases of every schema version, filled with rows, and what is in them."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, MetaData, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

MOMENT = "2026-01-02T10:00:00.000+00:00"

TEXTS = {
    "record": "{}",
    "details": "{}",
    "sessions": "[]",
    "tool_calls": "[]",
    "scopes": "speak",
    "secret": "00" * 32,
    "day": "2026-01-02",
}
"""Of columns whose text must have a form, by the column's name; moments are known by theirs."""

MOMENTS = frozenset({"at", "created", "expires", "revoked", "last_used", "seen", "started", "ended", "written"})

ROWS = 3
"""How many each table gets."""

OLDEST = """
CREATE TABLE decisions (id VARCHAR NOT NULL PRIMARY KEY, at VARCHAR NOT NULL, session VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL, route VARCHAR NOT NULL, place VARCHAR NOT NULL, usd FLOAT NOT NULL, record TEXT NOT NULL);
CREATE TABLE expenses (id INTEGER NOT NULL PRIMARY KEY, at VARCHAR NOT NULL, route VARCHAR NOT NULL,
    occasion VARCHAR NOT NULL, usd FLOAT NOT NULL, session VARCHAR NOT NULL, tenant VARCHAR NOT NULL);
INSERT INTO expenses (id, at, route, occasion, usd, session, tenant)
    VALUES (1, '2026-01-02T09:00:00.000+00:00', 'aws', 'probe', 1.0, '', 'u');
"""
"""The tables of the first releases, which had neither versions nor the column `uid`."""


def make_oldest(path: Path) -> None:
    """An SQLite file of the first releases, with one expense."""
    database = sqlite3.connect(path)
    database.executescript(OLDEST)
    database.close()


async def run_in(url: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work(connection, ...)` returns; committed."""
    async with open_connection(url) as connection:
        return await connection.run_sync(work, *arguments)


async def execute(url: str, *statements: str) -> None:
    async with open_connection(url) as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


@asynccontextmanager
async def open_connection(url: str):
    async with create_async_engine(url, poolclass=NullPool).begin() as connection:
        yield connection


def reflected(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection)
    for table in list(metadata.tables.values()):
        if table.name == "alembic_version" or is_of_text_search(table.name, "table"):
            metadata.remove(table)
    return metadata


def is_of_text_search(name: str, kind: str) -> bool:
    """Whether the database fills it by itself: the tables of FTS5, or the generated column and its index."""
    if kind == "table":
        return name.startswith("recording_words") or "_search" in name
    return (kind, name) == ("column", "search") or (kind == "index" and name.endswith("_search"))


def fill(connection: Connection) -> None:
    """Rows for every table that is there, each value of a column another; foreign keys refer to rows."""
    for table in reflected(connection).sorted_tables:
        columns = [column for column in table.c if column.computed is None]
        connection.execute(
            table.insert(), [{column.name: _value(column, number) for column in columns} for number in range(ROWS)]
        )


def rows_of(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every row by table, in a stable order."""
    return {
        table.name: sorted((dict(row._mapping) for row in connection.execute(sa.select(table))), key=repr)
        for table in reflected(connection).sorted_tables
    }


def shape(connection: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table, in words that compare; the order of columns does not count."""
    inspector = sa.inspect(connection)
    return {
        "text search": _text_search(connection),
        **{
            name: {
                "columns": sorted(_column(connection, column) for column in inspector.get_columns(name)),
                "primary key": inspector.get_pk_constraint(name)["constrained_columns"],
                "unique": sorted(unique["column_names"] for unique in inspector.get_unique_constraints(name)),
                "foreign keys": sorted(map(repr, inspector.get_foreign_keys(name))),
                "checks": sorted(map(repr, inspector.get_check_constraints(name))),
                "indexes": sorted(map(repr, inspector.get_indexes(name))),
            }
            for name in inspector.get_table_names()
            if not is_of_text_search(name, "table")
        },
    }


def _text_search(connection: Connection) -> Sequence[str]:
    """How SQLite's tables and triggers of it were made."""
    if connection.dialect.name != "sqlite":
        return ()
    made = "SELECT sql FROM sqlite_master WHERE name LIKE 'recording_words%' OR name LIKE '%!_search%' ESCAPE '!'"
    return sorted(filter(None, connection.scalars(sa.text(made))))


def _column(connection: Connection, column: dict[str, Any]) -> Sequence[Any]:
    type_ = column["type"].compile(dialect=connection.dialect)
    return column["name"], type_, column["nullable"], str(column["default"]), column.get("autoincrement") is True


def _value(column: sa.Column[Any], number: int) -> Any:
    """Of a type that fits; a foreign key's is that of the column it refers to."""
    for key in column.foreign_keys:
        return _value(key.column, number)
    kind = column.type.python_type
    if kind is not str:
        return kind(number + 1)
    if column.name in MOMENTS:
        return MOMENT
    return TEXTS.get(column.name, f"{column.name}-{number}")
