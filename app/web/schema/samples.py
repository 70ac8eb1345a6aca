"""The command line of a request that an operation of the document describes."""

import json
import shlex
from typing import Any
from urllib.parse import quote, urlencode

_SERVER = "http://localhost:8000"


def shell_command(method: str, path: str, operation: dict[str, Any]) -> str:
    """With curl; the key is in the shell's variable PARLEY_KEY. What may be left out is left out."""
    values = {
        (each["in"], each["name"]): str(each.get("example", each["name"]))
        for each in operation["parameters"]
        if each["required"]
    }
    address = path.format(**{name: quote(value) for (place, name), value in values.items() if place == "path"})
    query = urlencode({name: value for (place, name), value in values.items() if place == "query"})
    words = ["curl", *_method(method, operation)]
    if operation["security"]:
        words.append('-H "Authorization: Bearer $PARLEY_KEY"')
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for (place, name), value in values.items() if place == "header"]
    words += _body(operation)
    return " ".join([*words, shlex.quote(f"{_SERVER}{address}{'?' if query else ''}{query}")])


def _method(method: str, operation: dict[str, Any]) -> list[str]:
    match method:
        case "GET":
            return []
        case "HEAD":
            return ["--head"]
        case "POST" if "requestBody" in operation:
            return []
        case _:
            return ["-X", method]


def _body(operation: dict[str, Any]) -> list[str]:
    ((kind, body),) = operation.get("requestBody", {"content": {"": {}}})["content"].items()
    if not kind:
        return []
    if "examples" in body:
        example = next(iter(body["examples"].values()))
        return [f"--json {shlex.quote(json.dumps(example['value']))}"]
    return [f"-H 'Content-Type: {kind}'", "--data-binary @FILE"]
