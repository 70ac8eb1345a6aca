"""Conversation history, and how much of it fits into the prompt of a reply engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.errors import ParleyError
from app.domain.profile import Profile
from app.domain.tools import ToolCall


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
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that the assistant called behind this text, with their results."""

    @property
    def characters(self) -> int:
        """Length in a prompt."""
        return len(self.text) + sum(len(call.arguments) + len(call.result or "") for call in self.tool_calls)

    @property
    def tokens(self) -> int:
        """The same in tokens, estimated."""
        calls = sum(estimate_tokens(call.arguments) + estimate_tokens(call.result or "") for call in self.tool_calls)
        return estimate_tokens(self.text) + calls


@dataclass(frozen=True, slots=True)
class ContinuedConversation:
    """What a session gets of the conversation that it continues."""

    history: tuple[Message, ...]
    profile: Profile | None = None
    """Its own; None: it has none, or there is none of its name any more."""
    problem: ParleyError | None = None
    """What the client is told about it."""


def reply_messages(
    text: str, tool_calls: tuple[ToolCall, ...] = (), *, is_cut_off: bool = False
) -> tuple[Message, ...]:
    """A reply as history has it: the tools that were called for it, and behind them its text, where there is any."""
    called = (Message(Role.ASSISTANT, "", tool_calls=tool_calls),) if tool_calls else ()
    text = text.strip()
    return (*called, Message(Role.ASSISTANT, text, is_cut_off=is_cut_off)) if text else called


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rounded up: one for four bytes of UTF-8, so one for four letters of English.

    Most tokenizers begin with bytes: another script has more of them for each character, and more tokens.
    """
    return -(-len(text.encode()) // 4)


def prompt(
    instructions: str, history: Sequence[Message], *, max_characters: int, max_tokens: int | None = None
) -> tuple[Message, ...]:
    """The instructions and as many of the newest messages as fit; the last one always does.

    `max_tokens`, where it is given, is the limit in place of `max_characters`.
    A reply that was cut off ends in "…". One whose question does not fit is left out with it.
    """
    kept: list[Message] = []
    left = max_characters if max_tokens is None else max_tokens
    for message in reversed(history):
        left -= message.characters if max_tokens is None else message.tokens
        if kept and left < 0:
            while len(kept) > 1 and kept[0].role is Role.ASSISTANT:
                del kept[0]
            break
        kept.insert(0, replace(message, text=f"{message.text}…") if message.is_cut_off else message)
    system = (Message(Role.SYSTEM, instructions),) if instructions else ()
    return (*system, *kept)


def alternating(conversation: Sequence[Message], *, with_tools: bool = False) -> tuple[Message, ...]:
    """The conversation as chat templates want it: user and assistant alternate, and the user comes first.

    Messages of one side in a row become one. What the assistant said before the user's first message stands in the
    instructions. A message with calls of tools is followed by another one of the assistant; without `with_tools` the
    calls are left out.
    """
    turns: list[Message] = []
    if not with_tools:
        conversation = [replace(each, tool_calls=()) for each in conversation if each.text or not each.tool_calls]
    for message in conversation:
        is_same_side = turns and turns[-1].role is message.role and not turns[-1].tool_calls
        before = f"{turns.pop().text}\n" if is_same_side else ""
        turns.append(replace(message, text=before + message.text))
    instructions = turns.pop(0).text if turns and turns[0].role is Role.SYSTEM else ""
    if turns and turns[0].role is Role.ASSISTANT:
        instructions = f"{instructions}\n\nYou began the conversation with: {turns.pop(0).text}".lstrip()
    return (*((Message(Role.SYSTEM, instructions),) if instructions else ()), *turns)
