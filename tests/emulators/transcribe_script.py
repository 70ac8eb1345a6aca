"""Script of the Transcribe emulator: the words it recognises, and the faults it injects."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class HttpError:
    """Answers the request with an error instead of a stream."""

    status: int
    code: str
    message: str = "as the script says"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Takes the request and never answers it."""


@dataclass(frozen=True, slots=True)
class ExceptionEvent:
    """Ends the stream with an exception frame once it has received this much audio."""

    after_ms: int
    code: str
    message: str = "as the script says"


@dataclass(frozen=True, slots=True)
class TcpReset:
    """Drops the connection."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """Resets the HTTP/2 stream and keeps the connection."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """Says goodbye for the whole connection and closes it."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Keeps reading and sends nothing more."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class BadChecksum:
    """Sends results whose checksum is wrong."""


@dataclass(frozen=True, slots=True)
class BadPayload:
    """Sends this once as the payload of a result, in a frame that is whole."""

    after_ms: int
    payload: bytes


Fault: TypeAlias = (
    HttpError | NoAnswer | ExceptionEvent | TcpReset | StreamReset | GoAway | Stall | BadChecksum | BadPayload
)


@dataclass(frozen=True, slots=True)
class Script:
    """One word is recognised for each `word_ms` of sound, wherever it lies on the stream; silence has no words."""

    words: tuple[str, ...] = ("turn", "the", "light", "on", "please")
    word_ms: int = 250
    segment_words: int = 20
    """A segment is final after so many words,"""

    segment_silence_ms: int = 800
    """or after so much silence behind a word."""

    stable_after_ms: int = 0
    """How much audio must follow a word before it is stable."""

    reports_listening: bool = True
    """Whether a result ends where the service has listened to; otherwise it ends with its last word."""

    silence_limit_s: float = 15.0
    """A stream that receives no audio for so long is closed."""

    answer_after_s: float = 0.0
    result_after_s: float = 0.0
    fault: Fault | None = None
