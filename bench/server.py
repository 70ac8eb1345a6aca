"""Start a server for a measurement, and sample its CPU and memory."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
import httpx
import msgspec
import psutil

from app.domain.errors import ProviderDown
from app.proxies import proxy_of

READY_SECONDS = 120
STOP_SECONDS = 30
SAMPLE_EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `pid` is None where its process cannot be measured."""

    url: str
    pid: int | None
    runs: dict[str, str] = field(default_factory=dict)


class _Health(msgspec.Struct):
    runs: dict[str, str]


@asynccontextmanager
async def open_server(*, max_sessions: int, **settings: str) -> AsyncGenerator[Server, None]:
    """`python -m app serve` on a free port, ready. Raises ProviderDown with the end of its log when it does not start.

    `settings` are the variables it gets besides those of this process.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        environment = os.environ | {
            "PARLEY_AUDIO_STORAGE_DIR": f"{folder}/recordings",
            "PARLEY_MAX_SESSIONS": str(max(max_sessions * 2, 16)),
            "PARLEY_LOG_LEVEL": "warning",
            **settings,
        }
        with (Path(folder) / "log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 because starting it takes a moment, waiting for it is below
                [sys.executable, "-m", "app", "serve", "--port", str(port)], env=environment, stdout=log, stderr=log
            )
            try:
                runs = await _ready(process, port, log)
                yield Server(f"ws://127.0.0.1:{port}/ws/transcribe", process.pid, runs)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(stop, process)


async def get_health(http_url: str) -> dict[str, str] | None:
    """The components the server reports, or None while it cannot be reached."""
    async with httpx.AsyncClient(timeout=5, proxy=proxy_of(http_url), trust_env=False) as client:
        try:
            response = await client.get(f"{http_url}/health")
            return msgspec.json.decode(response.content, type=_Health).runs
        except (httpx.HTTPError, msgspec.DecodeError):  # another server may have a page there
            return None


async def _ready(process: subprocess.Popen[bytes], port: int, log: IO[str]) -> dict[str, str]:
    with anyio.move_on_after(READY_SECONDS):
        while process.poll() is None:
            if (runs := await get_health(f"http://127.0.0.1:{port}")) is not None:
                return runs
            await anyio.sleep(0.2)
    log.seek(0)
    raise ProviderDown("the server", f"it did not start; the end of its log: {log.read()[-2000:].strip()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Usage:
    """CPU time and peak memory of a process and its children during the measurement."""

    cpu_seconds: float | None = None
    wall_seconds: float = 0.0
    max_rss_mib: float | None = None


@asynccontextmanager
async def measure_usage(pid: int | None) -> AsyncGenerator[Usage, None]:
    """Sample the usage while the block runs, and complete it at the end."""
    usage, began = Usage(), anyio.current_time()
    if pid is None:
        yield usage
        usage.wall_seconds = anyio.current_time() - began
        return
    before, usage.max_rss_mib = _read_usage(pid)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_sample_usage, pid, usage)
        yield usage
        tasks.cancel_scope.cancel()
    usage.cpu_seconds = _read_usage(pid)[0] - before
    usage.wall_seconds = anyio.current_time() - began


async def _sample_usage(pid: int, usage: Usage) -> None:
    while True:
        usage.max_rss_mib = max(usage.max_rss_mib or 0.0, _read_usage(pid)[1])
        await anyio.sleep(SAMPLE_EVERY_SECONDS)


def _read_usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far and MiB resident, of the process and its children."""
    cpu = rss = 0.0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess as error:
        raise ProviderDown("the server", f"there is no process {pid}") from error
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # a child may exit while it is read
            times = process.cpu_times()
            cpu += times.user + times.system
            rss += process.memory_info().rss / 2**20
    return cpu, rss
