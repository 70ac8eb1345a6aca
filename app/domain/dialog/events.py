"""What can happen in a session. Facts, in the past tense.

What belongs to an utterance carries its number and revision, what belongs to a
reply its number: an echo of something already over is recognised by them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.errors import ParleyError
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis


@dataclass(frozen=True, slots=True)
class AudioReceived:
    scored: ScoredChunk


@dataclass(frozen=True, slots=True)
class DraftReceived:
    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class DraftSkipped:
    """The engine had no time for a draft, or failed at it; the next one may do better."""

    utterance: int


@dataclass(frozen=True, slots=True)
class EndOfTurnScored:
    """Somebody listened to the pause that this revision is in."""

    utterance: int
    revision: int
    eot_probability: float
    """The probability that the user is done."""


@dataclass(frozen=True, slots=True)
class ComputeIdle:
    """Nobody else needs this machine in the pause that this revision is in: a final in vain would delay nothing."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class FinalReceived:
    utterance: int
    revision: int
    hypothesis: Hypothesis
    route: Route


@dataclass(frozen=True, slots=True)
class FinalFailed:
    utterance: int
    revision: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class ReplyDeltaReceived:
    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudioReceived:
    reply: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    reply: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    reply: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class ClientConfigured:
    """The client changed how it wants to be served; None leaves a thing as it is."""

    language: str | None = None
    reply: bool | None = None
    speak: bool | None = None
    residency: Residency | None = None
    """Where the user may be heard."""
    archive: bool | None = None
    deadline_ms: int | None = None
    """From the end of an utterance to the best text at hand; 0: what the rules say."""


@dataclass(frozen=True, slots=True)
class ClientEnded:
    """The user's turn is over: answer now."""


@dataclass(frozen=True, slots=True)
class ClientCancelled:
    """The client wants the reply to stop."""


@dataclass(frozen=True, slots=True)
class ClientRequestedSpeech:
    """The client wants this text spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class ClientErrorDetected:
    """The client sent something wrong, and the session lives on."""

    error: ParleyError


@dataclass(frozen=True, slots=True)
class ClientLeft:
    pass


@dataclass(frozen=True, slots=True)
class ReplyDue:
    """Timer: nobody went on speaking after this utterance."""

    utterance: int


@dataclass(frozen=True, slots=True)
class AudioStalled:
    """Timer: in the middle of this utterance, was anything heard behind this sample?"""

    utterance: int
    audio_end: int


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    """Timer: the client has played this reply to its end."""

    reply: int


@dataclass(frozen=True, slots=True)
class LeaveTimeoutDue:
    """Timer: a client that left waits no longer for its last words."""


TimerEvent: TypeAlias = ReplyDue | AudioStalled | PlaybackFinished | LeaveTimeoutDue
Event: TypeAlias = (
    AudioReceived
    | DraftReceived
    | DraftSkipped
    | EndOfTurnScored
    | ComputeIdle
    | FinalReceived
    | FinalFailed
    | ReplyDeltaReceived
    | ReplyAudioReceived
    | ReplyFinished
    | ReplyFailed
    | ClientConfigured
    | ClientEnded
    | ClientCancelled
    | ClientRequestedSpeech
    | ClientErrorDetected
    | ClientLeft
    | TimerEvent
)
