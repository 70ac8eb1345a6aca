"""Emulator of a receiver of the earlier deployments: a pickled list in, a pickled text out, with faults on demand."""

import asyncio
import json
import pickle
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """How the receiver fails; without any of these it does not."""

    raw: bytes | None = None
    """Sent as it is, in place of the whole answer."""
    goes_silent: bool = False
    """Behind `raw`, or the question, nothing more comes, and the connection stays."""
    resets: bool = False
    """The connection is reset once the question has come."""
    drip_s: float = 0.0
    """The answer comes byte by byte, so far apart."""


@dataclass(slots=True)
class ReceiverEmulator:
    loads: Any
    dumps: Any
    port: int = 0
    fault: Fault = Fault()
    questions: list[Any] = field(default_factory=list)
    """What each connection sent."""
    most_at_once: int = 0
    closed_by_client: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    connected: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self.most_at_once = max(self.most_at_once, self.connected)
        try:
            size = int.from_bytes(await reader.readexactly(8), "big")
            items = self.loads(await reader.readexactly(size))
            self.questions.append(items)
            await self.may_answer.wait()
            await self.answer(f"Generated Response to: {items[-1]['text']}", reader, writer)
        except asyncio.IncompleteReadError:
            pass  # because somebody only looked whether a receiver listens
        except ConnectionError:
            self.closed_by_client.set()
        finally:
            self.connected -= 1
            writer.close()

    async def answer(self, text: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault, body = self.fault, self.dumps(text)
        if fault.resets:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return
        data = len(body).to_bytes(8, "big") + body if fault.raw is None else fault.raw
        if fault.goes_silent and fault.raw is None:
            data = b""
        for piece in [data] if not fault.drip_s else [data[at : at + 1] for at in range(len(data))]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(fault.drip_s)
        if fault.goes_silent:
            assert await reader.read() == b""
            self.closed_by_client.set()


@asynccontextmanager
async def serve_receiver(fault: Fault = Fault(), *, framing: str = "pickle") -> AsyncIterator[ReceiverEmulator]:
    """A receiver on a free port of the loopback interface."""
    loads, dumps = (pickle.loads, pickle.dumps) if framing == "pickle" else (json.loads, _json)
    emulator = ReceiverEmulator(loads, dumps, fault=fault)
    emulator.may_answer.set()
    server = await asyncio.start_server(emulator.serve, "127.0.0.1", 0)
    async with server:
        emulator.port = server.sockets[0].getsockname()[1]
        yield emulator


def _json(text: str) -> bytes:
    return json.dumps(text).encode()
