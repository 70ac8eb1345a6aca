"""Version of the database's schema: which one there is, which one this program needs, and what follows from that."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, inspect, select
from sqlalchemy import Table as SqlTable

import app.data.recording_search  # noqa: F401 because its tables belong to the metadata, too
from app.data.tables import Table
from app.domain.errors import SettingsError

VERSIONS = tuple(
    sorted(path.name[:4] for path in Path(__file__).parent.glob("migrations/versions/[0-9][0-9][0-9][0-9]_*.py"))
)
"""Of every migration, the oldest first: "0001", "0002", ..."""

TABLES = frozenset(Table.metadata.tables)

_VERSION_TABLE = SqlTable(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic makes it. It is read here, because Alembic takes half a second to import, and most starts need no more."""


class WrongSchema(SettingsError):
    """This program cannot work with the database's schema. The message says which command mends that."""


class SchemaStep(StrEnum):
    """What a start does to the schema."""

    KEEP = "keep"
    CREATE = "create"
    """Make the tables that are missing, as the newest version has them."""
    UPGRADE = "upgrade"


@dataclass(frozen=True, slots=True)
class SchemaState:
    version: str | None
    """None: the database is empty, or of a release that had no versions."""
    tables: frozenset[str]
    """Those of this program's tables that are there."""

    @property
    def is_empty(self) -> bool:
        return self.version is None and not self.tables

    def __str__(self) -> str:
        return "empty" if self.is_empty else self.version or "older than 0001"


def next_step(found: SchemaState, *, upgrades_itself: bool, versions: Sequence[str] = VERSIONS) -> SchemaStep:
    """What a start has to do. Raises WrongSchema: too new, unknown, or old where a command has to upgrade it."""
    if found.is_empty:
        return SchemaStep.CREATE
    require_known(found, versions)
    if found.version == versions[-1]:
        return SchemaStep.KEEP if found.tables >= TABLES else SchemaStep.CREATE
    if upgrades_itself:
        return SchemaStep.UPGRADE
    raise WrongSchema(
        f"PARLEY_DATABASE_URL: the database's schema is {found}, this program needs {versions[-1]}: "
        "make a backup, then run `parley db upgrade`"
    )


def require_known(found: SchemaState, versions: Sequence[str] = VERSIONS) -> None:
    """Raises WrongSchema where a newer release, or another program, has made the schema."""
    if found.version is None or found.version in versions:
        return
    if re.fullmatch(r"\d{4}", found.version):
        raise WrongSchema(
            f"PARLEY_DATABASE_URL: the database's schema is {found.version}, of a newer release; this one knows it up "
            f"to {versions[-1]}: start that release, or run its `parley db downgrade {versions[-1]}`"
        )
    raise WrongSchema(
        f"PARLEY_DATABASE_URL: the database's schema is {found.version!r}, which is no version of Parley's: "
        "name a database that no other program uses"
    )


def read_schema(connection: Connection) -> SchemaState:
    there = frozenset(inspect(connection).get_table_names())
    version = connection.execute(select(_VERSION_TABLE)).scalar() if _VERSION_TABLE.name in there else None
    return SchemaState(version, TABLES & there)


def create_schema(connection: Connection) -> None:
    """Make missing tables and write the newest version, in the transaction of this connection."""
    Table.metadata.create_all(connection)
    _VERSION_TABLE.create(connection, checkfirst=True)
    connection.execute(_VERSION_TABLE.delete())
    connection.execute(_VERSION_TABLE.insert().values(version_num=VERSIONS[-1]))
