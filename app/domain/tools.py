"""Tools that a reply engine may call: how one is described, a call of it, and what is kept of the call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

ToolMethod: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MAX_CALLS = 8
"""In one answer of a model; those beyond it are answered with an error."""
KEPT_CHARACTERS = 500
"""Of a call's arguments, and of its result, in the history and in the archive."""

BAD_ARGUMENTS = "error: the arguments are not a JSON object"
TOO_MANY_CALLS = f"error: more than {MAX_CALLS} calls at once"
NO_ARGUMENTS = "{}"


@dataclass(frozen=True, slots=True)
class Tool:
    """An HTTP endpoint that a profile offers to its reply engine, or a function that the client performs."""

    name: str
    description: str
    url: str = ""
    """Empty: the client performs it."""
    method: ToolMethod = "GET"
    """GET and DELETE take the arguments in the query, the others as a JSON body."""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments, an object."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets are among them: they are never logged or shown."""
    timeout_s: float = 10.0
    """From the call to the end of the answer, redirects included."""
    max_bytes: int = 16_384
    """Of an answer; a larger one is an error."""
    hosts: frozenset[str] = frozenset()
    """Where it may be called, redirects included."""
    private: bool = False
    """It may be called at addresses that are not public."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a tool, with its result once there is one."""

    id: str
    tool: str
    arguments: str
    """JSON, as the model wrote it."""
    result: str | None = None
    """What the model is told; None: the tool is still running."""
    by_client: bool = False
    """The client performs it, and the reply ends with it."""


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """The arguments; None where they are no JSON object. A model may leave them out."""
    try:
        arguments = json.loads(call.arguments.strip() or NO_ARGUMENTS)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def readable(call: ToolCall) -> ToolCall:
    """The call as a reply engine can be shown it again: servers refuse a prompt with arguments that are no object."""
    return call if arguments_of(call) and call.arguments.strip() else replace(call, arguments=NO_ARGUMENTS)


def shortened(call: ToolCall) -> ToolCall:
    """The call as it is kept: long arguments are left out, a long result is cut."""
    arguments = call.arguments if len(call.arguments) <= KEPT_CHARACTERS else NO_ARGUMENTS
    result = call.result or ""
    if len(result) > KEPT_CHARACTERS:
        result = f"{result[:KEPT_CHARACTERS]}…"
    return readable(replace(call, arguments=arguments, result=result))
