"""Tools in OpenAI's chat protocol: their definitions, calls and results in a prompt, calls in a streamed answer.

Reference: https://platform.openai.com/docs/guides/function-calling. Servers that copy it leave out the index or the id
of a call, give every call the index 0, or send the arguments as an object.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.dialog.conversation import Message, alternating
from app.domain.storable_text import storable_text
from app.domain.tools import Tool, ToolCall

MAX_ARGUMENTS = 100_000
"""Characters of all arguments in one answer."""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of one call."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""


class TooLongArguments(Exception):
    """The arguments of an answer's calls have no end."""


@dataclass(slots=True)
class ToolCallAssembler:
    """The calls of one answer, from their pieces."""

    _calls: list[ToolCallDelta] = field(default_factory=list)
    _characters: int = 0

    def push(self, delta: ToolCallDelta) -> None:
        """Raises TooLongArguments."""
        self._characters += len(delta.arguments)
        if self._characters > MAX_ARGUMENTS:
            raise TooLongArguments
        at = self._position(delta)
        if at is None:
            self._calls.append(delta)
            return
        call = self._calls[at]
        self._calls[at] = ToolCallDelta(
            call.index, call.id or delta.id, call.name or delta.name, call.arguments + delta.arguments
        )

    def calls(self) -> tuple[ToolCall, ...]:
        """Those with a name; an id is made where the server gave none."""
        named = [call for call in self._calls if call.name]
        return tuple(
            ToolCall(call.id or f"call_{number}", call.name, call.arguments) for number, call in enumerate(named)
        )

    def _position(self, delta: ToolCallDelta) -> int | None:
        """Of the call that this is a piece of; None: a new call begins."""
        for at in reversed(range(len(self._calls))):
            call = self._calls[at]
            if delta.id and call.id:
                if delta.id == call.id:
                    return at
            elif delta.index == call.index:
                return None if delta.name and call.arguments else at
        return None


def read_deltas(tool_calls: Any) -> tuple[ToolCallDelta, ...]:
    """The pieces in a chunk's `tool_calls`. Raises AttributeError, TypeError or ValueError where it is none."""
    return tuple(_read_delta(each) for each in tool_calls or ())


def _read_delta(each: dict[str, Any]) -> ToolCallDelta:
    function = each.get("function") or {}
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    index = each.get("index")
    return ToolCallDelta(
        index if isinstance(index, int) else None,
        storable_text(str(each.get("id") or "")),
        storable_text(str(function.get("name") or "")),
        storable_text(arguments or ""),
    )


def definitions(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]


def messages_with_tools(conversation: Sequence[Message]) -> list[dict[str, Any]]:
    """The prompt; behind a message with calls stands a message for each result."""
    messages = list[dict[str, Any]]()
    for message in alternating(conversation, with_tools=True):
        if not message.tool_calls:
            messages.append({"role": str(message.role), "content": message.text})
            continue
        called = _with_distinct_ids(message.tool_calls)
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
            for call in called
        ]
        messages.append({"role": str(message.role), "content": message.text or None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call.id, "content": call.result or ""} for call in called]
    return messages


def _with_distinct_ids(calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
    """A result belongs to a call by its id, and servers that give none, or count anew, would repeat one."""
    if len({call.id for call in calls}) == len(calls):
        return calls
    return [replace(call, id=f"call_{number}") for number, call in enumerate(calls)]


def plain_messages(conversation: Sequence[Message]) -> list[dict[str, Any]]:
    """The prompt without what tools were called."""
    return [{"role": str(message.role), "content": message.text} for message in alternating(conversation)]
