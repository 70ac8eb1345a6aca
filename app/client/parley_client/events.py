"""What the server says, as one class for each kind of event. PROTOCOL.md defines their meaning and their order.

`turn` and `utterance` are numbers that increase within a session; times are seconds of the session's audio.
"""

import base64
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias, TypeVar

from parley_client.configuration import camel_case
from parley_client.errors import SessionError

T = TypeVar("T")
Message: TypeAlias = Mapping[str, Any]
"""A JSON object of the server."""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """Always first: the server has a place for the session."""

    id: str
    archive: bool | None = None
    """Whether it is recorded; None: the server does not say."""
    keep_days: int | None = None
    """Days after which its recording is deleted; None: it is kept."""
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class SessionResumed:
    """The connection was lost, and the session goes on over another one."""

    id: str


@dataclass(frozen=True, slots=True)
class AudioStored:
    """So many seconds of the session's audio are durable."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Draft:
    """An interim transcript of the current utterance; it replaces the one before."""

    text: str
    stable: str
    """The part of it, from its beginning, that will not change."""
    utterance: int
    turn: int


@dataclass(frozen=True, slots=True)
class Word:
    word: str
    start: float
    end: float
    confidence: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Route:
    """The engine that made a final."""

    name: str
    place: str
    """`on_prem` or `cloud`."""
    why: str = ""
    hedged: bool | None = None
    latency_ms: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """The transcript of an utterance; without words in it, `text` is empty."""

    text: str
    utterance: int
    turn: int
    start: float | None = None
    end: float | None = None
    route: Route | None = None
    ttfs_ms: int | None = None
    """From the end of speech to this event."""
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] | None = None
    """None where they were not asked for."""
    speaker: int | None = None


@dataclass(frozen=True, slots=True)
class SpeakerLabelled:
    """Who said the utterance of a Final that came without it."""

    utterance: int
    turn: int
    speaker: int


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    turn: int
    utterance: int
    at: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    turn: int
    utterance: int
    at: float


@dataclass(frozen=True, slots=True)
class TurnEager:
    """The user's turn is probably over."""

    turn: int
    text: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """After TurnEager: the user goes on."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The user's turn is over."""

    turn: int
    text: str
    """Its finals."""


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    turn: int
    text: str
    """What is answered; empty for a reply to `say`."""


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of the reply's text."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """The next piece of the reply's audio, to be played as it comes."""

    turn: int
    sample_rate: int
    pcm: bytes
    """Mono PCM16."""
    start: int | None = None
    """Where it is in the reply, in samples; None: behind what came before."""


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply is complete."""

    turn: int
    text: str
    mp3: bytes
    """All of its audio; empty where `speak` is off."""


@dataclass(frozen=True, slots=True)
class ReplyCancelled:
    """Stop playing the reply; nothing more of it comes."""

    turn: int
    reason: str
    """`barge_in`, `cancelled` or `failed`."""


@dataclass(frozen=True, slots=True)
class ReplyInterrupted:
    """Stop playing the reply, although ReplyDone has come."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReplyDucked:
    """Play the reply quietly: the user speaks over it, and it is not known yet what that is."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyRestored:
    """Play it as loud as before: it was no interruption."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyPaused:
    """Only where this client `pauses`: stop playing the reply, and drop what is queued."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyResumed:
    """After ReplyPaused: what comes next is the reply's audio from sample `samples` on."""

    turn: int
    samples: int


@dataclass(frozen=True, slots=True)
class ConversationContinued:
    id: str


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """Something was refused or failed, and the session goes on."""

    code: str
    """Stable, for programs: the error codes of PROTOCOL.md."""
    message: str
    """For people."""


Event: TypeAlias = (
    SessionStarted
    | SessionResumed
    | AudioStored
    | Draft
    | Final
    | SpeakerLabelled
    | SpeechStarted
    | SpeechStopped
    | TurnEager
    | TurnResumed
    | TurnEnded
    | ReplyStarted
    | ReplyText
    | ReplyAudio
    | ReplyDone
    | ReplyCancelled
    | ReplyInterrupted
    | ReplyDucked
    | ReplyRestored
    | ReplyPaused
    | ReplyResumed
    | ConversationContinued
    | RequestFailed
)

_PLAIN: Mapping[str, type[Event]] = {
    "ack": AudioStored,
    "realtime": Draft,
    "speaker": SpeakerLabelled,
    "speechStarted": SpeechStarted,
    "speechStopped": SpeechStopped,
    "turnEager": TurnEager,
    "turnResumed": TurnResumed,
    "turnEnd": TurnEnded,
    "replyStart": ReplyStarted,
    "replyDelta": ReplyText,
    "replyCancelled": ReplyCancelled,
    "replyInterrupted": ReplyInterrupted,
    "replyDucked": ReplyDucked,
    "replyRestored": ReplyRestored,
    "replyPaused": ReplyPaused,
    "replyResumed": ReplyResumed,
    "conversation": ConversationContinued,
    "error": RequestFailed,
}
"""Messages whose fields are those of the event."""


def event_of(message: Message, pcm: bytes = b"") -> Event | None:
    """The event that a message is; None for one without a meaning here, such as of a later version.

    Raises SessionError where a field is missing that every such message has.
    """
    kind = message.get("type")
    try:
        match kind:
            case "session":
                return _from(SessionStarted, message)
            case "fullSentence":
                return _final(message)
            case "replyAudio":
                return _from(ReplyAudio, {**message, "pcm": pcm})
            case "server_response":
                return ReplyDone(message["turn"], message["message"], base64.b64decode(message["audio"]))
            case str() if kind in _PLAIN:
                return _from(_PLAIN[kind], message)
            case _:
                return None
    except (KeyError, TypeError, ValueError) as error:
        raise SessionError(f"the server sent a message {kind!r} that cannot be read") from error


def _final(message: Message) -> Final:
    route, words = message.get("route"), message.get("words")
    return _from(
        Final,
        {
            **message,
            "route": route and _from(Route, route),
            "words": None if words is None else tuple(_from(Word, word) for word in words),
        },
    )


def _from(kind: type[T], message: Message) -> T:
    """An instance with the fields of the message; others are ignored. Raises KeyError where one is missing."""
    described: Any = kind
    named = {field.name: (camel_case(field.name), field.default is MISSING) for field in fields(described)}
    return kind(**{name: message[key] for name, (key, is_required) in named.items() if key in message or is_required})
