"""Rules that follow their file."""

from dataclasses import dataclass, field
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from app.domain.errors import SettingsError
from app.domain.policy import Rules
from app.domain.ports import Clock
from app.policy.rules_file import read_rules

EVERY_S = 1.0

_log = structlog.get_logger("parley.policy")


@dataclass(slots=True)
class WatchedRules:
    """The rules in force. A changed file takes effect within a second or two; a wrong one is refused."""

    path: Path
    rules: Rules
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
            rules = await to_thread.run_sync(read_rules, self.path)
        except SettingsError as error:
            self.error = str(error)
            _log.error("the changed policy is refused, the old one stays", reason=self.error)
            return
        if rules != self.rules:
            _log.info("the policy has changed", policy=rules.name)
        self.rules, self.error = rules, ""


async def watched_rules(path: Path) -> WatchedRules:
    """The rules of this file. Raises SettingsError."""
    seen = await _stamp(path)
    return WatchedRules(path, await to_thread.run_sync(read_rules, path), _seen=seen)


async def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = await anyio.Path(path).stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
