"""Typed TOML files: read with msgspec; every error is a SettingsError that names the file, the line and the key."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from app.domain.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """A parsed TOML file that is not typed yet."""

    text: str
    source: str
    """Its path, for error messages."""
    table: dict[str, Any]

    def convert(self, kind: type[T], under: str = "") -> T:
        """The document, or the table at the key `under` (`name`, or `name[0]` in an array), as a value of this type.

        Raises SettingsError, such as `rules.toml, line 3: hedge.share: expected ...`.
        """
        try:
            return msgspec.convert(self._table_at(under) if under else self.table, kind, dec_hook=_path)
        except msgspec.ValidationError as error:
            words, _, at = str(error).partition(" - at `$")
            unknown = re.match(r"Object contains unknown field `(.+)`", words)
            names = [under, at.rstrip("`").replace("[...]", "").strip("."), unknown[1] if unknown else ""]
            raise SettingsError(self.complaint(".".join(filter(None, names)), _uncapitalized(words))) from error

    def complaint(self, path: str, words: str) -> str:
        """What is wrong with the key at this path, as a sentence that names the file, the line and the key."""
        line = _line_of(self.text, path)
        where = f"{self.source}, line {line}" if line else self.source
        key = re.sub(r"\[\d+\]", "", path)
        return f"{where}: {key or 'the file'}: {words}"

    def _table_at(self, under: str) -> Any:
        name, _, number = under.rstrip("]").partition("[")
        return self.table[name][int(number)] if number else self.table[name]


def read_toml(path: Path, kind: type[T]) -> T:
    """The whole file as a value of this type. Blocking. Raises SettingsError."""
    return read_document(path).convert(kind)


def read_document(path: Path, *, setting: str = "") -> TomlDocument:
    """Blocking. Raises SettingsError where the file cannot be read, is not UTF-8 or is not TOML.

    `setting` is the variable that names the file; the error names it, too.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        prefix = f"{setting}: " if setting else ""
        raise SettingsError(f"{prefix}{path} cannot be read: {error}") from error
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> TomlDocument:
    """Raises SettingsError."""
    try:
        return TomlDocument(text, source, tomllib.loads(text))
    except RecursionError as error:
        raise SettingsError(f"{source}: it is nested too deep") from error
    except ValueError as error:  # TOMLDecodeError, and numbers of more digits than Python converts
        raise SettingsError(f"{source}: {_uncapitalized(str(error))}") from error


def given(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields of a struct that are not UNSET, by name."""
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not msgspec.UNSET}


def _uncapitalized(words: str) -> str:
    return f"{words[:1].lower()}{words[1:]}"


def _path(kind: type, value: Any) -> Any:
    """Msgspec's hook for the one type of ours that it does not know."""
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise NotImplementedError(kind)


def _line_of(text: str, path: str) -> int | None:
    """The line of this key or of this table's header, counted from 1; else that of the nearest key around it.

    The entries of an array of tables are counted from 0: `model[1].file[0].size`.
    """
    *tables, key = path.split(".")
    entries, within = dict[str, int](), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[+)([^]]+)\]", line):
            within = _location(header[2], entries, is_array=header[1] == "[[")
            if within == [*tables, key]:
                return number
        elif within == tables and re.match(rf"\s*[\"']?{re.escape(_unindexed(key))}[\"']?\s*=", line):
            return number
    return _line_of(text, ".".join(tables)) if tables else None


def _location(header: str, entries: dict[str, int], *, is_array: bool) -> list[str]:
    """The tables around what follows a header, indexed; `entries` counts the entries of each array so far."""
    names = [name.strip("\"' ") for name in header.split(".")]
    prefixes = [".".join(names[: depth + 1]) for depth in range(len(names))]
    if is_array:
        entries[prefixes[-1]] = entries.get(prefixes[-1], -1) + 1
        for inner in [prefix for prefix in entries if prefix.startswith(f"{prefixes[-1]}.")]:
            del entries[inner]  # the arrays of a new entry begin anew
    return [
        f"{name}[{entries[prefix]}]" if prefix in entries else name
        for name, prefix in zip(names, prefixes, strict=True)
    ]


def _unindexed(key: str) -> str:
    return re.sub(r"\[\d+\]$", "", key)
