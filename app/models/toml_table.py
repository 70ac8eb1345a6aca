"""A table of a TOML file, read key by key, so that an error can say where it is and a misspelt key is seen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from app.domain.errors import SettingsError

_SPOKEN = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


@dataclass(slots=True)
class TomlTable:
    """Each method takes one key, or raises SettingsError in a sentence that begins with `place`."""

    table: Mapping[str, Any]
    place: str
    seen: set[str] = field(default_factory=set)

    def text(self, key: str, pattern: str = "(?s).+", *, default: str | None = None) -> str:
        value: str = self._take(key, str, default)
        if value != default and not re.fullmatch(pattern, value):
            raise SettingsError(f"{self.place}: {key} cannot be {value!r}.")
        return value

    def path(self, key: str, *, default: str | None = None) -> str:
        """A relative path with forward slashes that stays inside."""
        value = self.text(key, default=default)
        return value if value == default else self._inside(key, value)

    def whole(self, key: str) -> int:
        value: int = self._take(key, int)
        if value <= 0:
            raise SettingsError(f"{self.place}: {key} must be more than 0, not {value}.")
        return value

    def flag(self, key: str) -> bool:
        value: bool = self._take(key, bool, default=False)
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self.text(key)
        if value not in choices:
            raise SettingsError(f"{self.place}: {key} must be one of {', '.join(choices)}, not {value!r}.")
        return value

    def entries(self, key: str) -> list["TomlTable"]:
        tables = self._take(key, list)
        if not tables or not all(isinstance(table, dict) for table in tables):
            raise SettingsError(f"{self.place}: {key} must be a list of tables with at least one in it.")
        return [TomlTable(table, f"{self.place}: {key} {number}") for number, table in enumerate(tables, start=1)]

    def paths_by_name(self, key: str) -> dict[str, tuple[str, ...]]:
        lists = self._take(key, dict, default={})
        for name, paths in lists.items():
            if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
                raise SettingsError(f"{self.place}: {key} of {name} must be a list of paths.")
        return {name: tuple(self._inside(key, path) for path in paths) for name, paths in lists.items()}

    def refuse_the_rest(self) -> None:
        """Nothing may stand here that no method has asked for."""
        unknown = self.table.keys() - self.seen
        if unknown:
            raise SettingsError(f"{self.place}: nobody knows what {', '.join(sorted(unknown))} means.")

    def refuse_twins(self, key: str, names: list[str]) -> None:
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise SettingsError(f"{self.place}: more than one {key} is named {', '.join(twins)}.")

    def _take(self, key: str, kind: type, default: Any = None) -> Any:
        self.seen.add(key)
        value = self.table.get(key, default)
        if value is None:
            raise SettingsError(f"{self.place}: {key} is missing.")
        if type(value) is not kind:
            raise SettingsError(f"{self.place}: {key} must be {_SPOKEN[kind]}, not {value!r}.")
        return value

    def _inside(self, key: str, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or str(path) != value:
            raise SettingsError(f"{self.place}: {key} must be a plain relative path, not {value!r}.")
        return value
