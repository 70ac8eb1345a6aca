"""Many people at once: each says their own sequence of clips, so that everybody speaks all the time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from bench.clips import Clip
from bench.protocols import Opener
from bench.server import Server, Usage, watching
from bench.voice import Said, say

STAGGER_SECONDS = 1.7
"""Between two people's first words: no two begin together, nor in step."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of so many sessions at once."""

    sessions: int
    said: tuple[Said, ...]
    usage: Usage


def part(clips: Sequence[Clip], session: int, sessions: int, rounds: int) -> list[Clip]:
    """What one person says: all clips, `rounds` times, beginning at a place of their own."""
    first = session * len(clips) // sessions
    return [*clips[first:], *clips[:first]] * rounds


async def run_load(
    opener: Opener,
    server: Server,
    clips: Sequence[Clip],
    *,
    sessions: int,
    rounds: int,
    reply: bool,
    on_said: Callable[[Said], None],
) -> Load:
    """Play everything. Raises ProviderDown where the server does not answer."""
    said: list[Said] = []

    async def person(session: int) -> None:
        await anyio.sleep(session * STAGGER_SECONDS)
        for clip in part(clips, session, sessions, rounds):
            one = await say(opener, server.url, clip, reply=reply)
            said.append(one)
            on_said(one)

    async with watching(server.pid) as usage, anyio.create_task_group() as tasks:
        for session in range(sessions):
            tasks.start_soon(person, session)
    return Load(sessions, tuple(said), usage)
