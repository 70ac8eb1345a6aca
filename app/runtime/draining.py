"""How a process lets its sessions go: none begins, each is warned, and is ended as soon as its turn is over."""

from collections.abc import Callable

import anyio
import structlog

from app.domain.errors import Draining
from app.runtime.session_registry import RunningSession, SessionRegistry

REST_S = 0.5
"""A session is between two turns, and its client has what it was shown, where nothing was shown for so long."""
CHECK_EVERY_S = 0.1

WARNING = "this server is about to stop: the turn may end here, then the connection is closed; connect again at once"
CLOSING = "this server stops; connect again, another one will answer"

_log = structlog.get_logger("parley.draining")


async def drain_sessions(registry: SessionRegistry, longest_s: float, is_hurried: Callable[[], bool]) -> None:
    """Return when every session is ended, by what it was told; those whose turn lasts longer are ended in it.

    `is_hurried`: whether nobody waits for turns any more.
    """
    registry.admission.is_draining = True
    warned = list(registry.sessions.values())
    for session in warned:
        session.warn(Draining(WARNING))
    deadline = anyio.current_time() + longest_s
    while waiting := [session for session in registry.sessions.values() if session.error is None]:
        now = anyio.current_time()
        is_late = now >= deadline or is_hurried()
        for session in waiting:
            if is_late or is_between_turns(session, now):
                session.end(Draining(CLOSING))
        await anyio.sleep(CHECK_EVERY_S)
    if warned:
        _log.info("drained", sessions=len(warned))


def is_between_turns(session: RunningSession, now: float) -> bool:
    """Whether nobody speaks, nothing is owed to its client, and what was shown has been written."""
    return session.is_detached or (not session.is_in_turn() and now - session.shown_at >= REST_S)
