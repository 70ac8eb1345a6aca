"""HTTP server that fails on demand: a status, silence, a reset, a truncated response."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    status: int = 0
    """Answer with it; 0: do not answer at all."""

    resets: bool = False
    """The connection is reset as soon as the request has begun."""

    cuts: bool = False
    """The response announces more bytes than it has, and the connection ends."""

    body: bytes = b""


@asynccontextmanager
async def serve_faults(fault: Fault) -> AsyncIterator[str]:
    """The address of a server with this fault."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if fault.resets:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif fault.status:
                length = len(fault.body) + (1000 if fault.cuts else 0)
                ranges = f"Content-Range: bytes 0-{length - 1}/{length}\r\n" if fault.status == 206 else ""
                head = f"HTTP/1.1 {fault.status} Asked\r\nContent-Length: {length}\r\n{ranges}Connection: close\r\n\r\n"
                writer.write(head.encode() + fault.body)
                await writer.drain()
            else:
                await over.wait()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left first
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        over.set()
        server.close()
