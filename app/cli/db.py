"""`parley db`: the version of the database's schema, upgrades and downgrades."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
import click
from sqlalchemy import URL

from app.cli.command_group import CommandGroup
from app.config import read_settings
from app.data import schema_change
from app.data.database import DATABASE_ERRORS, open_engine
from app.data.schema import VERSIONS, SchemaStep, WrongSchema, next_step
from app.data.schema_change import BASE, SchemaChange
from app.domain.errors import SettingsError

T = TypeVar("T")


@click.group(cls=CommandGroup)
def db() -> None:
    """The schema of the database of PARLEY_DATABASE_URL: its version, upgrades, downgrades.

    A server makes the tables of an empty database and upgrades an SQLite file itself; PostgreSQL is upgraded here.
    """


@db.command()
@click.argument("version", metavar="[REVISION]", default=VERSIONS[-1], type=click.Choice(VERSIONS))
def upgrade(version: str) -> None:
    """Upgrade to this revision, or to the newest. An SQLite file is copied first."""
    _report(_run(partial(schema_change.upgrade, version=version)))


@db.command()
@click.argument("version", metavar="REVISION", type=click.Choice([BASE, *VERSIONS]))
def downgrade(version: str) -> None:
    """Downgrade to this revision; `base` removes all tables. An SQLite file is copied first.

    What older revisions have no place for is deleted. Stop every server first: the next start of this release would
    upgrade an SQLite file again.
    """
    _report(_run(partial(schema_change.downgrade, version=version)))


@db.command()
def check() -> None:
    """Say whether the schema is the one that this release needs; status 1 where it is not."""
    found = _run(schema_change.current)
    if found.is_empty:
        raise WrongSchema(
            "the database is empty: `parley db upgrade` makes the tables, as the server does at its start"
        )
    if next_step(found, upgrades_itself=False) is SchemaStep.CREATE:
        raise WrongSchema("the database lacks tables; the server makes them at its start")
    click.echo(f"the schema is current: {found}", err=True)


@db.command()
def current() -> None:
    """Print the revision of the schema, or `empty`, or `older than 0001`."""
    click.echo(str(_run(schema_change.current)))


def _report(change: SchemaChange) -> None:
    if change.before.version == change.after:
        click.echo(f"the schema is {change.after} already", err=True)
        return
    click.echo(f"the schema is {change.after}; it was {change.before}", err=True)
    if change.backup:
        click.echo(f"the database of before is {change.backup}", err=True)


def _run(work: Callable[[URL], Awaitable[T]]) -> T:
    return anyio.run(_with_url, work)


async def _with_url(work: Callable[[URL], Awaitable[T]]) -> T:
    try:
        async with open_engine(read_settings().database_url) as engine:
            return await work(engine.url)
    except SettingsError:
        raise
    except DATABASE_ERRORS as error:
        raise SettingsError(f"PARLEY_DATABASE_URL: the database cannot be used: {error}") from error
