"""Errors as Realtime clients get them: `{type, code, message, param, event_id}`; the connection stays open."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from app.domain.errors import ClientError, RequestRefused
from app.web.errors import error_reply

_PATH = re.compile(r"^(?P<problem>.*?)(?: - at (?:the key in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)

MAX_DEPTH = 50
"""Of objects and lists in a session or in the schema of a function."""


@dataclass
class EventRefused(Exception):
    """An event of the client that cannot be done; nothing of it was."""

    message: str
    code: str = "invalid_value"
    param: str | None = None

    def __str__(self) -> str:
        return self.message


def refuse_deep(value: Any, param: str) -> None:
    """Raises EventRefused where this JSON value is nested deeper than any real one: it is encoded again later."""
    if _is_deeper(value, MAX_DEPTH):
        raise EventRefused(f"Invalid value for '{param}': it is nested deeper than {MAX_DEPTH}.", param=param)


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def refused_shape(error: msgspec.DecodeError, inside: str = "") -> EventRefused:
    """What is wrong with a JSON value, and where: `inside` is the path of the value itself."""
    found = _PATH.match(str(error))
    assert found is not None
    path = f"{inside}{found['path'] or ''}".lstrip(".")
    problem = found["problem"]
    if not isinstance(error, msgspec.ValidationError):
        return EventRefused(f"The event is not valid JSON: {problem}", "invalid_json")
    if missing := re.match(r"Object missing required field `(.*)`", problem):
        param = f"{path}.{missing[1]}".lstrip(".")
        return EventRefused(f"Missing required parameter: '{param}'.", "missing_required_parameter", param)
    code = "invalid_type" if problem.startswith("Expected") else "invalid_value"
    return EventRefused(f"Invalid value for '{path}': {problem}." if path else f"{problem}.", code, path or None)


def refusal(error: EventRefused, event_id: str | None) -> dict[str, Any]:
    """The body of an `error` event for one of the client's."""
    return _body("invalid_request_error", error.code, error.message, error.param, event_id)


def failure(error: BaseException, event_id: str | None = None) -> dict[str, Any]:
    """The body of an `error` event for any exception, as the table of errors has it."""
    reply = error_reply(error)
    is_clients = isinstance(error, ClientError | RequestRefused) or reply.status < 500
    return _body("invalid_request_error" if is_clients else "server_error", reply.code, reply.message, None, event_id)


def _body(kind: str, code: str, message: str, param: str | None, event_id: str | None) -> dict[str, Any]:
    return {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
