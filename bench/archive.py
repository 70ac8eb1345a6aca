"""Load test of the archive: many sessions through the session log into a store, `python -m bench.archive`.

Every session sends audio in real time. Printed are the delay of acknowledgements, how long the
uploads go on after the last audio, and processor and memory used; `--store azurite` needs Azurite.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles

import anyio
import psutil
from azure.storage.blob.aio import BlobServiceClient

from app.domain.audio import AudioChunk, ms
from app.domain.ports import BlobStore
from app.runtime.recording.uploader import Uploader
from storage.azure import open_azure
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log
from tests.emulators.azurite import serve_azurite

PACKET_MS = 100


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[BlobStore]:
    """An empty store."""
    if kind == "filesystem":
        async with open_filesystem(folder=folder / "blobs") as store:
            yield store
        return
    with serve_azurite(folder) as azurite:
        async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            await service.create_container("archive")
        async with open_azure(container="archive", connection_string=azurite.connection_string) as store:
            yield store


async def measure(kind: str, sessions: int, seconds: int, fsync: str, uploads: int) -> None:
    """Print one line of figures."""
    noise = random.Random(0).randbytes(2 * ms(PACKET_MS) * 50)  # loud noise: the worst that FLAC can get
    delays: list[float] = []

    async def speak(uploader: Uploader, number: int, began: float) -> None:
        sent: list[float] = []

        def acknowledge(samples: int) -> None:
            delays.append(anyio.current_time() - sent[samples // ms(PACKET_MS) - 1])

        async with uploader.record_session(f"{number:04d}", acknowledge=acknowledge) as recorder:
            for at in range(seconds * 1000 // PACKET_MS):
                await anyio.sleep_until(began + number / sessions + at * PACKET_MS / 1000)
                piece = (at + number) % 50 * 2 * ms(PACKET_MS)
                sent.append(anyio.current_time())
                await recorder.write_audio(AudioChunk(noise[piece : piece + 2 * ms(PACKET_MS)], at * ms(PACKET_MS)))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            opened(kind, folder) as store,
            open_session_log(folder=folder / "spool", fsync="always" if fsync == "always" else "never") as session_log,
        ):
            uploader = Uploader(session_log, store, concurrent_uploads=uploads)
            cpu, wall = psutil.Process().cpu_times(), time.perf_counter()
            async with uploader.running():
                began = anyio.current_time()
                async with anyio.create_task_group() as tasks:
                    for number in range(sessions):
                        tasks.start_soon(speak, uploader, number, began)
                spoken, deepest = time.perf_counter() - wall, session_log.size_bytes
                await uploader.wait_until_idle()
                behind = time.perf_counter() - wall - spoken
            used = psutil.Process().cpu_times()
            blobs = sum([1 async for _ in store.keys()])  # noqa: SIM118 because a store is no dict
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cuts = quantiles(delays, n=100)
    busy = used.user + used.system - cpu.user - cpu.system
    print(
        f"{kind}, fsync {fsync}: {sessions} sessions of {seconds} s; acknowledged after p50 {cuts[49] * 1000:.0f} ms, "
        f"p95 {cuts[94] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms; spoken in {spoken:.1f} s, all stored "
        f"{behind:.1f} s later ({deepest / 1e6:.0f} MB waited); {blobs} blobs; "
        f"{busy / (spoken + behind):.0%} of a core; peak memory {memory:.0f} MB"
    )


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--store", choices=["azurite", "filesystem"], default="azurite")
    parser.add_argument("--fsync", choices=["always", "never"], default="always")
    parser.add_argument("--uploads", type=int, default=16)
    given = parser.parse_args()
    anyio.run(measure, given.store, given.sessions, given.seconds, given.fsync, given.uploads)


if __name__ == "__main__":
    main()
