"""`parley db`: upgrade, downgrade, check and current, on SQLite and on PostgreSQL."""

import pytest
from anyio import to_thread
from click.testing import CliRunner
from sqlalchemy import make_url

from app.cli import parley
from app.data.database import open_database
from app.data.schema import VERSIONS, WrongSchema
from app.data.schema_change import BASE, upgrade
from app.domain.errors import SettingsError
from tests.schemas import execute, fill, make_oldest, rows_of, run_in

pytestmark = pytest.mark.anyio
NEWEST = VERSIONS[-1]


@pytest.fixture
def db(url, monkeypatch):
    """Run `parley db ARGUMENTS` on the database of `url`."""
    monkeypatch.setenv("PARLEY_DATABASE_URL", url)

    async def run(*arguments: str):
        return await to_thread.run_sync(CliRunner().invoke, parley, ["db", *arguments])

    return run


async def test_upgrade_makes_the_newest_schema_that_check_and_current_name(db, url):
    made = await db("upgrade")
    again = await db("upgrade")
    check, current = await db("check"), await db("current")

    assert [result.exit_code for result in (made, again, check, current)] == [0, 0, 0, 0]
    assert f"the schema is {NEWEST}; it was empty" in made.stderr
    assert f"the schema is {NEWEST} already" in again.stderr
    assert f"the schema is current: {NEWEST}" in check.stderr
    assert current.stdout == f"{NEWEST}\n"
    async with open_database(url):
        pass


async def test_check_of_an_empty_database_fails_and_makes_nothing(db, url, tmp_path):
    result = await db("check")

    assert result.exit_code == 1
    assert "the database is empty: `parley db upgrade` makes the tables" in str(result.exception)
    assert (await db("current")).stdout == "empty\n"
    assert not list(tmp_path.iterdir())


async def test_check_of_an_old_schema_fails_and_names_the_command_that_mends_it(db, url):
    await upgrade(make_url(url), "0001")
    await execute(url, "DROP TABLE alembic_version")

    check, current = await db("check"), await db("current")
    await db("upgrade")
    later = await db("check")

    assert check.exit_code == 1
    assert isinstance(check.exception, WrongSchema)
    assert "older than 0001" in str(check.exception)
    assert "run `parley db upgrade`" in str(check.exception)
    assert current.stdout == "older than 0001\n"
    assert later.exit_code == 0


async def test_check_of_a_newer_schema_fails_and_names_the_way_back(db, url):
    await upgrade(make_url(url))
    await execute(url, "UPDATE alembic_version SET version_num = '9999'")

    for command in (["check"], ["upgrade"], ["downgrade", BASE]):
        result = await db(*command)
        assert result.exit_code == 1
        assert "schema is 9999, of a newer release" in str(result.exception)


async def test_check_fails_where_a_table_is_missing(db, url):
    await upgrade(make_url(url))
    await execute(url, "DROP TABLE spend")

    result = await db("check")

    assert result.exit_code == 1
    assert "lacks tables" in str(result.exception)


async def test_downgrade_to_base_removes_all_and_keeps_a_copy_of_an_sqlite_file(db, url, tmp_path):
    await upgrade(make_url(url))
    await run_in(url, fill)
    filled = await run_in(url, rows_of)

    result = await db("downgrade", BASE)

    assert result.exit_code == 0
    assert await run_in(url, rows_of) == {}
    if url.startswith("sqlite"):
        kept = tmp_path / f"parley.db.before-{BASE}"
        assert f"the database of before is {kept}" in result.stderr
        assert await run_in(f"sqlite+aiosqlite:///{kept}", rows_of) == filled


async def test_downgrade_of_a_database_without_versions_is_refused(db, url):
    await upgrade(make_url(url), "0001")
    await execute(url, "DROP TABLE alembic_version")

    result = await db("downgrade", BASE)

    assert result.exit_code == 1
    assert "there is no way back from it" in str(result.exception)


async def test_unknown_revision_is_a_usage_error_that_names_the_known_ones(db):
    result = await db("upgrade", "0000")

    assert result.exit_code == 2
    assert "'0000' is not" in result.stderr
    assert NEWEST in result.stderr


async def test_upgrade_of_an_sqlite_file_names_its_backup(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PARLEY_DATABASE_URL", raising=False)
    make_oldest(tmp_path / "parley.db")

    result = await to_thread.run_sync(CliRunner().invoke, parley, ["db", "upgrade"])

    assert result.exit_code == 0
    assert f"the database of before is parley.db.before-{NEWEST}" in result.stderr
    assert (tmp_path / f"parley.db.before-{NEWEST}").exists()


@pytest.mark.parametrize("command", ["upgrade", "check", "current"])
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite+aiosqlite:////no/such/folder/parley.db", "the folder /no/such/folder does not exist"),
        ("mysql://me:secret@db/parley", "mysql is not supported; sqlite+aiosqlite and postgresql+asyncpg are"),
    ],
)
async def test_database_that_cannot_be_opened_is_one_sentence(monkeypatch, command, url, sentence):
    monkeypatch.setenv("PARLEY_DATABASE_URL", url)

    result = await to_thread.run_sync(CliRunner().invoke, parley, ["db", command])

    assert (result.exit_code, type(result.exception)) == (1, SettingsError)
    assert str(result.exception).startswith("PARLEY_DATABASE_URL: ")
    assert str(result.exception).endswith(sentence)
    assert "secret" not in str(result.exception)
