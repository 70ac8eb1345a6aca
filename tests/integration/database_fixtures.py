"""Fixtures: an empty database, SQLite and PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.postgres import new_database, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path) -> str:
    """Of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    return new_database(request.getfixturevalue("postgres"))
