"""Crash test of transcription jobs: two gateways on one database and one store are killed at random moments.

`python -m tests.upload_crashes FOLDER KILLS SEED DATABASE_URL` runs two servers in processes of their own, each with a
spool of its own, and a client that uploads files to both, in one request or in parts that go to them in turn. One of
the servers, now and then both, is killed with SIGKILL again and again and started anew. In the end every file that a
client was promised a recording of has one, whole and once, and nothing is left half.

`python -m tests.upload_crashes serve FOLDER GATEWAY PORT DELAY_S REPLY_S DATABASE_URL` is one such server, whose model
takes so long for each utterance, and whose reply engine so long behind the first word of a reply.
"""

import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import anyio
import httpx
import msgspec
import numpy as np
import structlog

from app.data.conversation_log import conversation_log_in
from app.data.database import open_database
from app.data.jobs import JobTable
from app.data.live_sessions import LiveSessionTable
from app.domain.audio import AudioChunk
from app.domain.conversations.options import ReplyOptions
from app.domain.job import JobState
from app.domain.recording.manifest import Manifest
from app.domain.recording.wav import wav_header
from app.domain.transcript import Hypothesis
from app.domain.upload_limits import UploadLimits
from app.media.decode import decode_exactly
from app.runtime.conversations.chat import Chat
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.recording.uploader import Uploader
from app.web.listener import GracefulServer, bound_socket
from app.web.server import create_app
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log
from tests.fakes import ScriptedDetector, ScriptedGenerator
from tests.integration.conversation_service import scripted_engine
from tests.serving import scripted_service

GATEWAYS = 2
CLIENTS = 4
PARTS = 4
LEASE_S = 1.0
SPEECH_SAMPLES, SILENCE_SAMPLES = 16_000, 32_000
"""Whole seconds, as the decoder's chunks are."""
START_TIMEOUT_S, SETTLE_S = 60.0, 400.0
"""A file whose process was killed five times waits for 80 s."""


@dataclass
class HashingTranscriber:
    """Its text is the hash of the utterance, after a moment that is long enough to be killed in."""

    chance: random.Random = field(default_factory=random.Random)
    delay_s: float = 0.3
    """At most."""

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        pcm = b"".join([chunk.pcm async for chunk in utterance])
        await anyio.sleep(self.chance.uniform(0, self.delay_s))
        yield Hypothesis(words_of(pcm), is_final=True)


@dataclass
class PausingGenerator(ScriptedGenerator):
    pause_s: float = 0.0

    async def reply(self, conversation, **options) -> AsyncGenerator[str, None]:
        async with aclosing(super().reply(conversation, **options)) as deltas:
            async for delta in deltas:
                yield delta
                await anyio.sleep(self.pause_s)


def words_of(pcm: bytes) -> str:
    """Of the speech in it alone."""
    return sha256(pcm.strip(b"\0")).hexdigest()


def sound(number: int) -> bytes:
    """What file `number` says: noise that is its own, three times, with pauses."""
    chance = np.random.default_rng(number)
    speech = [chance.integers(-9000, 9000, SPEECH_SAMPLES, "<i2") | 1 for _ in range(3)]
    return b"".join(each.astype("<i2").tobytes() + bytes(2 * SILENCE_SAMPLES) for each in speech)


@dataclass(frozen=True)
class Site:
    """Where everything is."""

    folder: Path
    database: str
    ports: tuple[int, ...]
    delay_s: float = 0.3
    """Of the model, at most."""
    reply_s: float = 0.0

    @property
    def promises(self) -> Path:
        """`ID NUMBER` of each file whose recording was promised."""
        return self.folder / "promises"

    @property
    def stop(self) -> Path:
        """Exists as soon as the client is to begin no further file."""
        return self.folder / "stop"


# -- The servers ---------------------------------------------------------------------------------


async def serve(site: Site, gateway: int) -> None:
    """A gateway, until it is killed, or told to stop."""
    async with (
        open_session_log(folder=site.folder / f"spool-{gateway}", reserve=0) as session_log,
        open_filesystem(folder=site.folder / "blobs") as store,
        open_database(site.database) as engine,
        conversation_log_in(engine) as log,
    ):
        uploader = Uploader(session_log, store, chunk_ms=500, write_interval_s=0.01, first_pause_s=0.01, erasers=(log,))
        uploader.all_live_sessions = LiveSessionTable(engine)
        service = scripted_service(
            uploader=uploader,
            jobs=JobTable(engine),
            lease_s=LEASE_S,
            chat=Chat(
                log, lambda *_: scripted_engine(PausingGenerator(pause_s=site.reply_s)), ReplyOptions("Be brief.")
            ),
            batch_transcriber=BatchTranscriber(ScriptedDetector(), HashingTranscriber(delay_s=site.delay_s), None),
        )
        service.uploads.limits = UploadLimits(per_tenant=100_000, per_tenant_bytes=1 << 40, total_bytes=1 << 40)
        app = create_app(service)
        async with service.running():
            with bound_socket(
                "127.0.0.1", site.ports[gateway]
            ) as listening:  # only now, so that whoever connects is served
                await GracefulServer(app, turn_seconds=0, drain_seconds=2).serve([listening])


# -- The client ----------------------------------------------------------------------------------


async def upload_files(site: Site, seed: int) -> None:
    """Upload one file after another, to whichever gateway answers, until told to stop; none is left half-way."""
    chance, numbers = random.Random(seed), iter(range(1_000_000))
    async with httpx.AsyncClient(timeout=5) as http, anyio.create_task_group() as tasks:

        async def run() -> None:
            client = Client(http, site, chance)
            while not site.stop.exists():
                number = next(numbers)
                session = await client.upload(number)
                if session:
                    with site.promises.open("a") as promises:
                        promises.write(f"{session} {number}\n")

        for _ in range(CLIENTS):
            tasks.start_soon(run)


@dataclass
class Client:
    http: httpx.AsyncClient
    site: Site
    chance: random.Random
    turn: int = 0

    async def upload(self, number: int) -> str | None:
        """The id that was promised; None where the answer was lost with the server."""
        pcm = sound(number)
        file = wav_header(len(pcm) // 2) + pcm
        if self.chance.random() < 0.3:
            answer = await self.ask("POST", "/recordings?wait=false", content=file)
            return answer.json()["id"] if answer is not None and answer.status_code == 202 else None
        return await self.upload_in_parts(file)

    async def upload_in_parts(self, file: bytes) -> str | None:
        begun = await self.ask("POST", "/recordings/uploads", headers={"Upload-Length": str(len(file))})
        if begun is None or begun.status_code != 201:
            return None
        where = begun.headers["location"]
        while True:
            head = await self.ask("HEAD", where)
            if head is None or head.status_code in (404, 503):
                assert head is None or head.status_code != 404, f"{where} was forgotten"
                await anyio.sleep(0.02)
                continue
            if "parley-recording" in head.headers:
                return head.headers["parley-recording"]
            offset = int(head.headers["upload-offset"])
            part = file[offset : offset + len(file) // PARTS + 1]
            sent = await self.ask("PATCH", where, headers={"Upload-Offset": str(offset)}, content=part)
            if sent is not None and "parley-recording" in sent.headers:
                return sent.headers["parley-recording"]

    async def ask(self, method: str, path: str, **options) -> httpx.Response | None:
        """What the next gateway in turn answers; None where it answers nothing."""
        self.turn += 1
        port = self.site.ports[self.turn % GATEWAYS]
        try:
            return await self.http.request(method, f"http://127.0.0.1:{port}{path}", **options)
        except httpx.TransportError:
            await anyio.sleep(0.02)
            return None


# -- The check -----------------------------------------------------------------------------------


async def check(site: Site) -> None:
    """Raises AssertionError where anything was lost, doubled, or left half."""
    promised = dict(line.split() for line in site.promises.read_text().splitlines())
    async with open_database(site.database) as engine, open_filesystem(folder=site.folder / "blobs") as store:
        jobs = JobTable(engine)
        until = anyio.current_time() + SETTLE_S
        while left := await unsettled(jobs):
            assert anyio.current_time() < until, left
            await anyio.sleep(0.2)
        found = {each.id: each for each in await all_jobs(jobs)}
        done = {session for session, job in found.items() if job.state is JobState.DONE}
        failed = [found[session] for session in promised if found[session].state is not JobState.DONE]
        assert not failed
        keys = [key async for key in store.keys("")]
        manifests = [key.split("/")[2] for key in keys if key.endswith("manifest.json")]
        assert sorted(manifests) == sorted(done)
        assert {key.split("/")[1] for key in keys if key.startswith("uploads/")} <= found.keys() - done
        for session, number in promised.items():
            await check_recording(store, session, int(number))


async def all_jobs(jobs: JobTable) -> list:
    found, before = [], None
    while page := await jobs.find(tenant=None, person=None, state=None, before=before, limit=200):
        found += page
        before = page[-1].id
    return found


async def unsettled(jobs: JobTable) -> list[str]:
    """Jobs that somebody has something to do with yet; of what nobody was promised, half uploads stay for a day."""
    waiting = (JobState.QUEUED, JobState.RUNNING)
    return [
        f"{job.id} {job.state}"
        for job in await all_jobs(jobs)
        if job.state in waiting or job.has_remains or (job.attended and not job.is_finished)
    ]


async def check_recording(store, session: str, number: int) -> None:
    (key,) = [key async for key in store.keys("sessions/") if f"/{session}/manifest.json" in key]
    manifest = msgspec.json.decode(await store.get(key), type=Manifest)
    expected = sound(number)
    pcm = b""
    for chunk in manifest.chunks:
        blob = await store.get(chunk.key)
        assert sha256(blob).hexdigest() == chunk.sha256
        pcm += decode_exactly(blob, chunk.end - chunk.start)
    assert pcm == expected, session
    assert (manifest.ended is not None, manifest.recovered) == (True, False)
    words = [final.text for final in manifest.finals if final.text]
    assert words == [words_of(expected[at : at + 2 * SPEECH_SAMPLES]) for at in starts()], session


def starts() -> list[int]:
    """Bytes at which speech begins."""
    return [turn * 2 * (SPEECH_SAMPLES + SILENCE_SAMPLES) for turn in range(3)]


# -- The processes -------------------------------------------------------------------------------


def start(work: Callable[[], None]) -> int:
    """The id of a process of its own that does it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 because the child has nobody above it
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


def finish(child: int, what: str) -> None:
    """Wait for it; it must succeed."""
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{what} failed with {status}")


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"a server ended by itself with {status}")


def wait_until_listening(port: int) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def run(site: Site, kills: int, chance: random.Random, servers: dict[int, int]) -> None:
    """Start the servers and the client, kill, check; `servers` has the processes that run, by gateway."""

    def start_server(gateway: int) -> None:
        servers[gateway] = start(lambda: anyio.run(serve, site, gateway))

    for gateway in range(GATEWAYS):
        start_server(gateway)
    client = start(lambda: anyio.run(upload_files, site, chance.randrange(1 << 30)))
    for _ in range(kills):
        victims = range(GATEWAYS) if chance.random() < 0.2 else [chance.randrange(GATEWAYS)]
        if chance.random() < 0.8:  # else a slow start may be all that is killed
            for gateway in victims:
                wait_until_listening(site.ports[gateway])
        time.sleep(chance.uniform(0.05, 1.5))
        for gateway in victims:
            kill(servers.pop(gateway))
        for gateway in victims:
            start_server(gateway)
    for port in site.ports:
        wait_until_listening(port)
    site.stop.touch()
    finish(client, "the client")
    finish(start(lambda: anyio.run(check, site)), "the check")
    for gateway in list(servers):
        os.kill(servers[gateway], signal.SIGTERM)
        finish(servers.pop(gateway), "a server")


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    if sys.argv[1] == "serve":
        place, gateway, port, delay_s, reply_s, url = sys.argv[2:]
        site = Site(Path(place), url, (int(port),) * 3, float(delay_s), float(reply_s))
        anyio.run(serve, site, int(gateway))
        return
    folder, kills, seed, database = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        site = Site(folder, database, (one.getsockname()[1], other.getsockname()[1]))
    site.promises.touch()
    servers: dict[int, int] = {}
    try:
        run(site, kills, random.Random(seed), servers)
    finally:
        for server in servers.values():
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
    left = [path for path in folder.glob("spool-*/*") if not path.name.startswith(".")]
    if left:
        raise SystemExit(f"left in the spool: {left}")
    promised = len(site.promises.read_text().splitlines())
    sys.stdout.write(f"{kills} kills, {promised} files promised, each recorded once\n")


if __name__ == "__main__":
    main()
