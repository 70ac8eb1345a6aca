"""SessionLog: the write-ahead log on the local disk, as the runtime sees it.

For each session there is a folder of append-only logs, and each log is a sequence of whole records.
"""

from collections.abc import Sequence
from typing import Protocol


class SessionLog(Protocol):
    """What append() has returned for survives this process; by its policy (`PARLEY_SPOOL_FSYNC`) the machine too.

    Every method raises ProviderDown where the disk fails, and BlobUnreadable where a record was
    encrypted with another key.
    """

    async def append(self, session: str, log: str, records: Sequence[bytes]) -> None:
        """All of them or none. Raises ProviderBusy where the disk is full."""
        ...

    async def read(self, session: str, log: str) -> list[bytes]:
        """Every whole record, in order; none where there is no such log."""
        ...

    async def read_from(self, session: str, log: str, offset: int) -> tuple[list[bytes], int]:
        """The whole records from `offset` on, and the offset behind them. The log begins at 0."""
        ...

    async def log_names(self, session: str) -> list[str]:
        """The session's logs, in the order of their names."""
        ...

    async def sessions(self) -> list[tuple[str, float]]:
        """Every session that has a log, with the seconds since it was last written to; oldest first."""
        ...

    async def remove_log(self, session: str, log: str) -> None: ...

    async def remove_session(self, session: str) -> None:
        """Remove all of this session's logs; at once or not at all."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes in all logs of all sessions."""
        ...

    @property
    def has_space(self) -> bool:
        """Whether one more session may begin: below the limit, and with free space on the disk."""
        ...
