"""What the runtime asks of the local disk: append-only logs of whole records, a folder of them for each session."""

from collections.abc import Sequence
from typing import Protocol


class SessionLog(Protocol):
    """What append() has returned for survives this process; by its policy the machine too."""

    async def append(self, session: str, log: str, records: Sequence[bytes]) -> None:
        """All of them or none. Raises ProviderBusy where the disk is full, ProviderDown where it fails."""
        ...

    async def read(self, session: str, log: str) -> list[bytes]:
        """Every whole record, in order; none where there is no such log."""
        ...

    async def log_names(self, session: str) -> list[str]:
        """By name, in order."""
        ...

    async def sessions(self) -> list[tuple[str, float]]:
        """Every session that has something here, with the seconds since it was last written to; oldest first."""
        ...

    async def remove_log(self, session: str, log: str) -> None: ...

    async def remove_session(self, session: str) -> None:
        """Remove all that is here of this session; at once or not at all."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes in all logs."""
        ...

    @property
    def has_space(self) -> bool:
        """Whether one more session may begin."""
        ...
