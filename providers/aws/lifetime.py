"""How long a Transcribe stream is kept, and what it costs.

A request is billed by the second of audio, and for fifteen seconds at least. A stream that is kept open between
two utterances saves the next minimum, but it must hear something within the service's idle limit, and that is
billed as well. How long a pause will last is unknown, so a stream is fed until the feeding has cost what
reopening costs: whatever the pause turns out to be, that is at most twice the price of having known.
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
    """What the service allows and what we make of it."""

    feed_every_s: float = 6.0
    """Well under the service's fifteen, so that one late feed does no harm."""

    feed_ms: int = 100
    """How much silence one feed is."""

    rest_s: float = 300.0
    """A stream that nobody has used for so long makes room for others."""

    age_s: float = 3.5 * 3600
    """The service cuts a stream off after four hours; no utterance begins in the last half."""


@dataclass(frozen=True, slots=True)
class StreamUsage:
    """An open stream, between two utterances."""

    opened_at: float
    fed_at: float
    """When it last heard anything."""

    resting_since: float
    samples: int
    """Sent so far."""

    samples_at_rest: int
    """Sent when the pause began."""

    expires_at: float = float("inf")
    """When the credentials it was opened with end."""


@dataclass(frozen=True, slots=True)
class FeedSilence:
    """Send it a little silence."""

    samples: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Let it go."""

    because: str


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Leave it alone until then."""

    until: float


Order: TypeAlias = FeedSilence | CloseStream | WaitUntil


def has_room(stream: StreamUsage, limits: StreamLimits, now: float) -> bool:
    """True where one more utterance may begin on this stream."""
    return now < _ends_at(stream, limits)


def rest(stream: StreamUsage, limits: StreamLimits, now: float) -> Order:
    """What to do with a stream while nobody speaks."""
    spent = billed_seconds(stream.samples) - billed_seconds(stream.samples_at_rest)
    gives_up_at = min(stream.resting_since + limits.rest_s, _ends_at(stream, limits))
    feeds_at = stream.fed_at + limits.feed_every_s
    if now >= _ends_at(stream, limits):
        return CloseStream("it is near a limit of the service")
    if now >= gives_up_at:
        return CloseStream("nobody has used it for long")
    if spent >= MINIMUM_S:
        return CloseStream("keeping it has cost as much as opening another")
    if now >= feeds_at:
        return FeedSilence(ms(limits.feed_ms))
    return WaitUntil(min(feeds_at, gives_up_at))


def _ends_at(stream: StreamUsage, limits: StreamLimits) -> float:
    return min(stream.opened_at + limits.age_s, stream.expires_at)
