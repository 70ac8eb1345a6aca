"""TOML, typed, with errors that name the line and the key."""

import re
import tomllib
from typing import Any

import msgspec

from app.domain.errors import SettingsError


def parse(text: str, source: str) -> dict[str, Any]:
    """The text as a table. Raises SettingsError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: {_lowered(str(error))}") from error


def typed(table: Any, kind: Any, *, text: str, source: str, under: str = "") -> Any:
    """The table as a value of this type; `under` is the key it stands at.

    Raises SettingsError: `source, line 3: hedge.share: expected ...`.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        words, _, at = str(error).partition(" - at `$")
        unknown = re.match(r"Object contains unknown field `(.+)`", words)
        names = [under, re.sub(r"\[[^]]*\]", "", at.rstrip("`")).strip("."), unknown[1] if unknown else ""]
        path = ".".join(filter(None, names))
        line = _line_of(text, path)
        where = f"{source}, line {line}" if line else source
        raise SettingsError(f"{where}: {path or 'the file'}: {_lowered(words)}") from error


def given(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields that were set."""
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not msgspec.UNSET}


def _lowered(words: str) -> str:
    return f"{words[:1].lower()}{words[1:]}"


def _line_of(text: str, path: str) -> int | None:
    """Where this key, or this table, stands."""
    *tables, key = path.split(".")
    within: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+([^]]+)\]", line)
        if header:
            within = [name.strip("\"' ") for name in header[1].split(".")]
            if within == [*tables, key]:
                return number
        elif within == tables and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return None
