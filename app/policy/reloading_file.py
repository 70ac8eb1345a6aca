"""A file, or a folder of TOML files, whose parsed value is reloaded when it changes: rules, tenants, profiles."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import structlog
from anyio import to_thread

from app.domain.errors import SettingsError
from app.domain.ports import Clock

CHECK_EVERY_S = 1.0

T = TypeVar("T")
Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, time of the last change in nanoseconds, and size in bytes, of each file."""

_log = structlog.get_logger("parley.policy")


@dataclass(slots=True)
class ReloadingFile(Generic[T]):
    """The value of the newest valid file. A change takes effect within two seconds; an invalid file changes nothing."""

    path: Path
    read: Callable[[Path], T]
    """Blocking. Raises SettingsError."""
    value: T
    on_change: Callable[[str], None] = lambda _: None
    """Called when a changed file is in force, with an empty text, or is refused, with the reason."""
    error: str = ""
    """Why the newest file is not in force; empty where it is."""
    _stamp: Stamp | None = field(default=None)

    async def reload_loop(self, clock: Clock) -> None:
        """Check the file every second, for ever."""
        while True:
            await clock.sleep_until(clock.now() + CHECK_EVERY_S)
            await self.reload_if_changed()

    async def reload_if_changed(self) -> None:
        """Read the file if its time or size has changed. Whatever is wrong with it, the value stays."""
        try:
            stamp = await _stamp_of(self.path)
        except OSError as error:
            self._refuse(f"{self.path} cannot be read: {error}")
            return
        if stamp is None or stamp == self._stamp:
            return  # a missing file changes nothing: an editor may be replacing it
        try:
            value = await to_thread.run_sync(self.read, self.path)
        except SettingsError as error:
            self._refuse(str(error))
            return
        except OSError as error:
            self._refuse(f"{self.path} cannot be read: {error}")
            return
        if value != self.value:
            _log.info("changed file in force", file=self.path.name)
            self.on_change("")
        self.value, self.error, self._stamp = value, "", stamp

    def _refuse(self, reason: str) -> None:
        """Until the file is valid it is read every time: mended permissions change neither its time nor its size."""
        self._stamp = None
        if reason != self.error:
            self.error = reason
            _log.error("changed file refused, the value before stays in force", reason=reason)
            self.on_change(reason)


async def open_reloading_file(path: Path, read: Callable[[Path], T]) -> ReloadingFile[T]:
    """The file's value, now and after each change. Raises SettingsError where it cannot be read now."""
    try:
        stamp = await _stamp_of(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    return ReloadingFile(path, read, await to_thread.run_sync(read, path), _stamp=stamp)


async def _stamp_of(path: Path) -> Stamp | None:
    """None where there is no such file."""
    return await to_thread.run_sync(_stamp, path)


def _stamp(path: Path) -> Stamp | None:
    try:
        stats = [(each, each.stat()) for each in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    except FileNotFoundError:
        return None
    return tuple((each.name, stat.st_mtime_ns, stat.st_size) for each, stat in stats)
