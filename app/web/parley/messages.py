"""The JSON messages on the socket, both ways. `frontend/PROTOCOL.md` defines them."""

import base64
import unicodedata
from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias, assert_never

import msgspec

from app.domain.audio import SAMPLE_RATE, seconds
from app.domain.conversations.message import MAX_TEXT_CHARACTERS
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.interruption_mode import InterruptionMode
from app.domain.key_terms import parse_key_terms
from app.domain.language import parse_languages
from app.domain.person import parse_person
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.transcript import moved
from app.domain.turn_mode import MAX_SILENCE_MS, MIN_SILENCE_MS, TurnMode
from app.json_input import decode_json
from app.web.errors import error_reply

MAX_NUMBER = 2**53 - 1
"""The largest whole number that every client can read."""
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]


class _Message(msgspec.Struct, frozen=True, rename="camel", tag_field="type", omit_defaults=True, kw_only=True):
    seq: Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)] | None = None
    """Number of the message in the session, on either side; None: it has none."""


# -- from the client ----------------------------------------------------------


class ConfigureMessage(_Message, frozen=True, tag="configure"):
    language: str | msgspec.UnsetType | None = msgspec.UNSET
    languages: list[str] | msgspec.UnsetType = msgspec.UNSET
    reply: bool | None = None
    speak: bool | None = None
    place: Residency | None = None
    archive: bool | None = None
    deadline_ms: Annotated[int, msgspec.Meta(ge=200, le=60_000)] | msgspec.UnsetType | None = msgspec.UNSET
    person: str | None = None
    conversation: str | None = None
    profile: str | None = None
    words: bool | None = None
    key_terms: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    turns: TurnMode | None = None
    silence_ms: Annotated[int, msgspec.Meta(ge=MIN_SILENCE_MS, le=MAX_SILENCE_MS)] | None = None
    events: bool | None = None
    interruptions: InterruptionMode | None = None
    pauses: bool | None = None


class EndMessage(_Message, frozen=True, tag="end"):
    pass


class ClearMessage(_Message, frozen=True, tag="clear"):
    """Take back what was said in this turn so far."""


class CancelMessage(_Message, frozen=True, tag="cancel"):
    pass


class SayMessage(_Message, frozen=True, tag="say"):
    text: str


class TextMessage(_Message, frozen=True, tag="text"):
    text: str


class PlayedMessage(_Message, frozen=True, tag="played"):
    """How much of a reply's audio the client has played."""

    turn: Number
    samples: Number


class MessagesReceived(_Message, frozen=True, tag="received"):
    """The client has every numbered message up to this one."""

    message: Number


class ResumeMessage(_Message, frozen=True, tag="resume"):
    """First on a connection that resumes a session."""

    token: str
    received: Number
    """Number of the newest message that the client has."""


Control: TypeAlias = (
    ConfigureMessage
    | EndMessage
    | ClearMessage
    | CancelMessage
    | SayMessage
    | TextMessage
    | PlayedMessage
    | MessagesReceived
    | ResumeMessage
)
Order: TypeAlias = (
    ev.ClientConfigured
    | ev.ClientEnded
    | ev.ClientCleared
    | ev.ClientCancelled
    | ev.ClientRequestedSpeech
    | ev.ClientSentText
    | ev.ClientPlayed
)
_control = msgspec.json.Decoder(Control)


class _Tag(msgspec.Struct):
    type: str


_tag = msgspec.json.Decoder(_Tag)
_TAGS = {"configure", "end", "clear", "cancel", "say", "text", "played", "received", "resume"}
MAX_SAY_CHARACTERS = 4000


def no_profile(name: str) -> Profile:
    """For services without profiles. Raises ClientError."""
    raise ClientError(ClientFault.UNKNOWN_PROFILE, f"there is no profile {name[:64]!r}")


def decode(text: str) -> Control:
    """The message in this text frame. Raises ClientError."""
    try:
        tag = decode_json(text, _tag).type
        if tag not in _TAGS:
            raise ClientError(ClientFault.UNKNOWN_MESSAGE, f"unknown message {tag[:40]!r}; there are {sorted(_TAGS)}")
        message: Control = decode_json(text, _control)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"cannot read the message: {error}") from error
    return message


def order(message: Control, find_profile: Callable[[str], Profile] = no_profile) -> Order:
    """What this message asks of the session; `find_profile` raises ClientError for an unknown name, as this does."""
    match message:
        case ConfigureMessage(
            language, languages, reply, speak, place, archive, deadline, person, conversation, profile, words, terms
        ):
            spoken = _spoken(language, languages)
            deadline_ms = None if deadline is msgspec.UNSET else (deadline or 0)
            named = None if person is None else parse_person(person)
            chosen = None if profile is None else find_profile(profile)
            key_terms = None if terms is msgspec.UNSET else parse_key_terms(terms or ())
            return ev.ClientConfigured(
                spoken,
                reply,
                speak,
                place,
                archive,
                deadline_ms,
                named,
                conversation,
                words=words,
                profile=chosen,
                key_terms=key_terms,
                turns=message.turns,
                silence_ms=message.silence_ms,
                events=message.events,
                interruptions=message.interruptions,
                may_pause=message.pauses,
            )
        case EndMessage():
            return ev.ClientEnded()
        case ClearMessage():
            return ev.ClientCleared()
        case CancelMessage():
            return ev.ClientCancelled()
        case SayMessage(text=say):
            return ev.ClientRequestedSpeech(_plain_text("say", say, MAX_SAY_CHARACTERS))
        case TextMessage(text=words):
            return ev.ClientSentText(_plain_text("text", words, MAX_TEXT_CHARACTERS))
        case PlayedMessage(turn, samples):
            return ev.ClientPlayed(turn, samples)
        case MessagesReceived() | ResumeMessage():
            raise ClientError(ClientFault.BAD_MESSAGE, "resume comes first, on an address with ?resume=ID")
        case _:
            assert_never(message)


def _spoken(language: str | msgspec.UnsetType | None, languages: Sequence[str] | msgspec.UnsetType) -> str | None:
    """The languages that may be spoken, by either field; None: both are absent. Raises ClientError."""
    if languages is msgspec.UNSET:
        return None if language is msgspec.UNSET else parse_languages((language or "",))
    if language is not msgspec.UNSET:
        raise ClientError(ClientFault.BAD_MESSAGE, "configure takes either language or languages, not both")
    return parse_languages(languages)


def _plain_text(name: str, text: str, longest: int) -> str:
    """The same text. Raises ClientError."""
    if not text.strip() or len(text) > longest:
        raise ClientError(ClientFault.BAD_MESSAGE, f"{name} needs a text of 1 to {longest} characters")
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in text):
        raise ClientError(ClientFault.BAD_MESSAGE, f"{name} needs a text without control characters, such as NUL")
    return text


# -- to the client ------------------------------------------------------------


class ResumeOffer(msgspec.Struct, frozen=True, rename="camel"):
    """How the client comes back after its connection was lost, and from where it goes on."""

    token: str
    seconds: float
    """How long it may be away."""
    samples: int
    """Of the client's audio that are here; it sends what is behind them."""
    messages: int
    """Number of its newest message that is here."""


class SessionStarted(_Message, frozen=True, tag="session"):
    id: str
    archive: bool
    """Whether it is recorded where `configure` does not say."""
    keep_days: int | None = None
    """Days after which its recording is deleted; None: it is kept."""
    conversation: str | None = None
    """The conversation that it is kept in, where `configure` names no other; None: it is kept in none."""
    resume: ResumeOffer | None = None
    """None where the client did not ask for it, or it is turned off."""


class Acknowledgement(_Message, frozen=True, tag="ack"):
    seconds: float


class InputReceivedMessage(_Message, frozen=True, tag="received"):
    """The client need not send these again."""

    samples: int
    messages: int


class Realtime(_Message, frozen=True, tag="realtime"):
    text: str
    stable: str
    utterance: int
    turn: int


class RouteTaken(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str
    place: str
    why: str = ""
    hedged: bool | None = None
    latency_ms: int | None = None
    cost_usd: float | None = None


class SpokenWord(msgspec.Struct, frozen=True):
    word: str
    start: float
    end: float
    confidence: float


class FullSentence(_Message, frozen=True, tag="fullSentence"):
    text: str
    utterance: int
    turn: int
    start: float
    end: float
    route: RouteTaken | None = None
    ttfs_ms: int | None = None
    language: str | None = None
    confidence: float | None = None
    words: list[SpokenWord] | None = None
    speaker: int | None = None


class SpeakerLabel(_Message, frozen=True, tag="speaker"):
    """Of a fullSentence that came without it."""

    utterance: int
    turn: int
    speaker: int


class SpeechStarted(_Message, frozen=True, tag="speechStarted"):
    turn: int
    utterance: int
    at: float


class SpeechStopped(_Message, frozen=True, tag="speechStopped"):
    turn: int
    utterance: int
    at: float


class TurnEager(_Message, frozen=True, tag="turnEager"):
    turn: int
    text: str
    probability: float | None = None


class TurnResumed(_Message, frozen=True, tag="turnResumed"):
    turn: int


class TurnEnd(_Message, frozen=True, tag="turnEnd"):
    turn: int
    text: str


class ReplyStart(_Message, frozen=True, tag="replyStart"):
    turn: int
    text: str


class ReplyDelta(_Message, frozen=True, tag="replyDelta"):
    turn: int
    text: str


class ReplyCancelled(_Message, frozen=True, tag="replyCancelled"):
    turn: int
    reason: str


class ReplyInterrupted(_Message, frozen=True, tag="replyInterrupted"):
    turn: int
    reason: str


class ReplyDucked(_Message, frozen=True, tag="replyDucked"):
    turn: int


class ReplyRestored(_Message, frozen=True, tag="replyRestored"):
    turn: int


class ReplyPaused(_Message, frozen=True, tag="replyPaused"):
    turn: int


class ReplyResumed(_Message, frozen=True, tag="replyResumed"):
    turn: int
    samples: int


class ServerResponse(_Message, frozen=True, tag="server_response"):
    turn: int
    message: str
    audio: str


class ConversationContinued(_Message, frozen=True, tag="conversation"):
    id: str


class ErrorMessage(_Message, frozen=True, tag="error"):
    code: str
    message: str
    fatal: bool


class ReplyAudio(_Message, frozen=True, tag="replyAudio"):
    """Metadata of a binary packet."""

    turn: int
    sample_rate: int
    start: int | None = None
    """Where its audio is in the reply's; None: behind what was sent before."""


ServerMessage: TypeAlias = (
    SessionStarted
    | Acknowledgement
    | InputReceivedMessage
    | Realtime
    | FullSentence
    | SpeakerLabel
    | SpeechStarted
    | SpeechStopped
    | TurnEager
    | TurnResumed
    | TurnEnd
    | ReplyStart
    | ReplyDelta
    | ReplyCancelled
    | ReplyInterrupted
    | ReplyDucked
    | ReplyRestored
    | ReplyPaused
    | ReplyResumed
    | ServerResponse
    | ConversationContinued
    | ErrorMessage
)
encode = msgspec.json.Encoder().encode


def numbered(message: ServerMessage, number: int | None) -> ServerMessage:
    """The same message with this number."""
    return message if number is None else msgspec.structs.replace(message, seq=number)


def server_message(
    shown: do.ShowDraft
    | do.ShowFinal
    | do.ShowSpeaker
    | do.ShowReplyStart
    | do.ShowReplyDelta
    | do.ShowReplyCancelled
    | do.StopPlayback
    | do.DuckReply
    | do.RestoreReply
    | do.PauseReply
    | do.ResumeReply
    | do.ShowConversation
    | do.ShowError
    | do.TurnEvent,
    ttfs_ms: int | None,
) -> ServerMessage:
    """The message for what the session shows."""
    match shown:
        case do.ShowDraft(turn, utterance, text, stable, _):
            return Realtime(text, stable, utterance, turn)
        case do.ShowFinal():
            return FullSentence(
                text=shown.hypothesis.text,
                utterance=shown.utterance,
                turn=shown.turn,
                start=round(seconds(shown.start), 3),
                end=round(seconds(shown.speech_end), 3),
                route=_route(shown.route),
                ttfs_ms=ttfs_ms,
                language=shown.hypothesis.language,
                confidence=_confidence(shown) if shown.with_words else None,
                words=_words(shown) if shown.with_words else None,
                speaker=shown.speaker,
            )
        case do.ShowSpeaker(turn, utterance, speaker):
            return SpeakerLabel(utterance, turn, speaker)
        case do.ShowSpeechStarted(turn, utterance, _, speech_start):
            return SpeechStarted(turn, utterance, round(seconds(speech_start), 3))
        case do.ShowSpeechStopped(turn, utterance, speech_end):
            return SpeechStopped(turn, utterance, round(seconds(speech_end), 3))
        case do.ShowTurnEager(turn, text, probability):
            return TurnEager(turn, text, None if probability is None else round(probability, 3))
        case do.ShowTurnResumed(turn):
            return TurnResumed(turn)
        case do.ShowTurnEnd(turn, text):
            return TurnEnd(turn, text)
        case do.ShowReplyStart(turn, text):
            return ReplyStart(turn, text)
        case do.ShowReplyDelta(turn, text):
            return ReplyDelta(turn, text)
        case do.ShowReplyCancelled(turn, reason):
            return ReplyCancelled(turn, reason)
        case do.StopPlayback(turn, reason):
            return ReplyInterrupted(turn, reason)
        case do.DuckReply(turn):
            return ReplyDucked(turn)
        case do.RestoreReply(turn):
            return ReplyRestored(turn)
        case do.PauseReply(turn):
            return ReplyPaused(turn)
        case do.ResumeReply(turn, start):
            return ReplyResumed(turn, start)
        case do.ShowConversation(conversation):
            return ConversationContinued(conversation)
        case do.ShowError(error):
            return error_message(error)


def _confidence(shown: do.ShowFinal) -> float | None:
    confidence = shown.hypothesis.confidence
    return None if confidence is None else round(confidence, 3)


def _words(shown: do.ShowFinal) -> list[SpokenWord]:
    """In seconds of the session's audio."""
    return [
        SpokenWord(word.text, round(seconds(word.start), 3), round(seconds(word.end), 3), round(word.probability, 3))
        for word in moved(shown.hypothesis.words, shown.start)
    ]


def _route(route: Route | None) -> RouteTaken | None:
    if route is None:
        return None
    if route.latency_ms is None:
        return RouteTaken(route.name, route.place)
    return RouteTaken(route.name, route.place, route.why, route.hedged, route.latency_ms, route.cost_usd)


def error_message(error: Exception, *, fatal: bool = False) -> ErrorMessage:
    """A stable code and a sentence, as the table of errors has them."""
    reply = error_reply(error)
    return ErrorMessage(reply.code, reply.message, fatal or (isinstance(error, ClientError) and error.fatal))


def ack(samples: int) -> Acknowledgement:
    """This many seconds of the session's audio are durable; rounded down, so that it is never more than is kept."""
    return Acknowledgement(samples * 1000 // SAMPLE_RATE / 1000)


def server_response(turn: int, text: str, mp3: bytes) -> ServerResponse:
    return ServerResponse(turn, text, base64.b64encode(mp3).decode())


def audio_metadata(turn: int, number: int | None = None, start: int | None = None) -> bytes:
    return encode(ReplyAudio(turn, SAMPLE_RATE, start, seq=number))
