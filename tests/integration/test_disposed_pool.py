"""A connection that is returned after its pool was disposed of is closed, not forgotten."""

import gc
import warnings

import pytest
from sqlalchemy import text

from app.data.database import open_database, reopen, transaction

pytestmark = pytest.mark.anyio


async def test_connection_that_outlives_its_pool_is_closed(tmp_path):
    """Another task may hold one while the database is reopened."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as engine:
        async with transaction(engine) as connection:
            await connection.execute(text("SELECT 1"))
            await reopen(engine)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del connection
            gc.collect()
        async with transaction(engine) as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
