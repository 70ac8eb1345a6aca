"""Decides how long an idle Transcribe stream is kept open, and what it costs.

A request is billed by the second of audio, and for fifteen seconds at least. A stream that is kept open between two
utterances saves the next minimum, but it must receive audio within the service's idle limit, and that is billed too.
How long a pause will last is unknown, so a stream is kept alive until that has cost what reopening costs: whatever the
pause turns out to be, that is at most twice the price of having known (the ski-rental problem).
"""

from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

from app.domain.audio import SAMPLE_RATE, ms

MINIMUM_S = 15
"""What a request costs at least, in seconds of audio."""


def billed_seconds(samples: int) -> int:
    """What a stream costs that carried this much audio; a stream that never carried any is free."""
    return max(MINIMUM_S, ceil(samples / SAMPLE_RATE)) if samples else 0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The service's limits, and ours within them."""

    keepalive_every_s: float = 6.0
    """Well under the service's fifteen, so that one late keep-alive does no harm."""

    keepalive_ms: int = 100
    """How much silence a keep-alive is."""

    idle_timeout_s: float = 300.0
    """A stream without an utterance for so long makes room for others."""

    max_age_s: float = 3.5 * 3600
    """The service closes a stream after four hours; no utterance begins in the last half."""


@dataclass(frozen=True, slots=True)
class StreamUsage:
    """How an open stream was used so far; times are seconds of the event loop's clock."""

    opened_at: float
    last_audio_at: float
    """When anything was last sent."""

    idle_since: float
    samples: int
    """Sent so far."""

    samples_when_idle: int
    """Sent when the pause began."""

    expires_at: float = float("inf")
    """When the credentials it was opened with end."""


@dataclass(frozen=True, slots=True)
class SendSilence:
    """Keep it alive with so many samples of silence."""

    samples: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """It is not worth keeping."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing is due before then."""

    until: float


IdleAction: TypeAlias = SendSilence | CloseStream | WaitUntil


def accepts_utterance(stream: StreamUsage, limits: StreamLimits, now: float) -> bool:
    """Whether one more utterance may begin on this stream."""
    return now < _ends_at(stream, limits)


def idle_action(stream: StreamUsage, limits: StreamLimits, now: float) -> IdleAction:
    """What to do with a stream that carries no utterance."""
    spent_s = billed_seconds(stream.samples) - billed_seconds(stream.samples_when_idle)
    closes_at = min(stream.idle_since + limits.idle_timeout_s, _ends_at(stream, limits))
    keepalive_at = stream.last_audio_at + limits.keepalive_every_s
    if now >= _ends_at(stream, limits):
        return CloseStream("it is near a limit of the service")
    if now >= closes_at:
        return CloseStream("it was idle for too long")
    if spent_s >= MINIMUM_S:
        return CloseStream("keeping it has cost as much as opening another")
    if now >= keepalive_at:
        return SendSilence(ms(limits.keepalive_ms))
    return WaitUntil(min(keepalive_at, closes_at))


def _ends_at(stream: StreamUsage, limits: StreamLimits) -> float:
    return min(stream.opened_at + limits.max_age_s, stream.expires_at)
