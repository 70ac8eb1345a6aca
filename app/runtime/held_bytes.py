"""HeldBytes: how many bytes of files requests hold in memory, all together, and what is refused beyond it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.domain.errors import ProviderBusy


@dataclass(slots=True)
class HeldBytes:
    """Bytes count when they have come, not when they are announced: who announces much and sends nothing takes none."""

    name: str
    most: int
    total: int = 0

    @contextmanager
    def counted(self) -> Iterator[Callable[[int], None]]:
        """For one request: a function to call with the length of each piece. It raises ProviderBusy beyond the limit.

        They count until the end of the context.
        """
        own = 0

        def hold(count: int) -> None:
            nonlocal own
            if self.total + count > self.most:
                raise ProviderBusy(self.name, "is receiving as many files as it has memory for; try again in a moment")
            self.total += count
            own += count

        try:
            yield hold
        finally:
            self.total -= own
