"""A name server on a loopback port, for programs that resolve names again and again."""

import ipaddress
import struct
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager

import anyio


def answer(query: bytes, addresses: MutableMapping[str, str]) -> bytes:
    """The reply to one query for one name: its IPv4 address, valid for a second; or that there is no such name."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12 : at + 5]
    address = addresses.get(".".join(labels))
    flags = 0x8180 if address else 0x8183
    head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if address else 0, 0, 0)
    if not address:
        return head + question
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + ipaddress.IPv4Address(address).packed
    return head + question + record


@asynccontextmanager
async def resolver(addresses: dict[str, str]) -> AsyncGenerator[tuple[dict[str, str], str], None]:
    """The addresses by name, which may be changed, and where the name server listens."""
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.1") as listening,
        anyio.create_task_group() as tasks,
    ):

        async def serve() -> None:
            async for query, sender in listening:
                await listening.sendto(answer(query, addresses), *sender)

        tasks.start_soon(serve)
        host, port = listening.extra(anyio.abc.SocketAttribute.local_address)[:2]
        yield addresses, f"{host}:{port}"
        tasks.cancel_scope.cancel()
