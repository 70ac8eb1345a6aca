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
    is_cut_off: bool = False
    """A reply that ended early: this is what the user got of it."""


def prompt(instructions: str, history: Sequence[Message], *, max_characters: int) -> tuple[Message, ...]:
    """The instructions and as many of the newest messages as fit; the last one always does.

    User and assistant alternate, and the user comes first, because many chat templates refuse anything else: messages
    of one side in a row become one, and what the assistant said before the user's first message stands in the
    instructions. A reply that was cut off ends in "…".
    """
    kept: list[Message] = []
    left = max_characters
    for message in reversed(history):
        left -= len(message.text)
        if kept and left < 0:
            break
        kept.insert(0, message)
    turns = _alternating(kept)
    if turns and turns[0].role is Role.ASSISTANT:
        opening, *turns = turns
        if len(kept) == len(history):
            instructions = f"{instructions}\n\nYou began the conversation with: {opening.text}".lstrip()
    system = (Message(Role.SYSTEM, instructions),) if instructions else ()
    return (*system, *turns)


def _alternating(messages: Sequence[Message]) -> list[Message]:
    turns: list[Message] = []
    for message in messages:
        text = f"{message.text}…" if message.is_cut_off else message.text
        if turns and turns[-1].role is message.role:
            text = f"{turns.pop().text}\n{text}"
        turns.append(Message(message.role, text))
    return turns
