"""Concurrent sessions: each streams all clips in a rotated order, so that all speak all the time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from bench.clips import Clip
from bench.protocols import Opener
from bench.server import Server, Usage, measure_usage
from bench.voice import PlayedClip, play_clip

STAGGER_SECONDS = 1.7
"""Between the starts of two sessions, so that no two are in phase."""


@dataclass(frozen=True, slots=True)
class Load:
    """Results of one run with this many concurrent sessions."""

    sessions: int
    played: tuple[PlayedClip, ...]
    usage: Usage


def clips_of_speaker(clips: Sequence[Clip], session: int, sessions: int, rounds: int) -> list[Clip]:
    """The clips of one session: all of them, `rounds` times, rotated by the number of the session."""
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
    on_played: Callable[[PlayedClip], None],
) -> Load:
    """Stream all clips. Raises ProviderDown if the server cannot be reached."""
    played: list[PlayedClip] = []

    async def person(session: int) -> None:
        await anyio.sleep(session * STAGGER_SECONDS)
        for clip in clips_of_speaker(clips, session, sessions, rounds):
            one = await play_clip(opener, server.url, clip, reply=reply)
            played.append(one)
            on_played(one)

    async with measure_usage(server.pid) as usage, anyio.create_task_group() as tasks:
        for session in range(sessions):
            tasks.start_soon(person, session)
    return Load(sessions, tuple(played), usage)
