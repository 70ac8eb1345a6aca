"""Many long conversations, on SQLite and PostgreSQL, and deltas of a reply: `python -m bench.conversations`.

The words are drawn as for the recordings index. Every query is asked with other values each time; printed are
percentiles of its time. PostgreSQL must be installed.
"""

import argparse
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.conversations import ConversationFilter, ConversationTable, append_messages, conversation_row
from app.data.database import open_database, transaction
from app.data.tables import ConversationRow
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.dialog.conversation import Message, Role
from bench.recordings_index import _WEIGHTS, VOCABULARY_WORDS, vacuum
from tests.integration.conversation_service import conversation_server
from tests.postgres import new_database, running_postgres

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
TENANTS, PERSONS, WORDS = 10, 200, 12
REPLIES, DELTAS = 100, 10


def conversations(count: int, turns: int, chance: random.Random) -> Iterator[tuple[Conversation, list[StoredMessage]]]:
    """Of one year, the oldest first."""
    for number in range(count):
        began = FIRST + timedelta(days=365) * (number / count)
        at = began.isoformat(timespec="milliseconds")
        conversation = Conversation(
            f"{round(began.timestamp() * 1000):012x}7{number % 4096:03x}8{number:015x}",
            f"tenant{min(int(chance.expovariate(0.5)), TENANTS - 1)}",
            at,
            at,
            person=f"person{chance.randrange(PERSONS)}",
        )
        messages = [
            StoredMessage(
                (number * turns + turn) * 2 + reply + 1,
                Role.ASSISTANT if reply else Role.USER,
                " ".join(chance.choices(VOCABULARY_WORDS, cum_weights=_WEIGHTS, k=chance.randint(1, 2 * WORDS))),
                (began + timedelta(seconds=20 * turn + 10 * reply)).isoformat(timespec="milliseconds"),
                turn=turn + 1,
            )
            for turn in range(turns)
            for reply in (0, 1)
        ]
        yield conversation, messages


def queries(chance: random.Random) -> dict[str, ConversationFilter]:
    """One of each kind, with values of its own."""
    tenant = f"tenant{chance.randrange(3)}"
    day = (FIRST + timedelta(days=chance.randrange(30, 365))).isoformat(timespec="milliseconds")
    common, other = (chance.choice(VOCABULARY_WORDS[:20]) for _ in range(2))
    return {
        "first page of a tenant": ConversationFilter(tenant),
        "deep page of a tenant": ConversationFilter(tenant, before=(day, "")),
        "person of a tenant": ConversationFilter(tenant, f"person{chance.randrange(PERSONS)}"),
        "first page of all tenants": ConversationFilter(),
        "rare word, of a tenant": ConversationFilter(tenant, text=chance.choice(VOCABULARY_WORDS[5000:])),
        "medium word, of a tenant": ConversationFilter(tenant, text=chance.choice(VOCABULARY_WORDS[800:1600])),
        "common word, of a tenant": ConversationFilter(tenant, text=common),
        "two common words, of a tenant": ConversationFilter(tenant, text=f"{common} {other}"),
        "unknown word": ConversationFilter(tenant, text="nobody said this"),
    }


async def fill(database: AsyncEngine, count: int, turns: int) -> float:
    """How many seconds it took."""
    began = time.perf_counter()
    for conversation, messages in conversations(count, turns, random.Random(1)):
        async with transaction(database) as connection:
            await connection.execute(insert(ConversationRow).values(conversation_row(conversation)))
            await append_messages(connection, conversation.id, messages)
    return time.perf_counter() - began


async def measure(url: str, count: int, turns: int, rounds: int) -> None:
    """Fill the database, unless an earlier call has, and print a table row for each kind of query."""
    async with open_database(url) as database:
        table, filled = ConversationTable(database), "filled before"
        if not await table.find(ConversationFilter(limit=1)):
            filled = f"written in {await fill(database, count, turns):.0f} s"
            await vacuum(database)
        async with database.connect() as connection:
            ids = (await connection.execute(select(ConversationRow.id))).scalars().all()
        print(f"\n{database.dialect.name}: {len(ids)} conversations of {turns} turns, {filled}\n")
        print("| query | found on the page | p50 ms | p95 ms |\n| --- | --- | --- | --- |")
        times: dict[str, list[float]] = {}
        found: dict[str, int] = {}
        chance = random.Random(2)
        for _ in range(rounds):
            for kind, criteria in queries(chance).items():
                began = time.perf_counter()
                page = await table.find(criteria)
                times.setdefault(kind, []).append(1000 * (time.perf_counter() - began))
                found[kind] = max(found.get(kind, 0), len(page))
            conversation_id = chance.choice(ids)
            began = time.perf_counter()
            await table.get(conversation_id)
            opened = await table.messages(conversation_id, limit=100)
            times.setdefault("one conversation, newest 100 messages", []).append(1000 * (time.perf_counter() - began))
            found["one conversation, newest 100 messages"] = len(opened)
        for kind, taken in times.items():
            p50, p95 = np.percentile(taken, [50, 95])
            print(f"| {kind} | {found[kind]} | {p50:.1f} | {p95:.1f} |", flush=True)


@dataclass
class TimedGenerator:
    """Notes when it gives each delta; the first one takes a while, as that of a model does."""

    given: list[float] = field(default_factory=list)

    async def reply(self, _: Sequence[Message]) -> AsyncGenerator[str, None]:
        for number in range(DELTAS):
            await anyio.sleep(0.02 if number else 0.1)
            self.given.append(time.perf_counter())
            yield "word "


async def measure_deltas(url: str) -> None:
    """From the engine's delta to the event at a client on this machine."""
    engine, first, later = TimedGenerator(), list[float](), list[float]()
    async with conversation_server(url, engine) as server:
        where, asked = f"/conversations/{await server.begin()}/messages?stream=true", {"text": "Hello."}
        for _ in range(REPLIES):
            engine.given, came = [], list[float]()
            async with server.http.stream("POST", where, json=asked) as response:
                async for line in response.aiter_lines():
                    if line == "event: delta":
                        came.append(time.perf_counter())
            late = [1000 * (there - given) for given, there in zip(engine.given, came, strict=True)]
            first.append(late[0])
            later += late[1:]
    print("\n| delta to the client | p50 ms | p95 ms |\n| --- | --- | --- |")
    for name, taken in (("first of a reply", first), ("later", later)):
        p50, p95 = np.percentile(taken, [50, 95])
        print(f"| {name} | {p50:.1f} | {p95:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=50, help="How often each query is asked.")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--url", help="A database to be filled, or that an earlier call has filled; it is kept.")
    given = parser.parse_args()
    if given.url:
        return anyio.run(measure, given.url, given.conversations, given.turns, given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(measure_deltas, f"sqlite+aiosqlite:///{Path(folder)}/deltas.db")
        for kind in given.databases:
            if kind == "sqlite":
                url = f"sqlite+aiosqlite:///{Path(folder)}/parley.db"
                anyio.run(measure, url, given.conversations, given.turns, given.rounds)
            else:
                with running_postgres() as server:
                    anyio.run(measure, new_database(server), given.conversations, given.turns, given.rounds)
    return None


if __name__ == "__main__":
    main()
