"""A TCP proxy to a local server that can be cut and restored, to test connection failures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum


class Cut(StrEnum):
    """What a network does where it no longer carries anything."""

    SILENT = "silent"
    """Connections stay, new ones are made, and nothing ever comes through: a router that lost its line."""
    REFUSED = "refused"
    """Connections are reset, and new ones refused: a machine that went down."""


class Wire:
    """Forwards bytes both ways, or does not."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def cut(self, how: Cut) -> None:
        self._flows.clear()
        if how is Cut.REFUSED:
            await self._hang_up()

    async def mend(self) -> None:
        """New connections get through; those that were silent are reset, as by a router that forgot them."""
        await self._hang_up()
        self._flows.set()
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "localhost", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._ends:
            end.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._ends.add(writer)
        try:
            await self._flows.wait()
            there_reader, there_writer = await asyncio.open_connection("localhost", self._to_port)
            self._ends.add(there_writer)
            try:
                await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))
            finally:
                self._ends.discard(there_writer)
                there_writer.close()
        except OSError:
            pass  # because the server is gone, and so is the client's connection below
        finally:
            self._ends.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # because either end may hang up
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    wire = Wire(port)
    await wire._listen()
    try:
        yield wire
    finally:
        await wire._hang_up()
