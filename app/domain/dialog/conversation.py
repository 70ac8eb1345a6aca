"""Conversation history, and how much of it fits into the prompt of a reply engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    text: str


def prompt(instructions: str, history: Sequence[Message], *, max_characters: int) -> tuple[Message, ...]:
    """The instructions and as many of the newest messages as fit; the last one always does."""
    kept: list[Message] = []
    left = max_characters
    for message in reversed(history):
        left -= len(message.text)
        if kept and left < 0:
            break
        kept.append(message)
    system = (Message(Role.SYSTEM, instructions),) if instructions else ()
    return (*system, *reversed(kept))
