"""Lists and searches of a large recordings index, on SQLite and PostgreSQL: `python -m bench.recordings_index`.

The words are drawn from a vocabulary by Zipf's law, so that some are in nearly every recording and most are rare.
Every query is asked with other values each time; printed are percentiles of its time. PostgreSQL must be installed.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from pathlib import Path

import anyio
import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import open_database
from app.data.recording_index import RecordingIndexTable
from app.domain.audio import SAMPLE_RATE
from app.domain.recording.listing import RecordingFilter
from app.domain.recording.manifest import ArchivedFinal, Manifest, tile
from app.domain.recording.text_search import parse_search
from tests.postgres import new_database, running_postgres

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=365)
TENANTS, PERSONS, VOCABULARY = 100, 1000, 20_000
UTTERANCES, WORDS = 10, 12
"""Of a recording, and of an utterance, on average."""
BATCH = 200
_LETTERS = "etaoinshrdlu"


def word(number: int) -> str:
    """Of the vocabulary: the smaller the number, the more often it is said."""
    name = ""
    while True:
        number, letter = divmod(number, len(_LETTERS))
        name += _LETTERS[letter]
        if not number:
            return f"{name}x"


VOCABULARY_WORDS = [word(number) for number in range(VOCABULARY)]
_WEIGHTS = list(accumulate(1 / (rank + 1) for rank in range(VOCABULARY)))


def manifests(count: int, chance: random.Random) -> Iterator[Manifest]:
    """Recordings of a year, the oldest first; one in a thousand is live, one in a hundred has a rare route."""
    for number in range(count):
        at = FIRST + (LAST - FIRST) * (number / count)
        texts = [
            " ".join(chance.choices(VOCABULARY_WORDS, cum_weights=_WEIGHTS, k=chance.randint(1, 2 * WORDS)))
            for _ in range(chance.randint(1, 2 * UTTERANCES))
        ]
        texts[0] += f" number{number}"
        route = "rare" if number % 100 == 0 else "local"
        finals = [
            ArchivedFinal(5 * at * SAMPLE_RATE, 5 * (at + 1) * SAMPLE_RATE, said, route=route, language="en")
            for at, said in enumerate(texts)
        ]
        samples = 5 * len(texts) * SAMPLE_RATE
        yield Manifest(
            f"{round(at.timestamp() * 1000):012x}7{number % 4096:03x}8{number:015x}",
            at.isoformat(timespec="milliseconds"),
            None if number % 1000 == 0 else at.isoformat(timespec="milliseconds"),
            samples=samples,
            finals=tile(finals, samples),
            tenant=f"tenant{min(int(chance.expovariate(0.1)), TENANTS - 1)}",  # some have most of the recordings
            person=f"person{chance.randrange(PERSONS)}",
        )


def queries(count: int, chance: random.Random) -> dict[str, RecordingFilter]:
    """One of each kind, with values of its own."""
    day = (FIRST + timedelta(days=chance.randrange(30, 365))).date().isoformat()
    tenant = f"tenant{chance.randrange(10)}"
    common, other = (chance.choice(VOCABULARY_WORDS[:20]) for _ in range(2))
    medium = chance.choice(VOCABULARY_WORDS[800:1600])
    asked = {
        "first page": RecordingFilter(),
        "deep page": RecordingFilter(before=(day, "")),
        "first page of a tenant": RecordingFilter(tenant=tenant),
        "deep page of a tenant": RecordingFilter(tenant=tenant, before=(day, "")),
        "days": RecordingFilter(since=day, until=day),
        "kind=live": RecordingFilter(kind="live"),
        "common route": RecordingFilter(route="local"),
        "rare route": RecordingFilter(route="rare"),
        "unknown route": RecordingFilter(route="none"),
        "person of a tenant": RecordingFilter(tenant=tenant, person=f"person{chance.randrange(PERSONS)}"),
    }
    searches = {
        "word of one recording": f"number{chance.randrange(count)}",
        "word of 1 % of the recordings": medium,
        "common word": common,
        "two common words": f"{common} {other}",
        "phrase of common words": f'"{common} {other}"',
        "prefix": f"number{chance.randrange(10, 100)}*",
        "unknown word": "nobody said this",
    }
    for name, words in searches.items():
        asked[name] = RecordingFilter(terms=parse_search(words))
    asked["common word, of a tenant"] = RecordingFilter(terms=parse_search(common), tenant=tenant)
    asked["common word, deep page"] = RecordingFilter(terms=parse_search(common), before=(day, ""))
    return asked


async def measure(url: str, count: int, rounds: int) -> None:
    """Fill the database, unless an earlier call has, and print a table row for each kind of query."""
    async with open_database(url) as database:
        index = RecordingIndexTable(database)
        filled = "filled before"
        if not (await index.find(RecordingFilter(limit=1))).recordings:
            filled = f"written in {await fill(index, count):.0f} s"
            await vacuum(database)
        async with database.connect() as connection:
            said = await connection.scalar(text("SELECT count(*) FROM recording_utterances"))
        print(f"\n{database.dialect.name}: {count} recordings, {said} utterances, {filled}\n")
        await ask(index, count, rounds)


async def vacuum(database: AsyncEngine) -> None:
    """What PostgreSQL's autovacuum does by itself, a minute later."""
    if database.dialect.name == "postgresql":
        async with database.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM ANALYZE"))


async def fill(index: RecordingIndexTable, count: int) -> float:
    """How many seconds it took."""
    source, began = manifests(count, random.Random(1)), time.perf_counter()
    while batch := list(islice(source, BATCH)):
        await index.write(batch)
    return time.perf_counter() - began


async def ask(index: RecordingIndexTable, count: int, rounds: int) -> None:
    print("| query | found on the page | p50 ms | p95 ms |\n| --- | --- | --- | --- |")
    times: dict[str, list[float]] = {}
    found: dict[str, int] = {}
    chance = random.Random(2)
    for _ in range(rounds):
        for kind, criteria in queries(count, chance).items():
            began = time.perf_counter()
            page = await index.find(replace(criteria, limit=50))
            times.setdefault(kind, []).append(1000 * (time.perf_counter() - began))
            found[kind] = max(found.get(kind, 0), len(page.recordings))
    for kind, taken in times.items():
        p50, p95 = np.percentile(taken, [50, 95])
        print(f"| {kind} | {found[kind]} | {p50:.1f} | {p95:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=50, help="How often each query is asked.")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--url", help="A database to be filled, or that an earlier call has filled; it is kept.")
    given = parser.parse_args()
    if given.url:
        return anyio.run(measure, given.url, given.recordings, given.rounds)
    for kind in given.databases:
        if kind == "sqlite":
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite+aiosqlite:///{Path(folder)}/parley.db"
                anyio.run(measure, url, given.recordings, given.rounds)
        else:
            with running_postgres() as server:
                anyio.run(measure, new_database(server), given.recordings, given.rounds)
    return None


if __name__ == "__main__":
    main()
