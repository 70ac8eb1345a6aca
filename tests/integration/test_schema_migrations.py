"""Migrations of the schema: to the tables of today, there and back with rows; what a start does with each version."""

import sqlite3
import sys
import warnings
from contextlib import AsyncExitStack, closing
from pathlib import Path
from random import randrange

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url, text
from structlog.testing import capture_logs

from app.data.database import DATABASE_ERRORS, open_database, reopen
from app.data.schema import VERSIONS, SchemaState, WrongSchema, read_schema
from app.data.schema_change import BASE, current, downgrade, upgrade
from app.data.tables import Table
from app.domain.errors import SettingsError
from tests.postgres import new_database
from tests.schemas import ROWS, execute, fill, is_of_text_search, make_oldest, reflected, rows_of, run_in, shape

pytestmark = pytest.mark.anyio
NEWEST = VERSIONS[-1]


def differences(connection) -> list:
    """Beside what the full-text search has, which SQLAlchemy does not know (`app/data/recording_search.py`)."""
    options = {"include_object": lambda _, name, kind, *__: not is_of_text_search(name, kind)}
    with warnings.catch_warnings():  # an index by an expression is PostgreSQL's, and not made on SQLite
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")
        return compare_metadata(MigrationContext.configure(connection, opts=options), Table.metadata)


async def opened(url: str) -> None:
    """Open and close it, as a start does."""
    async with open_database(url):
        pass


# -- one schema, however it was made ---------------------------------------------------------


def test_versions_are_sequence_numbers_without_a_gap_each_based_on_the_one_before():
    files = sorted((Path(__file__).parents[2] / "app/data/migrations/versions").glob("[0-9]*.py"))

    assert [path.name[:4] for path in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    for number, path in enumerate(files, 1):
        before = f'"{number - 1:04}"' if number > 1 else "None"
        assert f'\nrevision = "{number:04}"\ndown_revision = {before}\n' in path.read_text("utf-8")


async def test_migrations_make_the_tables_of_the_program(url):
    """Alembic finds no difference."""
    await upgrade(make_url(url))

    assert await run_in(url, differences) == []


async def test_a_new_database_is_what_the_migrations_make(url, tmp_path, request):
    """Columns with types, collations and defaults, keys, indexes, the version too."""
    other = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    if not url.startswith("sqlite"):
        other = new_database(request.getfixturevalue("postgres"))

    await opened(url)
    await upgrade(make_url(other))

    assert await run_in(url, shape) == await run_in(other, shape)
    assert await run_in(url, read_schema) == await run_in(other, read_schema)


# -- there and back, with rows ---------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_migration_goes_back_and_there_again_and_keeps_rows(url, version):
    """What is in tables and columns that both versions have is the same before and after each step."""
    database, before = make_url(url), VERSIONS[VERSIONS.index(version) - 1] if version != VERSIONS[0] else BASE
    await upgrade(database, version)
    made = await run_in(url, shape)
    await run_in(url, fill)
    filled = await run_in(url, rows_of)

    await downgrade(database, before)
    went_back = await run_in(url, rows_of)
    await upgrade(database, version)
    again = await run_in(url, rows_of)

    assert all(len(rows) == ROWS for rows in filled.values())
    assert set(went_back) <= set(filled) == set(again)
    for name, rows in went_back.items():
        for other in (filled, again):
            both = set(rows[0]) & set(other[name][0])
            assert both
            assert [{key: row[key] for key in both} for row in rows] == [
                {key: row[key] for key in both} for row in other[name]
            ]
    assert await run_in(url, shape) == made


async def test_downgrade_to_base_leaves_no_table_and_the_next_start_makes_them(url):
    await opened(url)

    await downgrade(make_url(url), BASE)

    assert not (await run_in(url, reflected)).tables
    await opened(url)
    assert await run_in(url, differences) == []


# -- what a start does -----------------------------------------------------------------------


async def test_start_upgrades_the_oldest_sqlite_file_keeps_its_rows_and_says_so(tmp_path):
    path = tmp_path / "parley.db"
    url = f"sqlite+aiosqlite:///{path}"
    make_oldest(path)

    with capture_logs() as logs:
        await opened(url)
        await opened(url)

    kept = f"{path}.before-{NEWEST}"
    assert logs == [
        {
            "event": "database upgraded",
            "log_level": "warning",
            "before": "older than 0001",
            "after": NEWEST,
            "backup": kept,
        }
    ]
    assert await run_in(url, differences) == []
    assert [row["usd"] for row in (await run_in(url, rows_of))["expenses"]] == [1.0]


async def test_start_takes_a_database_without_versions_along(url):
    """All tables of the last release without versions: SQLite at once, PostgreSQL by the command."""
    await upgrade(make_url(url), "0001")
    await run_in(url, fill)
    filled = await run_in(url, rows_of)
    await execute(url, "DROP TABLE alembic_version")

    if not url.startswith("sqlite"):
        with pytest.raises(WrongSchema, match=r"older than 0001, this program needs .* run `parley db upgrade`"):
            await opened(url)
        await upgrade(make_url(url))
    await opened(url)

    found = await run_in(url, rows_of)
    assert {name: len(found[name]) for name in filled} == dict.fromkeys(filled, ROWS)
    assert await run_in(url, differences) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_old_schema_is_upgraded_by_a_start_on_sqlite_and_refused_on_postgresql(url, version):
    await upgrade(make_url(url), version)

    if url.startswith("sqlite") or version == NEWEST:
        await opened(url)
        assert await run_in(url, differences) == []
    else:
        with pytest.raises(WrongSchema, match=f"schema is {version}, this program needs {NEWEST}.*parley db upgrade"):
            await opened(url)
        assert (await run_in(url, read_schema)).version == version


@pytest.mark.parametrize(("version", "reason"), [("9999", "of a newer release"), ("ae1027a6acf", "no version of Parl")])
async def test_newer_or_unknown_schema_is_refused_and_left_alone(url, version, reason):
    await opened(url)
    await execute(url, f"UPDATE alembic_version SET version_num = '{version}'")

    with pytest.raises(SettingsError, match=reason):
        await opened(url)
    with pytest.raises(SettingsError, match=reason):
        await upgrade(make_url(url))

    assert (await run_in(url, read_schema)).version == version


async def test_upgrade_that_fails_changes_nothing(url):
    """The first steps of 0001 succeed here, the index on a column that is missing does not."""
    await execute(url, "CREATE TABLE decisions (id VARCHAR PRIMARY KEY, at VARCHAR)")
    before = await run_in(url, shape)

    with pytest.raises(DATABASE_ERRORS, match="session"):
        await upgrade(make_url(url))

    assert await run_in(url, shape) == before


async def test_sqlite_in_memory_is_refused():
    """Each connection would have a database of its own."""
    with pytest.raises(SettingsError, match="SQLite needs the name of a file"):
        await opened("sqlite+aiosqlite://")


async def test_start_makes_a_table_that_is_missing(url):
    await opened(url)
    await execute(url, "DROP TABLE spend")

    await opened(url)

    assert await run_in(url, differences) == []


async def test_reopen_with_another_schema_is_a_database_error_that_is_logged_once(url):
    """So that a service which started without its database goes on waiting for it."""
    async with open_database(url) as database:
        version = str(randrange(5000, 9999))  # because what was logged before in this process is not logged again
        await execute(url, f"UPDATE alembic_version SET version_num = '{version}'")
        with capture_logs() as logs:
            for _ in range(2):
                with pytest.raises(WrongSchema):
                    await reopen(database)

    (line,) = logs
    assert f"schema is {version}, of a newer release" in line["event"]
    assert issubclass(WrongSchema, DATABASE_ERRORS)


async def test_start_of_a_database_that_is_up_to_date_loads_no_alembic(tmp_path):
    """Nor does the first start."""
    script = (
        "import sys, anyio\n"
        "from app.data.database import open_database\n"
        "async def opened():\n"
        f"    async with open_database('sqlite+aiosqlite:///{tmp_path}/parley.db'): pass\n"
        "anyio.run(opened); anyio.run(opened)\n"
        "assert 'alembic' not in sys.modules"
    )

    result = await anyio.run_process([sys.executable, "-c", script], check=False)

    assert result.returncode == 0, result.stderr


# -- backups of SQLite -----------------------------------------------------------------------


async def test_backup_has_the_rows_of_before_also_those_of_the_write_ahead_log(tmp_path):
    """And the permissions of the file."""
    path = tmp_path / "parley.db"
    make_oldest(path)
    path.chmod(0o640)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE expenses SET usd = 7")
        assert (tmp_path / "parley.db-wal").stat().st_size
        await opened(f"sqlite+aiosqlite:///{path}")

    kept = tmp_path / f"parley.db.before-{NEWEST}"
    with closing(sqlite3.connect(kept)) as backup:
        assert backup.execute("SELECT usd FROM expenses").fetchall() == [(7.0,)]
        assert backup.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone() == (0,)
    assert kept.stat().st_mode & 0o777 == 0o640
    assert not list(tmp_path.glob("*.part*"))


async def test_new_file_has_no_backup(tmp_path):
    await opened(f"sqlite+aiosqlite:///{tmp_path}/parley.db")

    assert [path.name for path in tmp_path.iterdir()] == ["parley.db"]


async def test_nothing_changes_where_the_backup_cannot_be_written(tmp_path):
    path = tmp_path / "parley.db"
    make_oldest(path)
    (tmp_path / f"parley.db.before-{NEWEST}").mkdir()

    with pytest.raises(SettingsError, match="cannot be opened"):
        await opened(f"sqlite+aiosqlite:///{path}")

    assert await current(make_url(f"sqlite+aiosqlite:///{path}")) == SchemaState(
        None, frozenset({"decisions", "expenses"})
    )


# -- several processes -----------------------------------------------------------------------


async def start_at_once(url: str, processes: int = 3) -> None:
    """So many processes open this database at the same moment; each succeeds."""
    script = (
        "import sys, anyio\n"
        "from app.data.database import open_database\n"
        "import app.data.migration\n"
        "async def opened():\n"
        f"    async with open_database({url!r}): pass\n"
        "print('ready', flush=True); sys.stdin.readline(); anyio.run(opened)\n"
    )
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(await anyio.open_process([sys.executable, "-c", script]))
            for _ in range(processes)
        ]
        for process in running:
            await process.stdout.receive()
        for process in running:
            await process.stdin.send(b"\n")
        errors = [b"".join([part async for part in process.stderr]).decode() for process in running]
        assert [await process.wait() for process in running] == [0] * processes, errors


async def test_processes_that_start_at_once_on_an_empty_database_make_it_once(url):
    await start_at_once(url)

    assert await run_in(url, differences) == []
    assert (await run_in(url, read_schema)).version == NEWEST


async def test_processes_that_start_at_once_on_an_old_sqlite_file_upgrade_it_once(tmp_path):
    path = tmp_path / "parley.db"
    make_oldest(path)

    await start_at_once(f"sqlite+aiosqlite:///{path}")

    assert await run_in(f"sqlite+aiosqlite:///{path}", differences) == []
    with closing(sqlite3.connect(f"{path}.before-{NEWEST}")) as backup:
        assert backup.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchall() == []


async def test_start_waits_for_a_process_that_upgrades(tmp_path):
    """It holds SQLite's lock, so that even the version cannot be read."""
    path = tmp_path / "parley.db"
    make_oldest(path)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(opened, f"sqlite+aiosqlite:///{path}")
            await anyio.sleep(2)  # twice as long as a reader waits
            await anyio.to_thread.run_sync(other.execute, "ROLLBACK")

    assert await run_in(f"sqlite+aiosqlite:///{path}", differences) == []


async def test_upgrades_of_one_postgresql_wait_for_each_other(postgres):
    url = new_database(postgres)
    await execute(url, "CREATE TABLE decisions (id VARCHAR PRIMARY KEY, at VARCHAR, session VARCHAR)")
    done = []

    async def upgraded() -> None:
        done.append((await upgrade(make_url(url))).before.version)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(upgraded)

    assert sorted(done, key=str) == [NEWEST, NEWEST, None]
    async with open_database(url) as database, database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar() == 1
