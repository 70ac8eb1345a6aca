"""A filter that changes from block to block: audio in overlapping windows, each with a gain for every frequency."""

import numpy as np
from numpy.typing import NDArray


class SpectralGain:
    """A stream of windows in, of each the newest block out, faded from the last block's gains to its own.

    The block is the end of its window, so that nothing waits for audio behind it. What a smooth gain wraps around the
    end of a window is a few samples, and serves detection well enough.
    """

    def __init__(self, window: int, block: int) -> None:
        """Lengths in samples; the next window begins one block later."""
        self._block = block
        self._gains = np.ones(window // 2 + 1, np.float32)
        self._fade = (np.arange(block, dtype=np.float32) + 1) / block
        self._ready = np.zeros(2 * block, np.float32)

    def push(self, window: NDArray[np.float32], gains: NDArray[np.float32]) -> None:
        """The next window, shape (window,), and the gain of each bin of its spectrum, (window / 2 + 1,)."""
        spectrum = np.fft.rfft(window)
        before, after = (np.fft.irfft(spectrum * one)[-self._block :] for one in (self._gains, gains))
        self._ready = np.concatenate([self._ready, (before + self._fade * (after - before)).astype(np.float32)])
        self._gains = gains

    def take(self, samples: int) -> NDArray[np.float32]:
        """The next samples, one block late; there are always as many as were received."""
        taken, self._ready = self._ready[:samples], self._ready[samples:]
        return taken
