"""The image itself, where a container engine is: built, and run as compose runs it.

    PARLEY_CONTAINER_ENGINE=docker pytest tests/infra/test_image.py

The engine is a command with docker's build, run, exec, stop, inspect and rm, as podman has them. Without one there is
nothing to build with, and these tests are skipped even under PARLEY_STRICT=1.
"""

import json
import os
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx
import pytest
from anyio import to_thread

from tests.clips import HANDS, silence, word_error_rate
from tests.eventually import until
from tests.infra.shipped import DOCKER, compose
from tests.infra.stub.terraform import ROOT
from tests.models import model
from tests.streaming_client import open_session

ENGINE = os.environ.get("PARLEY_CONTAINER_ENGINE", "")
MODELS = ("whisper-tiny.en", "whisper-base", "smart-turn-v3", "piper-en_US-joe-medium")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.models,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not ENGINE, reason="PARLEY_CONTAINER_ENGINE names no container engine"),
]


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    port: int

    async def says(self, *command: str) -> str:
        return await engine("exec", self.name, *command)

    async def stopped(self) -> int:
        """Its exit status, after SIGTERM and all the time compose gives it."""
        await engine("stop", "--time", "60", self.name)
        return int(await engine("inspect", "--format", "{{.State.ExitCode}}", self.name))


async def engine(*words: str) -> str:
    done = await to_thread.run_sync(
        lambda: subprocess.run([ENGINE, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@asynccontextmanager
async def running(image: str, role: str, *options: str) -> AsyncIterator[Container]:
    """A container with the limits compose sets, on the host's network, once it is well."""
    wanted = compose(DOCKER / "compose.yaml")["gateway" if role == "serve" else role]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        container = Container(f"parley-{uuid.uuid4().hex[:8]}", listening.getsockname()[1])
    limits = [
        *(["--read-only"] if wanted["read_only"] else []),
        *(f"--cap-drop={each}" for each in wanted["cap_drop"]),
        *(f"--security-opt={each}" for each in wanted["security_opt"]),
        *(f"--volume={each['target']}" for each in wanted["volumes"] if "source" not in each),
    ]
    environment = {"PARLEY_HOST": "127.0.0.1", "PARLEY_PORT": str(container.port), "PARLEY_REPLY_PROVIDER": "none"}
    given = [f"--env={name}={value}" for name, value in environment.items()]
    await engine(
        "run",
        "--detach",
        "--name",
        container.name,
        *(["--network=host"] if not options or "--network=none" not in options else []),
        *limits,
        *given,
        *options,
        image,
        role,
    )

    async def well() -> bool:
        done = await to_thread.run_sync(
            lambda: subprocess.run([ENGINE, "exec", container.name, "parley-health"], capture_output=True, check=False)
        )
        return done.returncode == 0

    try:
        await until(well, seconds=120)
        yield container
    finally:
        with anyio.CancelScope(shield=True):
            await engine("rm", "--force", "--volumes", container.name)


def models() -> list[str]:
    return [f"--volume={model(name).resolve()}:/var/lib/parley/models/{name}:ro" for name in MODELS]


@pytest.fixture(scope="module")
async def image() -> str:
    """Built from the Dockerfile as it is."""
    await engine("build", "--file", "infra/docker/Dockerfile", "--tag", "parley:tested", ".")
    return "parley:tested"


async def test_image_gateway_needs_no_capability_and_no_writable_root(image):
    """It is nobody in particular, can do nothing, and writes only where it is meant to."""
    async with running(image, "serve", *models()) as gateway:
        status = await gateway.says("cat", "/proc/1/status")
        written = await gateway.says(
            "sh", "-c", "for at in / /opt /tmp .; do touch $at/x 2>/dev/null && echo $at; done"
        )
        health = json.loads(await gateway.says("parley-health"))

    lines = dict(line.split(":\t", 1) for line in status.splitlines())
    assert set(lines["Uid"].split()) == {"10001"}
    assert int(lines["CapEff"], 16) == 0
    assert written.split() == ["/tmp", "."]
    assert health["status"] == "ok"


async def test_image_gateway_transcribes_and_stops_gracefully(image):
    """A final comes; told to stop, it closes the other session with 1012 and ends with status 0."""
    async with running(image, "serve", *models()) as gateway:
        url = f"ws://127.0.0.1:{gateway.port}/ws/transcribe"
        async with open_session(url) as talk:
            await talk.send_audio(HANDS.pcm + silence(2), pace=2)
            await talk.wait_until(lambda t: bool(t.messages("fullSentence")), timeout_s=60)
        async with open_session(url) as other:
            await other.wait_until(lambda t: bool(t.received), timeout_s=10)
            status = await gateway.stopped()
            await other.wait_until(lambda t: False, timeout_s=10)

    heard = " ".join(each.message["text"] for each in talk.messages("fullSentence"))
    assert word_error_rate(HANDS.words, heard) <= 0.3
    assert status == 0
    assert other.closed[0] == 1012


async def test_image_worker_transcribes_and_stops_gracefully(image):
    """The same image in its other role."""
    async with running(image, "worker", *models()) as worker, httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(
            f"http://127.0.0.1:{worker.port}/v1/audio/transcriptions", files={"file": HANDS.path.read_bytes()}
        )
        status = await worker.stopped()

    assert word_error_rate(HANDS.words, answer.json()["text"]) <= 0.3
    assert status == 0


async def test_image_with_baked_models_needs_no_network(image):
    """Built with the models a local installation needs, it is well without a volume and without a network."""
    await engine(
        "build", "--file", "infra/docker/Dockerfile", "--build-arg", "MODELS=baked", "--tag", "parley:tested-baked", "."
    )

    async with running("parley:tested-baked", "serve", "--network=none") as gateway:
        health = json.loads(await gateway.says("parley-health"))

    assert health["status"] == "ok"
