"""The database's password in a variable of its own, with characters that no address has: so compose gives it."""

import subprocess

import pytest

from app.data.database import open_database, open_engine, prepare
from app.domain.errors import SettingsError
from tests.postgres import new_database, postgres_server

pytestmark = pytest.mark.anyio
PASSWORD = "p@ss/w:rd #%?&'\"$"


@pytest.fixture(scope="module")
def url():
    """Of an empty database whose server asks for the password."""
    with postgres_server() as server:
        found = new_database(server.url)
        quoted = PASSWORD.replace("'", "''")
        statement = f"alter role parley password '{quoted}'"
        connect = ["psql", "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "parley"]
        subprocess.run([*connect, "-c", statement, "postgres"], check=True, capture_output=True)
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        server.stop()
        server.start()
        yield found


async def test_a_password_with_any_character_is_read_from_its_variable(url, monkeypatch):
    """The address has none."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)

    async with open_database(url) as engine:
        assert engine.url.password is None


async def test_a_wrong_password_is_refused(url, monkeypatch):
    """So that the first test says something."""
    monkeypatch.setenv("PGPASSWORD", "another")

    async with open_engine(url) as engine:
        with pytest.raises(SettingsError, match="password"):
            await prepare(engine)
