"""A request body that throttles awscrt's event-loop thread while there is nothing to send.

The AWS Common Runtime (awscrt) polls the body of an open HTTP/2 request in a busy loop: a `read` that returns at once
with nothing keeps one core busy for as long as the stream is open. Blocking inside `read` throttles that thread to at
least 5 ms a round, all open streams together, and a write wakes it at once.
"""

import time
from collections import deque
from contextlib import suppress
from threading import Lock

_MAX_WAIT_S = 0.005
"""How long awscrt's thread may sleep between two looks at its sockets: the delay of a result, at worst."""

_MIN_ROUND_PER_STREAM_S = 0.00025
"""How long a round lasts at least for each idle stream, so that with many streams a write does not wake all of them."""


class PollThrottle:
    """Makes awscrt's only thread sleep once a round of polls, and wakes it on a write.

    A round is over when a body is read for the second time without anything new: by then every other open body was
    read too, so one sleep serves all of them, however many streams are open.
    """

    def __init__(self) -> None:
        self._round = 0
        self._idle_bodies = 0
        """Bodies of this round that had nothing to send."""
        self._woke_at = 0.0
        self._wakeup = Lock()  # held while nothing was written: `acquire` is the wait, `release` the wake-up
        self._wakeup.acquire()

    def wait_for_data(self, last_round: int) -> int:
        """Blocks awscrt's thread where the round is over; returns the round to pass next time."""
        if last_round == self._round:
            self._wakeup.acquire(timeout=_MAX_WAIT_S)
            early_s = self._woke_at + _MIN_ROUND_PER_STREAM_S * (self._idle_bodies - 1) - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            self._round, self._idle_bodies, self._woke_at = self._round + 1, 0, time.monotonic()
        self._idle_bodies += 1
        return self._round

    def notify(self) -> None:
        """Wake awscrt's thread; called on the event loop, after a write."""
        with suppress(RuntimeError):  # because it may have been woken already
            self._wakeup.release()


class ThrottledBody:
    """The body of one request: written on the event loop, read by awscrt on its own thread."""

    def __init__(self, throttle: PollThrottle) -> None:
        self._throttle = throttle
        self._round = -1
        self._pieces: deque[bytes] = deque()
        self._written = 0
        self._read = 0
        self._is_ended = False

    @property
    def unsent_bytes(self) -> int:
        """Written and not yet read; the writer keeps it small."""
        return self._written - self._read

    def write(self, data: bytes) -> int:
        """Raises OSError after the end."""
        if self._is_ended:
            raise OSError("the stream has ended")
        self._pieces.append(data)
        self._written += len(data)
        self._throttle.notify()
        return len(data)

    def end_stream(self) -> None:
        """Nothing more follows; what was written is still read."""
        self._is_ended = True
        self._throttle.notify()

    def close(self) -> None:
        """Nothing more follows, and what was not read yet is dropped."""
        self._pieces.clear()
        self.end_stream()

    def read(self, size: int) -> bytes:
        """Called by awscrt. Raises BlockingIOError, after a wait, where there is nothing yet."""
        try:
            piece = self._pieces.popleft()
        except IndexError:
            if self._is_ended:
                return b""
            self._round = self._throttle.wait_for_data(self._round)
            raise BlockingIOError from None
        if len(piece) > size:
            self._pieces.appendleft(piece[size:])
            piece = piece[:size]
        self._read += len(piece)
        return piece
