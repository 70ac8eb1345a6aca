"""What the deletion of a conversation deleted, and what remains."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConversationReceipt:
    conversation: str
    tenant: str
    at: str
    """ISO 8601, UTC."""
    deleted: Mapping[str, int]
    """How many of each: `messages`."""
    remaining: tuple[str, ...] = ()
    """What is kept elsewhere; a sentence each."""


def recordings_remain(sessions: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence for each recording that messages were spoken in."""
    return tuple(
        f"a recording of the session {session}, where it was recorded; DELETE /recordings/{session} deletes it"
        for session in sessions
    )
