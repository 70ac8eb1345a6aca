"""What a session is told to do. Orders, in the imperative."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.domain.audio import AudioChunk
from app.domain.dialog.conversation import Message
from app.domain.dialog.events import TimerEvent
from app.domain.errors import ParleyError
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    utterance: int
    start: int
    """Its first sample, pre-roll included."""
    language: str | None
    residency: Residency = Residency.CLOUD_OK
    """Where it may be heard."""
    deadline_ms: int | None = None
    """From its end to the best text at hand; None: what the rules say."""


@dataclass(frozen=True, slots=True)
class RestrictToOnPrem:
    """The utterance has begun, and may be heard on the premises alone from now on."""

    utterance: int


@dataclass(frozen=True, slots=True)
class FeedUtterance:
    utterance: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class RequestDraft:
    utterance: int
    stable: str


@dataclass(frozen=True, slots=True)
class ScoreEndOfTurn:
    """Ask whether the user, who is silent now, sounds done."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class StartFinal:
    """Begin the final on what was heard up to now. The utterance may still go on."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class DropFinal:
    """The utterance went on; the final begun for this revision is worth nothing."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class CloseUtterance:
    """No more audio will come, and its final is awaited."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class ShowDraft:
    turn: int
    utterance: int
    text: str
    stable: str


@dataclass(frozen=True, slots=True)
class ShowFinal:
    turn: int
    utterance: int
    hypothesis: Hypothesis
    start: int
    """First sample of its audio, pre-roll included."""
    speech_end: int
    """Behind the last sample that was speech."""
    end: int
    """Behind the last sample of its audio."""
    route: Route | None = None
    """Who made it; None where no engine gave a final, and this is the newest draft."""
    drafts: int = 0
    wasted: int = 0
    """Speculative finals begun and dropped."""


@dataclass(frozen=True, slots=True)
class StartReply:
    """Begin to answer; nothing is shown or heard of it before its ReleaseReply."""

    reply: int
    conversation: tuple[Message, ...]
    speak: bool


@dataclass(frozen=True, slots=True)
class StartSpeakingText:
    """Like StartReply, with words already known."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    reply: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    reply: int


@dataclass(frozen=True, slots=True)
class ShowReplyStart:
    turn: int
    text: str
    """What the user said in this turn."""


@dataclass(frozen=True, slots=True)
class ShowReplyDelta:
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class PlayAudio:
    turn: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class ShowReply:
    """The whole reply, at its end."""

    turn: int
    text: str


CancelReason: TypeAlias = Literal["barge_in", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class ShowReplyCancelled:
    turn: int
    reason: CancelReason


@dataclass(frozen=True, slots=True)
class ShowError:
    error: ParleyError


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Put this event into the inbox when so much time has gone by."""

    ms: int
    wake: TimerEvent


Shown: TypeAlias = (
    ShowDraft | ShowFinal | ShowReplyStart | ShowReplyDelta | PlayAudio | ShowReply | ShowReplyCancelled | ShowError
)
"""What the client gets to see or hear."""

Effect: TypeAlias = (
    OpenUtterance
    | RestrictToOnPrem
    | FeedUtterance
    | RequestDraft
    | ScoreEndOfTurn
    | StartFinal
    | DropFinal
    | CloseUtterance
    | StartReply
    | StartSpeakingText
    | ReleaseReply
    | CancelReply
    | StartTimer
    | Shown
)
