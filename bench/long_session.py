"""What a minute of a session costs at its beginning and after hours: `python -m bench.long_session`.

A session is recorded and stored as fast as the machine can, by the real recorder, session log and uploader. Printed is
what a minute of each hour costs: processor time, bytes that go into the store, records that are read back from the
session log. `--chunk-ms` makes the audio shorter and leaves the number of chunks and finals as it is, so that what
grows with them is seen alone.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import numpy as np

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.errors import BlobNotFound
from app.domain.transcript import Hypothesis
from app.runtime.recording.uploader import Uploader
from storage.session_log import DiskSessionLog, open_session_log

CHUNKS_PER_MINUTE, FINALS_PER_CHUNK = 6, 2
WORDS = "and this is about as much as people say between two pauses of a long talk"


@dataclass
class CountingStore:
    """Counts the bytes that are stored, and forgets them."""

    stored_bytes: int = 0

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 because they are not kept
        self.stored_bytes += len(data)

    async def get(self, key: str) -> bytes:
        raise BlobNotFound(key)

    async def delete(self, key: str) -> None:
        pass

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:  # noqa: ARG002 because there are none
        no_keys: list[str] = []
        for key in no_keys:
            yield key

    async def url(self, key: str) -> str | None:  # noqa: ARG002 because there are none
        return None

    async def purge_versions(self, prefix: str) -> Sequence[str]:  # noqa: ARG002 because there are none
        return ()


@dataclass
class CountingLog:
    """A session log that counts the records which are read from it."""

    log: DiskSessionLog
    records_read: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)

    async def read(self, session: str, log: str) -> list[bytes]:
        records, _ = await self.read_from(session, log, 0)
        return records

    async def read_from(self, session: str, log: str, offset: int) -> tuple[list[bytes], int]:
        records, end = await self.log.read_from(session, log, offset)
        self.records_read += len(records)
        return records, end


@dataclass(frozen=True)
class MinuteCost:
    """Of an average minute of one hour."""

    cpu_ms: float
    stored_bytes: float
    records_read: float


@dataclass
class _Meter:
    store: CountingStore
    log: CountingLog
    minutes: int
    costs: list[MinuteCost] = field(default_factory=list)
    _last: tuple[float, int, int] = (0.0, 0, 0)

    def read(self) -> tuple[float, int, int]:
        return time.process_time(), self.store.stored_bytes, self.log.records_read

    def begin(self) -> None:
        self._last = self.read()

    def end(self) -> None:
        now = self.read()
        cpu, stored, read = ((new - old) / self.minutes for new, old in zip(now, self._last, strict=True))
        self.costs.append(MinuteCost(1000 * cpu, stored, read))
        self._last = now


async def simulate(folder: Path, hours: int, *, chunk_ms: int = 10_000, minutes_per_hour: int = 60) -> list[MinuteCost]:
    """The cost of a minute in each hour of one session."""
    chance = np.random.default_rng(0)
    noise = chance.integers(-2000, 2000, ms(chunk_ms), "<i2").tobytes()
    async with open_session_log(folder=folder / "spool", fsync="never", reserve=0) as disk:
        store, log = CountingStore(), CountingLog(disk)
        uploader = Uploader(log, store, chunk_ms=chunk_ms, write_interval_s=0.0)  # type: ignore[arg-type]  # because the rest is the log's
        meter = _Meter(store, log, minutes_per_hour)
        durable = anyio.Event()

        def acknowledge(_samples: int) -> None:
            durable.set()

        async with uploader.running(), uploader.record_session("0001", acknowledge=acknowledge) as recorder:
            meter.begin()
            at = 0
            for _ in range(hours):
                for _ in range(minutes_per_hour * CHUNKS_PER_MINUTE):
                    durable = anyio.Event()
                    await recorder.write_audio(AudioChunk(noise, at))
                    for number in range(FINALS_PER_CHUNK):
                        start = at + number * ms(chunk_ms) // FINALS_PER_CHUNK
                        end = start + ms(chunk_ms) // FINALS_PER_CHUNK
                        final = do.ShowFinal(1, number, Hypothesis(WORDS, is_final=True), start, end, end)
                        recorder.record(final, 100)
                    at += ms(chunk_ms)
                    await durable.wait()
                    await uploader.wait_until_idle()
                meter.end()
    return meter.costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--chunk-ms", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        costs = anyio.run(lambda: simulate(Path(folder), options.hours, chunk_ms=options.chunk_ms))
    sys.stdout.write(
        "| hour | CPU ms a minute | kB stored a minute | records read a minute |\n| --- | --- | --- | --- |\n"
    )
    for hour, cost in enumerate(costs, 1):
        figures = f"{cost.cpu_ms:.0f} | {cost.stored_bytes / 1000:.0f} | {cost.records_read:.0f}"
        sys.stdout.write(f"| {hour} | {figures} |\n")


if __name__ == "__main__":
    main()
