"""What each protocol's adapter costs over Parley's own socket: first draft, final, first audio of the reply.

All clients of a round speak at once, 20 ms a packet, each at the rate of its protocol, and so does a client of Parley's
own socket at each of these rates. The engines of the server answer at once, so that times differ by the adapters alone.
"""

import logging
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec
import numpy as np
import structlog
from anyio.streams.buffered import BufferedByteReceiveStream
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from app.domain.telephony import TwilioAccount
from app.wyoming.server import serve_wyoming
from bench.adapter_clients import CLIENTS, TWILIO_TOKEN, Event, SocketClient, parley, parley_ended
from bench.protocols.wyoming import FORMAT, open_wyoming
from bench.report import percentile
from tests.serving import scripted_service, served

PACKET_S = 0.02
SILENT_PACKETS, SPOKEN_PACKETS = 10, 40
TIMEOUT_S = 5.0
WYOMING = "Wyoming"
ENDED = "ended"
"""The reference whose client ends the audio."""
GOAL_MS = 5.0

Times = dict[Event, float]
"""Seconds from the first packet to the first event of each kind."""


# -- The server ----------------------------------------------------------------


async def serve() -> None:
    """Print the port of the sockets and that of Wyoming; serve until this process is stopped."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    service = scripted_service(max_sessions=64, telephony=TwilioAccount(TWILIO_TOKEN, "https://example.org", "default"))
    async with served(service) as address, anyio.create_task_group() as tasks:

        def on_listening(port: int) -> None:
            print(address.rpartition(":")[2], port, flush=True)

        tasks.start_soon(partial(serve_wyoming, service, "127.0.0.1", 0, on_listening=on_listening))


@asynccontextmanager
async def _server() -> AsyncGenerator[tuple[str, str], None]:
    """Its addresses: of the sockets and of Wyoming."""
    command = [sys.executable, "-c", "import anyio; from bench.adapters import serve; anyio.run(serve)"]
    async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        ports = (await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 100)).split()
        try:
            yield f"ws://127.0.0.1:{int(ports[0])}", f"127.0.0.1:{int(ports[1])}"
        finally:
            process.kill()


# -- One client ----------------------------------------------------------------


async def _packets(rate: int, began: float, *, ends: bool) -> AsyncGenerator[bytes, None]:
    """PCM16 in real time: silence, speech, and silence until the caller has all it waits for; none where `ends`."""
    samples = round(rate * PACKET_S)
    number = 0
    while not (ends and number == SILENT_PACKETS + SPOKEN_PACKETS):
        is_speech = SILENT_PACKETS <= number < SILENT_PACKETS + SPOKEN_PACKETS
        await anyio.sleep_until(began + number * PACKET_S)
        yield np.full(samples, 1000 * is_speech, "<i2").tobytes()
        number += 1


async def _play_socket(client: SocketClient, url: str, began: float, times: Times) -> None:
    async with connect(url + client.path, max_size=None, compression=None) as ws:
        for frame in client.opening():
            await ws.send(frame)
        await anyio.sleep_until(began)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_speak, client, ws, began)
            async for frame in ws:
                event = client.binary if isinstance(frame, bytes) else client.event_of(msgspec.json.decode(frame))
                if event is not None:
                    times.setdefault(event, anyio.current_time() - began)
                if all(each in times for each in client.expects):
                    break
            tasks.cancel_scope.cancel()


async def _speak(client: SocketClient, ws: ClientConnection, began: float) -> None:
    async for pcm in _packets(client.rate, began, ends=client.ending is not None):
        await ws.send(client.frame(pcm))
    if client.ending is not None:
        await ws.send(client.ending)


async def _play_wyoming(address: str, began: float, times: Times) -> None:
    async with open_wyoming(address, reply=False) as connection:
        await anyio.sleep_until(began)
        async for pcm in _packets(FORMAT["rate"], began, ends=True):
            await connection.send(pcm)
        await connection.finish()
        async for event in connection.events():
            times["final"] = event.at - began
            return


# -- Rounds --------------------------------------------------------------------


async def _round(sockets: str, wyoming: str) -> dict[str, Times]:
    """By client; of one that was too late in part."""
    references = {f"{rate}": parley(rate) for rate in {each.rate for each in CLIENTS.values()}}
    clients = {**CLIENTS, **references, ENDED: parley_ended()}
    found: dict[str, Times] = {name: {} for name in (*clients, WYOMING)}
    names = random.sample(list(found), len(found))  # whoever comes first in a packet's time is another each round
    start = anyio.current_time() + 0.3
    with anyio.move_on_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            for at, name in enumerate(names):
                began = start + at * PACKET_S / len(names)
                if name == WYOMING:
                    tasks.start_soon(_play_wyoming, wyoming, began, found[name])
                else:
                    tasks.start_soon(_play_socket, clients[name], sockets, began, found[name])
    return found


def reference_of(name: str) -> str:
    """The client of Parley's own socket that this client is compared with."""
    return ENDED if name == WYOMING else f"{CLIENTS[name].rate}"


def differences(rounds: Sequence[Mapping[str, Times]]) -> dict[tuple[str, Event], list[float]]:
    """Milliseconds by which each client's event came later than the same event of its reference, in each round."""
    later: dict[tuple[str, Event], list[float]] = defaultdict(list)
    for found in rounds:
        for name in (*CLIENTS, WYOMING):
            reference = found[reference_of(name)]
            for event, at in found[name].items():
                if event in reference:
                    later[name, event].append((at - reference[event]) * 1000)
    return later


async def run(rounds: int, console: Console) -> None:
    """Measure and print."""
    async with _server() as (sockets, wyoming):
        await _round(sockets, wyoming)  # the first loads what is loaded late
        found = [await _round(sockets, wyoming) for _ in range(rounds)]
    table = Table("adapter", "event", "rounds", "own socket ms", "median ms", "p95 ms", f"p95 within {GOAL_MS:g} ms")
    for (name, event), later in sorted(differences(found).items()):
        reference = reference_of(name)
        own = percentile([each[reference][event] * 1000 for each in found if event in each[reference]], 50)
        middle, late = percentile(later, 50), percentile(later, 95)
        assert own is not None
        assert middle is not None
        assert late is not None
        row = (name, event, str(len(later)), f"{own:.0f}", f"{middle:+.2f}", f"{late:+.2f}", str(late <= GOAL_MS))
        table.add_row(*row)
    console.print(table)
