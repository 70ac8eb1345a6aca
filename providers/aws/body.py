"""A request body that lets the CRT's thread sleep while there is nothing to send."""

from contextlib import suppress
from io import RawIOBase
from threading import Lock
from typing import Protocol

_REST_S = 0.004
"""How long the CRT's thread may sleep between two looks at its sockets: the price of a result, at worst."""


class Rest:
    """Puts the CRT's only thread to sleep once a round, and wakes it when somebody writes.

    A round is over when a body is read for the second time without having anything new: by then every other
    open body has had its turn, so one sleep serves all of them, however many streams are open.
    """

    def __init__(self) -> None:
        self._round = 0
        self._bell = Lock()
        self._bell.acquire()

    def nothing_to_send(self, last_round: int) -> int:
        """Called on the CRT's thread; returns the round to bring along next time."""
        if last_round == self._round:
            self._bell.acquire(timeout=_REST_S)
            self._round += 1
        return self._round

    def ring(self) -> None:
        """Called on the event loop, after a write."""
        with suppress(RuntimeError):  # because the bell may still be ringing
            self._bell.release()


class Readable(Protocol):
    def readinto(self, into: memoryview) -> int: ...


class Body(RawIOBase):
    """A request body as the CRT wants to read it: on its own thread, whenever it likes."""

    def __init__(self, source: Readable, rest: Rest) -> None:
        super().__init__()
        self._source = source
        self._rest = rest
        self._round = -1

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]  # because the CRT brings memoryviews only
        try:
            return self._source.readinto(into)
        except BlockingIOError:
            self._round = self._rest.nothing_to_send(self._round)
            raise
