"""A request body that lets the CRT's thread sleep while there is nothing to send."""

import time
from collections import deque
from contextlib import suppress
from threading import Lock

_REST_S = 0.005
"""How long the CRT's thread may sleep between two looks at its sockets: what a result waits, at worst."""

_ROUND_PER_STREAM_S = 0.00025
"""How long a round lasts at least, so that of many streams each write need not wake all."""


class PollThrottle:
    """Puts the CRT's only thread to sleep once a round, and wakes it when somebody writes.

    A round is over when a body is read for the second time without having anything new: by then every other
    open body has had its turn, so one sleep serves all of them, however many streams are open.
    """

    def __init__(self) -> None:
        self._round = 0
        self._idle = 0
        """Bodies of this round that had nothing to send."""
        self._woke_at = 0.0
        self._bell = Lock()
        self._bell.acquire()

    def nothing_to_send(self, last_round: int) -> int:
        """Called on the CRT's thread; returns the round to bring along next time."""
        if last_round == self._round:
            self._bell.acquire(timeout=_REST_S)
            early = self._woke_at + _ROUND_PER_STREAM_S * (self._idle - 1) - time.monotonic()
            if early > 0:
                time.sleep(early)
            self._round, self._idle, self._woke_at = self._round + 1, 0, time.monotonic()
        self._idle += 1
        return self._round

    def ring(self) -> None:
        """Called on the event loop, after a write."""
        with suppress(RuntimeError):  # because the bell may still be ringing
            self._bell.release()


class ThrottledBody:
    """What goes out on a stream: written on the event loop, read by the CRT on its own thread."""

    def __init__(self, rest: PollThrottle) -> None:
        self._rest = rest
        self._round = -1
        self._pieces: deque[bytes] = deque()
        self._written = 0
        self._read = 0
        self._is_ended = False

    @property
    def unsent_bytes(self) -> int:
        """Written and not yet read; whoever writes keeps it small."""
        return self._written - self._read

    def write(self, data: bytes) -> int:
        """Raises OSError after the end."""
        if self._is_ended:
            raise OSError("the stream has ended")
        self._pieces.append(data)
        self._written += len(data)
        self._rest.ring()
        return len(data)

    def end_stream(self) -> None:
        """Nothing more comes; what was written is still read."""
        self._is_ended = True
        self._rest.ring()

    def close(self) -> None:
        """Nothing more comes, and nobody needs the rest."""
        self._pieces.clear()
        self.end_stream()

    def read(self, size: int) -> bytes:
        """Called by the CRT. Raises BlockingIOError, after a rest, where there is nothing yet."""
        try:
            piece = self._pieces.popleft()
        except IndexError:
            if self._is_ended:
                return b""
            self._round = self._rest.nothing_to_send(self._round)
            raise BlockingIOError from None
        if len(piece) > size:
            self._pieces.appendleft(piece[size:])
            piece = piece[:size]
        self._read += len(piece)
        return piece
