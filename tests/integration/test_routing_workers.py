"""Failover between two worker processes, one of which is killed and started again."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from random import Random

import anyio
import httpx
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState, CircuitBreakerRules
from app.domain.routing.cost import Price
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.rules import RoutingRules
from app.runtime.clock import SystemClock
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from providers.openai.transcription import open_transcription
from tests.clips import COUNTRY, HANDS, HOUR, word_error_rate
from tests.eventually import until
from tests.models import MODELS_DIR, model

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class WorkerProcess:
    """`parley worker` on a port of its own."""

    def __init__(self, folder) -> None:
        self.port, self.folder = free_port(), folder
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "app", "worker", "--port", str(self.port), "--model", "whisper-tiny.en"]
        environment = {**os.environ, "PARLEY_MODELS_DIR": str(MODELS_DIR), "PARLEY_DEVICE": "cpu"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def answers(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.port}/health")).status_code == 200
            except httpx.TransportError:
                return False


@pytest.fixture
async def workers(tmp_path):
    model("whisper-tiny.en")
    pair = [WorkerProcess(tmp_path), WorkerProcess(tmp_path)]
    try:
        for worker in pair:
            await until(worker.answers, seconds=60)
        yield pair
    finally:
        for worker in pair:
            worker.kill()


@asynccontextmanager
async def gateway(workers) -> AsyncGenerator[Routes, None]:
    """Two routes on the premises, one preferred by its name alone."""
    specs = [
        RouteSpec(f"worker-{n}", Place.ON_PREM, Price(), expected_ms=500, breaker=CircuitBreakerRules(open_s=1.0))
        for n in range(2)
    ]
    async with (
        open_transcription(**_options(workers[0], "worker-0")) as one,
        open_transcription(**_options(workers[1], "worker-1")) as other,
    ):
        rules = RoutingRules()
        clip = COUNTRY.pcm[-2 * ms(2700) :]
        yield Routes(
            tuple(specs), {"worker-0": one, "worker-1": other}, lambda: rules, SystemClock(), Random(1).random, clip
        )


def _options(worker: WorkerProcess, name: str) -> dict:
    return {"provider_name": name, "base_url": f"http://127.0.0.1:{worker.port}/v1", "api_key": "", "model": "tiny"}


async def finalize(routes: Routes, pcm: bytes) -> tuple[str, str]:
    request = SessionFinals(routes, "s").open(1, "en", Residency.CLOUD_OK)
    request.confirm_endpoint()

    async def audio():
        yield AudioChunk(pcm, 0)

    async with aclosing(request.transcribe(audio(), language="en")) as hypotheses:
        (final,) = [h async for h in hypotheses]
    return final.text, request.route.name


async def test_failover_when_one_of_two_workers_is_killed(workers):
    """Finals in flight are replayed to the other; after a probe the restarted worker is used again."""
    async with gateway(workers) as routes, anyio.create_task_group() as tasks:
        transcripts: list[tuple[str, str]] = []

        async def one(clip) -> None:
            text, name = await finalize(routes, clip.pcm)
            transcripts.append((clip.words, text))
            names.append(name)

        names: list[str] = []
        await one(HANDS)
        async with anyio.create_task_group() as talking:
            for clip in (HANDS, HOUR, COUNTRY, HANDS, HOUR, COUNTRY):
                talking.start_soon(one, clip)
            await anyio.sleep(0.05)  # they are on their way
            workers[0].kill()
        for clip in (HANDS, HOUR, COUNTRY):
            await one(clip)
        dead = routes.states["worker-0"].breaker

        tasks.start_soon(routes.maintain)
        await anyio.to_thread.run_sync(workers[0].start)
        await until(workers[0].answers, seconds=60)

        async def is_closed() -> bool:
            return routes.states["worker-0"].breaker.state(routes.clock.now()) is BreakerState.CLOSED

        await until(is_closed, seconds=40)
        tasks.cancel_scope.cancel()

    assert len(transcripts) == 10
    assert max(word_error_rate(words, text) for words, text in transcripts) <= 0.25
    assert set(names[-3:]) == {"worker-1"} or dead.failures.count(True) < 3
