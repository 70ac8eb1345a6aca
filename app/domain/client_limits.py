"""Limits of connections, sessions and requests, and when a session has reached one of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.domain.errors import ClientFault


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Of one process; 0 is no limit."""

    connections: int = 0
    """Open WebSocket sessions, whether they have a place or not."""
    connections_per_address: int = 0
    connections_per_key: int = 0
    session_standby_s: float = 0.0
    """Without audio for so long, a session keeps its connection and releases its place."""
    session_idle_s: float = 0.0
    """Without audio, and with nothing to show, for so long, a session ends."""
    session_silent_s: float = 0.0
    """With audio and without a word for so long, a session ends."""
    session_max_s: float = 0.0
    """The longest session."""
    audio_speed: float = 0.0
    """A session's audio is taken at most so many times faster than real time."""
    messages_per_s: float = 0.0
    """Text frames of one session, on average; BURST_S times as many at once."""
    requests_per_s: float = 0.0
    """HTTP requests and handshakes of one address, and of one key, on average; BURST_S times as many at once."""


BURST_S = 5.0
"""A burst of messages or requests may have as many as the average allows in so many seconds."""


@dataclass(slots=True)
class SessionActivity:
    """When something last happened in a session, in seconds on one clock."""

    started_at: float
    active_at: float
    """Audio or a text to speak was received, or something was shown."""
    words_at: float
    """Words were recognised, or a text to speak was received."""


@dataclass(frozen=True, slots=True)
class SessionDeadline:
    """When a session ends if nothing changes, with the code and the sentence for the client."""

    at: float
    after_s: float
    """How long the limit is."""
    code: ClientFault
    reason: str


def is_on_standby(activity: SessionActivity, limits: ClientLimits, now: float) -> bool:
    """Whether the session may be without a place."""
    return bool(limits.session_standby_s) and now >= activity.active_at + limits.session_standby_s


def next_deadline(activity: SessionActivity, limits: ClientLimits) -> SessionDeadline | None:
    """The first of the session's deadlines; None where it has no limit."""
    return min(_deadlines(activity, limits), key=lambda deadline: deadline.at, default=None)


def _deadlines(activity: SessionActivity, limits: ClientLimits) -> Iterator[SessionDeadline]:
    if idle_s := limits.session_idle_s:
        reason = f"no audio for {idle_s:g} s; connect again to go on"
        yield SessionDeadline(activity.active_at + idle_s, idle_s, ClientFault.SESSION_IDLE, reason)
    if silent_s := limits.session_silent_s:
        reason = f"no words for {silent_s:g} s; switch the microphone off, and connect again to go on"
        yield SessionDeadline(activity.words_at + silent_s, silent_s, ClientFault.SESSION_SILENT, reason)
    if max_s := limits.session_max_s:
        reason = f"a session lasts {max_s:g} s at most; connect again to go on"
        yield SessionDeadline(activity.started_at + max_s, max_s, ClientFault.SESSION_TOO_LONG, reason)
