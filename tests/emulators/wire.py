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


class Drop(StrEnum):
    """How the connections that are there are lost, while new ones get through."""

    RESET = "reset"
    """Both ends see it."""
    SERVER_HALF_OPEN = "server half-open"
    """The client's end is reset; the server's stays, and nothing comes."""
    CLIENT_HALF_OPEN = "client half-open"
    """The server's end is reset; the client's stays, and nothing comes."""
    SILENT = "silent"
    """Both ends stay, and nothing comes through: an address that changed."""


class Wire:
    """Forwards bytes both ways, or does not."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self.is_away = False
        """New connections are reset at once."""
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

    def drop(self, how: Drop) -> None:
        """Lose the connections that are there; what is on its way is lost, too."""
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()
        for end in list(self._ends):
            is_client = end in self._clients
            if how is Drop.RESET or how is (Drop.SERVER_HALF_OPEN if is_client else Drop.CLIENT_HALF_OPEN):
                end.transport.abort()

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
        self._clients.add(writer)
        flows = self._flows
        try:
            if self.is_away:
                writer.transport.abort()
                return
            await flows.wait()
            there_reader, there_writer = await asyncio.open_connection("localhost", self._to_port)
            self._ends.add(there_writer)
            try:
                await asyncio.gather(self._carry(reader, there_writer, flows), self._carry(there_reader, writer, flows))
            finally:
                self._ends.discard(there_writer)
                there_writer.close()
        except OSError:
            pass  # because the server is gone, and so is the client's connection below
        finally:
            self._ends.discard(writer)
            self._clients.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        with suppress(OSError):  # because either end may hang up
            while data := await reader.read(65_536):
                await flows.wait()
                writer.write(data)
                await writer.drain()
        await flows.wait()  # the end of one side does not come through, either
        writer.close()


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    wire = Wire(port)
    await wire._listen()
    try:
        yield wire
    finally:
        await wire._hang_up()
