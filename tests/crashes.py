"""Crash test of the archive: processes that record are killed, and what they acknowledged must be in the store.

`python -m tests.crashes FOLDER TIMES SEED` records sessions into a session log in processes
that are killed with SIGKILL at random moments, recovers each, itself sometimes killed,
and checks that every acknowledged sample is in the store, once and in its place.
"""

import itertools
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import anyio
import msgspec
import numpy as np
import structlog

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.errors import ProviderDown
from app.domain.recording.manifest import Manifest
from app.domain.transcript import Hypothesis
from app.media.decode import decode_exactly
from app.runtime.recording.recorder import Recorder
from app.runtime.recording.uploader import Uploader
from storage.filesystem import FilesystemBlobStore, open_filesystem
from storage.session_log import open_session_log

SESSIONS = 3
PACKET = 640
CHUNK_MS = 100
SECONDS = 4
FIRST_BYTE_TIMEOUT_S = 10.0


class ShakyStore(FilesystemBlobStore):
    """Fails one time in four, half of these after it has done what it was asked for."""

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        luck = random.random()
        if luck < 0.12:
            raise ProviderDown("shaky", "asked to fail")
        await super().put(key, data, content_type=content_type)
        if luck < 0.25:
            raise ProviderDown("shaky", "asked to fail behind the write")


def audio(session: str) -> bytes:
    """What this session says: noise that is its own."""
    return np.random.default_rng(int(session)).integers(-9000, 9000, 16_000 * SECONDS, "<i2").tobytes()


async def stream(folder: Path, pipe: int) -> None:
    """Sessions that speak until they are killed; each acknowledgement goes down the pipe."""
    async with (
        open_session_log(folder=folder / "spool") as session_log,
        open_filesystem(folder=folder / "blobs") as store,
    ):
        uploader = Uploader(
            session_log,
            ShakyStore(store._folder),
            chunk_ms=CHUNK_MS,
            write_interval_s=0.002,
            first_pause_s=0.001,
            longest_pause_s=0.005,
        )

        async def speak(session: str) -> None:
            def acknowledge(samples: int) -> None:
                os.write(pipe, f"{session} {samples}\n".encode())

            pcm = audio(session)
            async with uploader.record_session(session, acknowledge=acknowledge) as recorder:
                for number, at in enumerate(range(0, len(pcm), PACKET)):
                    await recorder.write_audio(AudioChunk(pcm[at : at + PACKET], at // 2))
                    if number % 10 == 9:
                        end = (at + PACKET) // 2
                        final = do.ShowFinal(1, number, Hypothesis("words", is_final=True), end - 2000, end - 100, end)
                        recorder.record(final, 1)
                    _reply(recorder, number, pcm[:PACKET])
                    await anyio.sleep(0.001)

        async with uploader.running(), anyio.create_task_group() as tasks:
            for session in range(SESSIONS):
                tasks.start_soon(speak, str(session))


def _reply(recorder: Recorder, number: int, pcm: bytes) -> None:
    """Of every twenty packets the first ten are spoken over by a reply."""
    turn, at = divmod(number, 20)
    if at == 0:
        recorder.record(do.ShowReplyStart(turn, "hello"), None)
    if at < 10:
        recorder.record(do.ShowReplyDelta(turn, "word "), None)
        recorder.record(do.PlayAudio(turn, AudioChunk(pcm, 0)), None)
    if at == 9:
        recorder.record(do.ShowReply(turn, "words"), None)


async def recover(folder: Path) -> None:
    async with (
        open_session_log(folder=folder / "spool") as session_log,
        open_filesystem(folder=folder / "blobs") as store,
    ):
        uploader = Uploader(session_log, ShakyStore(store._folder), first_pause_s=0.001, longest_pause_s=0.005)
        async with uploader.running():
            while await session_log.sessions():
                await uploader.wait_until_idle()
                await anyio.sleep(0.001)


async def check(folder: Path, acknowledged: dict[str, int]) -> None:
    """Raises AssertionError where anything was lost, doubled or moved, or a blob is named by no manifest."""
    async with open_filesystem(folder=folder / "blobs") as store:
        keys = [key async for key in store.keys("")]
        manifests = {key.split("/")[2]: key for key in keys if key.endswith("manifest.json")}
        assert acknowledged.keys() <= manifests.keys(), (acknowledged, sorted(manifests))
        for session, key in manifests.items():
            manifest = msgspec.json.decode(await store.get(key), type=Manifest)
            blobs = [k for k in keys if f"/{session}/" in k and k.endswith(".flac")]
            named = [reply.key for reply in manifest.replies if reply.key]
            assert [k for k in blobs if "/replies/" not in k] == [chunk.key for chunk in manifest.chunks]
            assert [k for k in blobs if "/replies/" in k] == named
            for reply in manifest.replies:
                assert reply.samples == 10 * PACKET // 2 or reply.cancelled, reply
            assert manifest.samples >= acknowledged.get(session, 0), (session, manifest.samples, acknowledged)
            assert manifest.recovered != bool(manifest.ended)
            for covering in (manifest.chunks, manifest.finals):
                edges = [0, *itertools.chain.from_iterable((c.start, c.end) for c in covering), manifest.samples]
                assert edges[::2] == edges[1::2], (session, edges)
            expected = audio(session)
            for chunk in manifest.chunks:
                blob = await store.get(chunk.key)
                assert sha256(blob).hexdigest() == chunk.sha256
                assert decode_exactly(blob, chunk.end - chunk.start) == expected[2 * chunk.start : 2 * chunk.end]
                assert not chunk.lost


def in_child(work: Callable[[], None], *, kill_after_s: float | None = None, begun: int | None = None) -> None:
    """Run it in a process of its own; without a time to die it must succeed.

    With `begun`, the time counts from the first byte in this pipe, so that a slow start is not all that is killed.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 because the child has nobody above it
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    if begun is not None:
        select.select([begun], [], [], FIRST_BYTE_TIMEOUT_S)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if kill_after_s is None and status:
        raise SystemExit(f"a child failed with {status}")


def crash_once(folder: Path, chance: random.Random) -> int:
    """One crash and its recovery; how many samples had been acknowledged."""
    readable, writable = os.pipe()
    begun = readable if chance.random() < 0.8 else None
    in_child(lambda: anyio.run(stream, folder, writable), kill_after_s=chance.uniform(0.01, 0.5), begun=begun)
    os.close(writable)
    with os.fdopen(readable) as lines:
        acknowledged = {session: int(samples) for session, samples in (line.split() for line in lines)}
    if chance.random() < 0.5:
        in_child(lambda: anyio.run(recover, folder), kill_after_s=chance.uniform(0.0, 0.1))
    in_child(lambda: anyio.run(recover, folder))
    in_child(lambda: anyio.run(check, folder, acknowledged))
    return sum(acknowledged.values())


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    root, times, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    samples = [crash_once(root / str(number), chance) for number in range(times)]
    sys.stdout.write(
        f"{times} crashes, {sum(1 for s in samples if s)} with something acknowledged, {sum(samples)} samples\n"
    )


if __name__ == "__main__":
    main()
