"""What follows its file: rules, tenants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import anyio
import structlog
from anyio import to_thread

from app.domain.errors import SettingsError
from app.domain.ports import Clock

EVERY_S = 1.0

T = TypeVar("T")

_log = structlog.get_logger("parley.policy")


@dataclass(slots=True)
class ReloadingFile(Generic[T]):
    """What the file says. A changed file takes effect within a second or two; a wrong one is refused."""

    path: Path
    read: Callable[[Path], T]
    """Blocking. Raises SettingsError."""
    value: T
    error: str = ""
    """Why the newest file is refused; empty where it is in force."""
    _seen: tuple[int, int] = field(default=(0, 0))

    async def follow(self, clock: Clock) -> None:
        """Look at the file again and again, for ever."""
        while True:
            await clock.sleep_until(clock.now() + EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Read the file if it is another than it was."""
        seen = await _stamp(self.path)
        if seen in (self._seen, (0, 0)):
            return  # an editor may be just replacing it
        self._seen = seen
        try:
            value = await to_thread.run_sync(self.read, self.path)
        except SettingsError as error:
            self.error = str(error)
            _log.error("the changed file is refused, what it said before stays", reason=self.error)
            return
        if value != self.value:
            _log.info("the changed file is in force", file=self.path.name)
        self.value, self.error = value, ""


async def open_reloading_file(path: Path, read: Callable[[Path], T]) -> ReloadingFile[T]:
    """What this file says, now and later. Raises SettingsError."""
    seen = await _stamp(path)
    return ReloadingFile(path, read, await to_thread.run_sync(read, path), _seen=seen)


async def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = await anyio.Path(path).stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
