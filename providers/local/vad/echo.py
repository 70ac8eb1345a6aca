"""Echo detection: whether the microphone hears what is being played, for clients without echo cancellation.

What was sent and what the microphone hears are compared in 20 mel bands, every 16 ms. The delay between both is the lag
at which the levels of the bands, less each band's own mean, correlate best. (The delay estimator of WebRTC's audio
processing, `modules/audio_processing/utility/delay_estimator.cc`, does so with one bit a band.) At that lag the loss of
a band on its way through the room is a low quantile of the difference of levels: a person who talks over the echo makes
the difference larger, never smaller. Sound whose energy is, to a large part, NEAR_MARGIN_DB above the echo to be
expected is of the near end: of a person, or of the room. Of it, the echo's share is suppressed in each band, because
noise in the room would else make speech of the echo under it. That is for detection alone.
"""

import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE, AudioChunk
from providers.local.vad.spectral_gain import SpectralGain

HOP = 256
"""Samples between two frames: 16 ms."""
WINDOW = 2 * HOP
BANDS = 20
LOWEST_HZ, HIGHEST_HZ = 150.0, 6500.0
SILENCE_DB = -75.0
"""Level below full scale that counts as silence."""

MAX_DELAY_HOPS = 64
"""The longest way from sending to hearing: 1.02 s."""
MEMORY_HOPS = 188
"""Frames from which the loss of the room is taken: 3 s."""
FORGET = 1 - HOP / SAMPLE_RATE / 0.8
"""Time constant of the correlation: 0.8 s."""
FORGET_MEAN = 1 - HOP / SAMPLE_RATE / 2.0
DECAY_DB = 60 * HOP / SAMPLE_RATE / 0.4
"""What reverberation loses from frame to frame, in a room with a reverberation time of 0.4 s."""

LEAST_CORRELATION = 0.55
LEAST_LEAD = 0.15
"""By how much the best lag must exceed all that are not beside it: unrelated speech agrees with many lags a little."""
LARGEST_SPREAD_DB = 6.0
"""Median deviation of the levels from the expected ones."""
NEIGHBOUR_HOPS = 8
HEADSET_HOPS = 188
"""Frames of loud sound, 3 s, whose echo was not found: there is none."""
AGREEING_HOPS = 12
"""Frames in a row that must find the same lag before it is believed: 0.2 s."""
LEAST_LOUD_HOPS = 12
"""Frames in which a band must have been played loudly before its loss is known."""
LOSS_QUANTILE = 0.4
NOISE_QUANTILE = 0.1
"""Of the levels of a band in memory: the room without speech."""
LOSS_EVERY_HOPS = 8
"""Between two estimates of the loss and of the room's noise."""
LOUD_DB = 20.0
"""Above SILENCE_DB: what is played so loud may be audible."""
NEAR_MARGIN_DB = 6.0
NEAR_SHARE = 0.25
"""Share of a frame's energy that the echo does not explain, from which it is of the near end."""
SUPPRESSED_DB = 3.0
"""Above the echo to be expected, in what is suppressed of it."""
LEAST_GAIN_DB = -30.0
"""Of a band that is all echo, in a frame that is of the near end."""

Bands: TypeAlias = NDArray[np.float32]
"""Levels in dB below full scale, shape (BANDS,) or (frames, BANDS)."""
Samples: TypeAlias = NDArray[np.float32]
"""Audio from -1 to 1."""


class MelEchoDetector:
    """An EchoDetector. It costs 17 ms of computing a second while something is played, else nothing."""

    def __init__(self) -> None:
        self._played: deque[tuple[int, Samples]] = deque()
        """Sounds sent, each with its first sample on the session's clock of samples."""
        self._played_end = 0
        self._held = np.zeros(0, np.float32)
        self._frame_start = 0
        self._reference = np.full((MAX_DELAY_HOPS + MEMORY_HOPS, BANDS), SILENCE_DB, np.float32)
        self._microphone = np.full((MEMORY_HOPS, BANDS), SILENCE_DB, np.float32)
        self._means = np.full((2, BANDS), SILENCE_DB, np.float32)
        self._covariance = np.zeros(MAX_DELAY_HOPS, np.float32)
        self._reference_power = np.zeros(MAX_DELAY_HOPS, np.float32)
        self._microphone_power = 0.0
        self._hops_since_sound = MAX_DELAY_HOPS
        self._lag: int | None = None
        self._candidate, self._agreeing = 0, 0
        self._hops, self._loud_hops = 0, 0
        self._loss = np.zeros(BANDS, np.float32)
        self._noise = np.full(BANDS, SILENCE_DB, np.float32)
        self._near = 0.0
        self._suppressed = SpectralGain(WINDOW, HOP)

    @property
    def delay(self) -> int | None:
        """Samples from a sound's sending to its return; None where no echo was found."""
        return None if self._lag is None else self._lag * HOP

    @property
    def may_echo(self) -> bool:
        """Whether an echo was found, or HEADSET_HOPS of sound were not played yet."""
        return self._lag is not None or self._loud_hops < HEADSET_HOPS

    def play(self, pcm: bytes, at: int) -> None:
        """This was sent to be played, behind what was sent before; `at` is where the session's audio was."""
        start = max(at, self._played_end)
        sound = _samples(pcm)
        self._played.append((start, sound))
        self._played_end = start + len(sound)

    def stop(self, at: int) -> None:
        """The client was told to play no more."""
        kept = [(start, sound[: max(0, at - start)]) for start, sound in self._played if start < at]
        self._played = deque(kept)
        self._played_end = min(self._played_end, at)

    def near_end(self, chunk: AudioChunk) -> bytes:
        """As many samples of the microphone's audio, the next in order, without what was played.

        They are HOP samples late while an echo is known, and unchanged while none is, or nothing is played.
        """
        if not self._played and self._hops_since_sound >= MAX_DELAY_HOPS:
            self._held = np.zeros(0, np.float32)
            self._suppressed = SpectralGain(WINDOW, HOP)
            return chunk.pcm
        if not len(self._held):
            self._frame_start = chunk.start
        self._held = np.concatenate([self._held, _samples(chunk.pcm)])
        while len(self._held) >= WINDOW:
            window, self._held = self._held[:WINDOW], self._held[HOP:]
            gains = self._take(_levels(window), _levels(self._sound_at(self._frame_start)))
            self._suppressed.push(window, gains @ _BINS)
            self._frame_start += HOP
        near_end = self._suppressed.take(chunk.samples)
        return chunk.pcm if self._lag is None else _pcm16(near_end)

    def _sound_at(self, start: int) -> Samples:
        """What is being played here, in a window."""
        window = np.zeros(WINDOW, np.float32)
        while self._played and self._played[0][0] + len(self._played[0][1]) <= start:
            self._played.popleft()
        for begin, sound in self._played:
            if begin >= start + WINDOW:
                break
            first, last = max(begin, start), min(begin + len(sound), start + WINDOW)
            window[first - start : last - start] = sound[first - begin : last - begin]
        return window

    def _take(self, microphone: Bands, sent: Bands) -> Bands:
        """One frame of the microphone, and of what is played at the same time. The gain of each band, 0 to 1."""
        self._hops += 1
        self._loud_hops += bool(sent.max() > SILENCE_DB + LOUD_DB)
        self._hops_since_sound = 0 if sent.max() > SILENCE_DB + 6 else self._hops_since_sound + 1
        self._reference = np.roll(self._reference, -1, axis=0)
        self._reference[-1] = np.maximum(sent, self._reference[-2] - DECAY_DB)
        self._microphone = np.roll(self._microphone, -1, axis=0)
        self._microphone[-1] = microphone
        self._correlate()
        if self._lag is None:
            return _ALL
        expected = self._expected(self._lag)
        if self._hops % LOSS_EVERY_HOPS == 0:
            self._loss = _loss(self._microphone, expected)
            self._noise = np.quantile(self._microphone, NOISE_QUANTILE, axis=0).astype(np.float32)
        echo_db = expected[-1] + self._loss
        power = _power(microphone)
        above = np.maximum(power - _power(np.maximum(echo_db, self._noise) + NEAR_MARGIN_DB), 0)
        self._near += 0.5 * (float(np.sum(above) / np.sum(power)) - self._near)
        if self._near < NEAR_SHARE:
            return _NONE
        left = np.maximum(1 - _power(echo_db + SUPPRESSED_DB) / power, 10 ** (LEAST_GAIN_DB / 10))
        return np.asarray(np.sqrt(left), np.float32)

    def _expected(self, lag: int) -> Bands:
        """What was played, as long ago as each frame in memory would have it at this lag."""
        end = len(self._reference) - lag
        return self._reference[end - MEMORY_HOPS : end]

    def _correlate(self) -> None:
        """Look for the lag at which the microphone follows what is played."""
        recent = self._reference[-MAX_DELAY_HOPS:][::-1]
        microphone = self._microphone[-1]
        share = max(1 / self._hops, 1 - FORGET_MEAN)
        self._means += share * (np.stack([microphone, recent[0]]) - self._means)
        x, y = microphone - self._means[0], recent - self._means[1]
        self._covariance = FORGET * self._covariance + y @ x
        self._reference_power = FORGET * self._reference_power + np.sum(y * y, axis=1)
        self._microphone_power = FORGET * self._microphone_power + float(x @ x)
        correlation = self._covariance / np.sqrt(self._reference_power * self._microphone_power + 1e-9)
        best = int(np.argmax(correlation))
        others = np.abs(np.arange(MAX_DELAY_HOPS) - best) > NEIGHBOUR_HOPS
        leads = correlation[best] > LEAST_CORRELATION and correlation[best] - correlation[others].max() > LEAST_LEAD
        self._agreeing = self._agreeing + 1 if leads and abs(best - self._candidate) <= 1 else 0
        self._candidate = best
        if self._agreeing >= AGREEING_HOPS and best != self._lag:
            expected = self._expected(best)
            loss = _loss(self._microphone, expected)
            if _spread(self._microphone, expected, loss) <= LARGEST_SPREAD_DB:
                self._lag, self._loss = best, loss


def _loss(microphone: Bands, played: Bands) -> Bands:
    """Of each band, in dB; where a band was never loud enough, that of the others."""
    loud = played > SILENCE_DB + LOUD_DB
    known = loud.sum(axis=0) >= LEAST_LOUD_HOPS
    if not known.any():
        return np.zeros(BANDS, np.float32)
    difference = np.where(loud, microphone - played, np.nan)[:, known]
    loss = np.full(BANDS, np.nan, np.float32)
    loss[known] = np.nanquantile(difference, LOSS_QUANTILE, axis=0)
    return np.asarray(np.where(known, loss, np.nanmedian(loss)), np.float32)


def _spread(microphone: Bands, played: Bands, loss: Bands) -> float:
    """How far the levels are from the expected ones, in dB: the median."""
    loud = played > SILENCE_DB + LOUD_DB
    return float(np.median(np.abs(microphone - played - loss)[loud])) if loud.any() else np.inf


def _power(levels: Bands) -> Bands:
    return np.asarray(10 ** (levels / 10), np.float32)


def _pcm16(samples: Samples) -> bytes:
    return np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def _levels(window: Samples) -> Bands:
    """Of 32 ms of audio, in dB below full scale, in each band."""
    power = np.abs(np.fft.rfft(window * _HANN)) ** 2 / (WINDOW * WINDOW / 16)
    return np.asarray(np.maximum(10 * np.log10(_FILTERS @ power + 1e-12), SILENCE_DB), np.float32)


def _filters() -> NDArray[np.float32]:
    """Triangles of equal width on the mel scale, shape (BANDS, bins)."""
    lowest, highest = (2595 * math.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(np.minimum(rising, falling), 0), np.float32)


_HANN = np.hanning(WINDOW).astype(np.float32)
_FILTERS = _filters()
_BINS = (_FILTERS + 1e-6) / (_FILTERS + 1e-6).sum(axis=0)
"""Share of each band in each bin of the spectrum, shape (BANDS, bins)."""
_ALL, _NONE = np.ones(BANDS, np.float32), np.zeros(BANDS, np.float32)


@asynccontextmanager
async def open_echo_detectors() -> AsyncIterator[Callable[[], MelEchoDetector]]:
    """What makes one for each session."""
    yield MelEchoDetector
