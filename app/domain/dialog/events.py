"""Events: everything that can happen in a session. Facts, in the past tense.

An event of an utterance carries its number and revision, one of a reply its number: by them a stale event, of
something that is over, is recognised and ignored.
"""

from dataclasses import dataclass
from typing import TypeAlias

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog.conversation import Message
from app.domain.errors import ParleyError
from app.domain.interruption_mode import InterruptionMode
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.speakers import Embedding
from app.domain.spending import TokenUsage
from app.domain.tools import Tool, ToolCall
from app.domain.transcript import Hypothesis
from app.domain.turn_mode import TurnMode


@dataclass(frozen=True, slots=True)
class AudioReceived:
    scored: ScoredChunk


@dataclass(frozen=True, slots=True)
class DraftReceived:
    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class DraftSkipped:
    """There is no draft this time: it was superseded, refused or failed. The next one may be requested."""

    utterance: int
    is_refused: bool = False
    """The model for drafts does not know the language."""


@dataclass(frozen=True, slots=True)
class EndOfTurnScored:
    """The turn detector scored the pause that this revision is in."""

    utterance: int
    revision: int
    eot_probability: float
    """The probability that the user's turn is over, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ComputeIdle:
    """The inference pool has a free worker in this pause: a speculative final delays no other session."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class FinalReceived:
    utterance: int
    revision: int
    hypothesis: Hypothesis
    route: Route
    """The route that made it."""


@dataclass(frozen=True, slots=True)
class FinalFailed:
    utterance: int
    revision: int
    error: ParleyError
    speculative: bool = False
    """It failed before the endpoint: after it the final is asked for once more."""


@dataclass(frozen=True, slots=True)
class SpeakerEmbedded:
    """The voice of the audio that this revision's final is made of."""

    utterance: int
    revision: int
    voice: Embedding


@dataclass(frozen=True, slots=True)
class ReplyDeltaReceived:
    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyToolCalled:
    """The model has called a tool, and there is the result; the reply goes on."""

    reply: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ReplyToolRequested:
    """The model has called a function that the client performs; the reply ends behind its calls."""

    reply: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ReplyPieceBegun:
    """The voice has taken this piece of the text; the audio behind this event is of it."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudioReceived:
    reply: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class ReplySpeechRefused:
    """The reply has no audio, or no more of it: it continues as text only."""

    reply: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    reply: int
    usage: TokenUsage | None = None
    """What its engines counted or estimated; None: nothing."""


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    reply: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class ClientConfigured:
    """The client changed its settings; None leaves a setting as it is."""

    language: str | None = None
    reply: bool | None = None
    speak: bool | None = None
    residency: Residency | None = None
    """Where the user's audio may be processed."""
    archive: bool | None = None
    """Whether the session is recorded."""
    deadline_ms: int | None = None
    """From the end of an utterance to the best available text; 0: the routing rules' own."""
    person: str | None = None
    """Who speaks, for the recording."""
    conversation: str | None = None
    """The conversation that this session continues."""
    words: bool | None = None
    """Whether the client gets the words of finals with their times."""
    profile: Profile | None = None
    """What the session's replies are made with; the other fields of this event come behind it."""
    key_terms: tuple[str, ...] | None = None
    """Words that are likely in the audio, besides the profile's and the tenant's."""
    turns: TurnMode | None = None
    """What ends the user's turn; at once, for the current turn too."""
    interruptions: InterruptionMode | None = None
    """What stops a reply; at once."""
    may_pause: bool | None = None
    """The client can stop a reply's sound and go on with it."""
    silence_ms: int | None = None
    """The silence that does in the mode `silence`."""
    events: bool | None = None
    """Whether the client is told of speech and turns."""
    instructions: str | None = None
    """System prompt of replies."""
    voice: str | None = None
    """One of the synthesizer's; empty: the one that the profile or the settings have."""
    tools: tuple[Tool, ...] | None = None
    """Functions that the client performs, besides the profile's tools."""
    keeps_unanswered: bool | None = None
    """Whether what was said in a turn that is not answered joins the history."""


@dataclass(frozen=True, slots=True)
class ClientEnded:
    """The client says that the user's turn is over: reply now."""


@dataclass(frozen=True, slots=True)
class ClientCleared:
    """The client takes back what was said in this turn so far."""


@dataclass(frozen=True, slots=True)
class ClientMarked:
    """The client wants to know when all that it sent before this has been processed."""

    mark: int


@dataclass(frozen=True, slots=True)
class ClientCancelled:
    """The client wants the reply, and its playback, to stop."""


@dataclass(frozen=True, slots=True)
class ClientRequestedSpeech:
    """The client wants this text spoken as a reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ClientErrorDetected:
    """The client sent something invalid; the session continues."""

    error: ParleyError
    request: str = ""
    """The client's name for what is refused."""


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """The client disconnected, or its input ended."""


@dataclass(frozen=True, slots=True)
class ClientPlayed:
    """The client says how much of this turn's reply audio it has played."""

    turn: int
    samples: int


@dataclass(frozen=True, slots=True)
class ClientDetached:
    """The connection was lost, and the client may come back: no audio comes, and that means nothing."""


@dataclass(frozen=True, slots=True)
class ClientReturned:
    """The client is back on another connection, and goes on behind the last sample that was received."""


@dataclass(frozen=True, slots=True)
class ClientSentText:
    """The user's words in text: they end the turn, and are answered like spoken ones."""

    text: str


@dataclass(frozen=True, slots=True)
class ClientRequestedReply:
    """The client wants a reply to the history now, or as soon as the words of this turn are final."""

    request: str
    """Its name for the request."""
    instructions: str | None = None
    """In place of the session's; None: those."""
    speak: bool | None = None
    """Whether it is spoken; None: as the session is set up."""
    tools: tuple[Tool, ...] | None = None
    """The client's functions for this reply; None: the session's."""
    conversation: tuple[Message, ...] | None = None
    """What is answered; None: the history, and what was said in this turn."""
    is_kept: bool = True
    """It joins the history; one that does not is out of band, and waits for nothing."""


@dataclass(frozen=True, slots=True)
class ClientAddedMessage:
    """The client adds a message to the history; nothing is answered."""

    message: Message


@dataclass(frozen=True, slots=True)
class ClientReplacedHistory:
    """The client has edited the history: this is all of it, but for the current turn."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class HistoryLoaded:
    """What was said in the conversation that this session continues."""

    conversation: str
    messages: tuple[Message, ...]
    profile: Profile | None = None
    """The conversation's, which the session takes unless its client has named one."""


@dataclass(frozen=True, slots=True)
class HistoryExtended:
    """What others have said in the session's conversation while nothing was said in the session."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class AudioStalled:
    """Timer: did any audio arrive behind this sample? Where none does, silence cannot be counted in it."""

    utterance: int
    audio_end: int
    returns: int = 0
    """How often the client had come back when the timer was started."""


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    """Timer: the client has played this reply to its end, by the length of its audio."""

    reply: int
    returns: int = 0
    """As in AudioStalled."""
    played: int = 0
    """What the client had reported as played when the timer was started."""
    pauses: int = 0
    """How often the reply had been paused."""


@dataclass(frozen=True, slots=True)
class LeaveTimeoutDue:
    """Timer: the pending finals of a client that left are awaited no longer."""


ReplyEvent: TypeAlias = (
    ReplyDeltaReceived | ReplyToolRequested | ReplyPieceBegun | ReplyAudioReceived | ReplySpeechRefused | ReplyFinished
)
"""What waits while a reply is paused."""
TimerEvent: TypeAlias = AudioStalled | PlaybackFinished | LeaveTimeoutDue
Event: TypeAlias = (
    AudioReceived
    | DraftReceived
    | DraftSkipped
    | EndOfTurnScored
    | ComputeIdle
    | FinalReceived
    | FinalFailed
    | SpeakerEmbedded
    | ReplyDeltaReceived
    | ReplyToolCalled
    | ReplyToolRequested
    | ReplyPieceBegun
    | ReplyAudioReceived
    | ReplySpeechRefused
    | ReplyFinished
    | ReplyFailed
    | ClientConfigured
    | ClientEnded
    | ClientCleared
    | ClientMarked
    | ClientCancelled
    | ClientRequestedSpeech
    | ClientSentText
    | ClientRequestedReply
    | ClientAddedMessage
    | ClientReplacedHistory
    | HistoryLoaded
    | HistoryExtended
    | ClientErrorDetected
    | ClientLeft
    | ClientPlayed
    | ClientDetached
    | ClientReturned
    | TimerEvent
)
