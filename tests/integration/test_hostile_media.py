"""Hostile and unusual media, sent to the gateway and to the worker: transcribed or refused, and nothing is left."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from anyio import to_thread

from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.worker import Worker
from app.web.openai.worker import create_worker
from tests.clips import HANDS
from tests.fakes import MemoryBlobStore, ScriptedDetector, ScriptedTranscriber
from tests.leftovers import nothing_left
from tests.serving import scripted_service, served, serving

pytestmark = pytest.mark.anyio
INPUTS = Path(__file__).parents[1] / "inputs"


@dataclass
class Gateway:
    """`parley serve`: a file is the body of the request."""

    http: httpx.AsyncClient
    store: MemoryBlobStore
    accepted, refused = 201, 415

    async def send(self, media: bytes) -> httpx.Response:
        return await self.http.post("/recordings", content=media)

    def code(self, answer: httpx.Response) -> str:
        assert answer.json().keys() == {"code", "message"}
        return answer.json()["code"]

    @property
    def kept(self) -> dict[str, bytes]:
        return self.store.blobs


@dataclass
class GpuWorker:
    """`parley worker`: a file is a part of a form."""

    http: httpx.AsyncClient
    kept = ()
    accepted, refused = 200, 400

    async def send(self, media: bytes) -> httpx.Response:
        return await self.http.post("/v1/audio/transcriptions", files={"file": ("a", media)})

    def code(self, answer: httpx.Response) -> str:
        error = answer.json()["error"]
        assert (error.keys(), error["type"]) == ({"message", "type", "code", "param"}, "invalid_request_error")
        return error["code"]


@asynccontextmanager
async def open_gateway() -> AsyncGenerator[Gateway, None]:
    service = scripted_service()
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http:
        yield Gateway(http, service.uploader.store)


@asynccontextmanager
async def open_worker() -> AsyncGenerator[GpuWorker, None]:
    """One request at work, one waiting: a slot that is not freed shows at once."""
    engine, queue = ScriptedTranscriber(), AdmissionQueue("worker", SystemClock(), 1, 1)
    worker = Worker("tiny", engine, engine, ScriptedDetector(), queue, "en")
    async with (
        serving(create_worker(worker)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http,
    ):
        yield GpuWorker(http)
        assert queue.pending == 0


@pytest.fixture(params=[open_gateway, open_worker], ids=["gateway", "worker"])
async def server(request):
    async with request.param() as opened:
        yield opened


def udp_sockets() -> set[str]:
    """Local addresses of UDP sockets on this machine."""
    tables = [Path(f"/proc/net/{table}") for table in ("udp", "udp6")]
    return {line.split()[1] for path in tables if path.exists() for line in path.read_text().splitlines()[1:]}


def tiny_packets() -> bytes:
    """An Ogg file of ten thousand logical streams, each of one page with one byte."""
    pages = []
    for serial in range(10_000):
        head = b"OggS\0\2" + bytes(8) + serial.to_bytes(4, "little") + bytes(4) + bytes(4) + b"\1\1"
        pages.append(head + b"x")
    return b"".join(pages)


MEDIA = {
    "nothing": b"",
    "noise": bytes(range(1, 256)) * 10_000,
    "ten thousand streams": tiny_packets(),
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n",
    "hls from the network": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n",
    "flac of a billion channels": b"fLaC" + b"\x80\0\0\x22" + b"\xff" * 34 + b"\xff\xf8" * 5000,
    "sdp": (INPUTS / "sdp-binds-udp.txt").read_bytes(),
    "ffconcat": (INPUTS / "ffconcat-reads-other-file.txt").read_bytes(),
    "1 Hz": (INPUTS / "wav-1hz-6000s.wav").read_bytes(),
}


@pytest.mark.parametrize("name", MEDIA)
async def test_hostile_media_is_refused_within_seconds_and_leaves_nothing(server, name, tmp_path):
    """No socket, no file, no process and no task; the event loop is not held, and the next file is transcribed."""
    lags = list[float]()

    async def watch_loop() -> None:
        while True:
            asked = time.monotonic()
            await anyio.sleep(0.01)
            lags.append(time.monotonic() - asked)

    before = udp_sockets()
    async with nothing_left(tmp_path):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_loop)
            with anyio.fail_after(40):
                answer = await server.send(MEDIA[name])
            bound = await to_thread.run_sync(udp_sockets) - before
            tasks.cancel_scope.cancel()
        kept = dict(server.kept)
        good = await server.send(HANDS.path.read_bytes())

    assert (answer.status_code, server.code(answer)) == (server.refused, "bad_audio")
    assert bound == set()
    assert max(lags, default=0) < 5  # there is none where the answer comes at once
    assert kept == {}
    assert good.status_code == server.accepted


@pytest.mark.parametrize("path", sorted(INPUTS.glob("*-*.*")), ids=lambda path: path.name)
async def test_every_unusual_file_is_transcribed_or_refused_and_leaves_nothing(server, path, tmp_path):
    async with nothing_left(tmp_path):
        answer = await server.send(path.read_bytes())
        good = await server.send(HANDS.path.read_bytes())

    assert answer.status_code == server.accepted or server.code(answer) == "bad_audio"
    assert good.status_code == server.accepted
