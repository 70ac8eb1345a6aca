"""Conversation history, and how much of it fits into the prompt of a reply engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    text: str
    is_cut_off: bool = False
    """A reply that ended early: this is what the user got of it."""


def prompt(instructions: str, history: Sequence[Message], *, max_characters: int) -> tuple[Message, ...]:
    """The instructions and as many of the newest messages as fit; the last one always does.

    A reply that was cut off ends in "…". One whose question does not fit is left out with it.
    """
    kept: list[Message] = []
    left = max_characters
    for message in reversed(history):
        left -= len(message.text)
        if kept and left < 0:
            while len(kept) > 1 and kept[0].role is Role.ASSISTANT:
                del kept[0]
            break
        kept.insert(0, replace(message, text=f"{message.text}…") if message.is_cut_off else message)
    system = (Message(Role.SYSTEM, instructions),) if instructions else ()
    return (*system, *kept)


def alternating(conversation: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation as chat templates want it: user and assistant alternate, and the user comes first.

    Messages of one side in a row become one. What the assistant said before the user's first message stands in the
    instructions.
    """
    turns: list[Message] = []
    for message in conversation:
        is_same_side = turns and turns[-1].role is message.role
        before = f"{turns.pop().text}\n" if is_same_side else ""
        turns.append(replace(message, text=before + message.text))
    instructions = turns.pop(0).text if turns and turns[0].role is Role.SYSTEM else ""
    if turns and turns[0].role is Role.ASSISTANT:
        instructions = f"{instructions}\n\nYou began the conversation with: {turns.pop(0).text}".lstrip()
    return (*((Message(Role.SYSTEM, instructions),) if instructions else ()), *turns)
