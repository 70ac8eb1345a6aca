"""A connection that is returned after its pool was disposed of is closed, not forgotten."""

import gc
import warnings

import anyio
import pytest
from sqlalchemy import event, text
from sqlalchemy.util import await_only

from app.data.database import open_database, open_engine, reopen, transaction

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


async def test_connection_that_is_being_made_while_its_pool_is_disposed_of_is_closed(url):
    """One task has waited for the database, which comes back; another one reopens it at that moment."""
    begun, released, opened, closed = anyio.Event(), anyio.Event(), list[int](), list[int]()

    def wait_once(*_: object) -> None:
        if not begun.is_set():
            begun.set()
            await_only(released.wait())

    async with open_engine(url) as engine:
        event.listen(engine.sync_engine, "do_connect", wait_once)
        event.listen(engine.sync_engine, "connect", lambda connection, _: opened.append(id(connection)))
        event.listen(engine.sync_engine, "close", lambda connection, _: closed.append(id(connection)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(select_one, engine)
            await begun.wait()
            await reopen(engine)
            released.set()
        left, in_pool = len(opened) - len(closed), engine.sync_engine.pool.checkedin()
        await select_one(engine)

    assert left == in_pool, "a connection is neither closed nor in the pool that is in use"
    assert len(opened) == len(closed) >= 2


async def select_one(engine) -> None:
    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
