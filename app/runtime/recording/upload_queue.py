"""The queue of sessions that have something to upload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import anyio


class UploadOutcome(Enum):
    """What becomes of a session after one attempt to upload it."""

    DONE = auto()
    RETRY = auto()
    """It is due again: the store failed."""
    DEFECTIVE = auto()
    """It is not tried again by this process: its own logs are at fault."""


@dataclass(slots=True)
class UploadQueue:
    """Sessions in the order in which they became due. At most one task uploads a session at a time.

    Unbounded: it holds ids alone, of sessions whose audio is on the disk.
    """

    _due: dict[str, float] = field(default_factory=dict)
    """Session to the time since when it waits, on the event loop's clock."""
    _uploading: dict[str, float] = field(default_factory=dict)
    _defective: dict[str, float] = field(default_factory=dict)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def waiting(self) -> Mapping[str, float]:
        """Every session that is not whole in the store, with the time since when it waits."""
        return self._defective | self._due | self._uploading

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due and nothing is being uploaded."""
        return not self._due and not self._uploading

    def schedule(self, session: str, since: float | None = None) -> None:
        """The session is due: since now, or since `since`."""
        self._due.setdefault(session, anyio.current_time() if since is None else since)
        self._notify()

    async def take(self) -> str:
        """The next session, which is being uploaded from now on; finish() must follow."""
        while True:
            for session in self._due:
                if session not in self._uploading:
                    self._uploading[session] = self._due.pop(session)
                    return session
            await self._changed.wait()

    def finish(self, session: str, outcome: UploadOutcome) -> None:
        """The attempt is over. What became due meanwhile stays due."""
        since = self._uploading.pop(session)
        match outcome:
            case UploadOutcome.RETRY:
                self._due[session] = min(since, self._due.get(session, since))
            case UploadOutcome.DEFECTIVE:
                self._defective[session] = since
            case UploadOutcome.DONE:
                pass
        self._notify()

    async def remove(self, session: str) -> None:
        """Forget the session, as soon as it is not being uploaded."""
        self._due.pop(session, None)
        while session in self._uploading:
            await self._changed.wait()
        self._due.pop(session, None)
        self._defective.pop(session, None)

    async def wait_for_change(self) -> None:
        """Return after the next schedule() or finish()."""
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
