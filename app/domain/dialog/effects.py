"""Effects: what a transition orders to be done. In the imperative.

Effects that reach the client are `Shown`; the others are carried out by the EffectRunner, or only recorded.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from app.domain.audio import AudioChunk
from app.domain.dialog.conversation import Message
from app.domain.dialog.events import TimerEvent
from app.domain.dialog.interruption import OverlapVerdict
from app.domain.errors import ParleyError
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.spending import TokenUsage
from app.domain.tools import ToolCall
from app.domain.transcript import Hypothesis


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    utterance: int
    start: int
    """First sample of its audio, pre-roll included."""
    language: str | None
    residency: Residency = Residency.CLOUD_OK
    """Where its audio may be processed."""
    deadline_ms: int | None = None
    """From its end to the best available text; None: the routing rules' own."""
    key_terms: tuple[str, ...] = ()
    """Words that are likely in its audio."""
    vocabulary: str | None = None
    """The profile's custom vocabulary."""


@dataclass(frozen=True, slots=True)
class RestrictToOnPrem:
    """From now on the audio of this utterance may be processed on the premises only."""

    utterance: int


@dataclass(frozen=True, slots=True)
class ExpectKeyTerms:
    """From now on other words are likely in the audio of this utterance: for its next drafts, and its final."""

    utterance: int
    key_terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeedUtterance:
    utterance: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class RequestDraft:
    utterance: int
    stable: str
    """The text that its drafts agree on so far."""


@dataclass(frozen=True, slots=True)
class ScoreEndOfTurn:
    """Ask the turn detector for the probability that this pause ends the user's turn."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class StartFinal:
    """Start the final of the audio received so far. Before CloseUtterance it is speculative."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class DropFinal:
    """Speech resumed: the speculative final of this revision is stale."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class CloseUtterance:
    """The endpoint: no more audio will come, and the final is awaited."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class ShowDraft:
    turn: int
    utterance: int
    text: str
    stable: str
    held_back: str = ""
    """Guessed words behind the text, which are not shown: the audio may end in the middle of them."""


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
    """The route that made it; None where no route gave a final, and this is the newest draft."""
    drafts: int = 0
    """Drafts of this utterance."""
    wasted: int = 0
    """Speculative finals started and dropped."""
    with_words: bool = False
    """The client gets its words with times and confidence."""
    speaker: int | None = None
    """Speaker label, from 1; None: there is none, or it comes as ShowSpeaker."""


@dataclass(frozen=True, slots=True)
class ShowSpeaker:
    """The speaker label of a final that was shown without it."""

    turn: int
    utterance: int
    speaker: int


@dataclass(frozen=True, slots=True)
class ShowSpeechStarted:
    """Speech began. Positions in samples of the session."""

    turn: int
    utterance: int
    start: int
    """First sample of the utterance's audio, pre-roll included."""
    speech_start: int
    """First sample of speech."""


@dataclass(frozen=True, slots=True)
class ShowSpeechStopped:
    """The utterance has ended; its final is pending, or there. Positions in samples of the session."""

    turn: int
    utterance: int
    speech_end: int
    """Behind the last sample that was speech."""
    end: int
    """Behind the last sample of its audio, the silence that ended it included."""


@dataclass(frozen=True, slots=True)
class ShowTurnEager:
    """The user's turn is probably over: ShowTurnResumed or ShowTurnEnd follows."""

    turn: int
    text: str
    """The turn's finals so far."""
    eot_probability: float | None
    """The turn detector's score, 0 to 1; None where there is none."""


@dataclass(frozen=True, slots=True)
class ShowTurnResumed:
    """The user goes on after all."""

    turn: int


@dataclass(frozen=True, slots=True)
class ShowTurnEnd:
    """The user's turn is over, whether it is answered or not."""

    turn: int
    text: str
    """Its finals."""


TurnEvent: TypeAlias = ShowSpeechStarted | ShowSpeechStopped | ShowTurnEager | ShowTurnResumed | ShowTurnEnd
"""For clients that want them (`TurnRules.events`)."""


@dataclass(frozen=True, slots=True)
class StartReply:
    """Start to generate a reply; nothing of it is shown or played before its ReleaseReply."""

    reply: int
    conversation: tuple[Message, ...]
    speak: bool
    profile: Profile | None = None
    """Whose engine, voice and tools make it; None: as the settings have it."""


@dataclass(frozen=True, slots=True)
class StartSpeakingText:
    """Like StartReply, with a text that is known already."""

    reply: int
    text: str
    profile: Profile | None = None
    """Whose voice speaks."""


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """The turn is over: pass the reply on as it comes."""

    reply: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the engines of this reply."""

    reply: int


@dataclass(frozen=True, slots=True)
class ShowReplyStart:
    turn: int
    text: str
    """What the user said in this turn."""
    request: str = ""
    """The client's name for the request that it answers; empty: it answers the turn."""


@dataclass(frozen=True, slots=True)
class ShowReplyDelta:
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class RecordToolCall:
    """A tool was called for the reply of this turn: for the recording."""

    turn: int
    call: ToolCall
    """As it is kept: long arguments and results are shortened."""


@dataclass(frozen=True, slots=True)
class ShowToolCall:
    """The reply calls a function of the client, and ends behind its calls."""

    turn: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class PlayAudio:
    turn: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class ShowReply:
    """The reply is complete: its whole text. The client may still be playing its audio."""

    turn: int
    text: str
    usage: TokenUsage | None = field(default=None, compare=False)
    """What its engines counted or estimated; None: nothing."""


CancelReason: TypeAlias = Literal["barge_in", "cancelled", "failed", "disconnected"]
"""Why a reply ends early; `disconnected` is recorded, and never sent."""


@dataclass(frozen=True, slots=True)
class ShowReplyCancelled:
    """The reply ends incomplete. Of one turn there is either this or ShowReply."""

    turn: int
    reason: CancelReason
    played: str = field(default="", compare=False)
    """What the user has got of its text, for the record."""


@dataclass(frozen=True, slots=True)
class StopPlayback:
    """The reply was shown as complete, and is interrupted while the client plays it."""

    turn: int
    reason: CancelReason
    played: str = field(default="", compare=False)
    """What the user has got of its text, for the record."""


@dataclass(frozen=True, slots=True)
class DuckReply:
    """The user speaks over the reply: play it quietly, until it is known what that is."""

    turn: int


@dataclass(frozen=True, slots=True)
class RestoreReply:
    """It was no interruption: play the reply at its usual level."""

    turn: int


@dataclass(frozen=True, slots=True)
class PauseReply:
    """Stop the reply's sound and drop what is queued; it goes on with ResumeReply, or ends."""

    turn: int


@dataclass(frozen=True, slots=True)
class ResumeReply:
    """Nothing came of the interruption: the reply goes on, and its audio from `start` on is sent again."""

    turn: int
    start: int
    """In samples of the reply's audio."""


@dataclass(frozen=True, slots=True)
class ResendAudio:
    """Audio that was sent before and not played; positions in the reply. It is recorded already."""

    turn: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class RecordOverlap:
    """What the user's speech over a reply is, so long after its start. For the log and the metrics."""

    utterance: int
    verdict: OverlapVerdict
    after_ms: int


@dataclass(frozen=True, slots=True)
class RecordReplyCancelled:
    """The client left during the reply: it is recorded as cancelled, as far as it was sent; nothing is sent."""

    turn: int
    reason: CancelReason
    played: str = field(default="", compare=False)
    """What the user has got of its text, for the record."""


@dataclass(frozen=True, slots=True)
class RecordUserText:
    """The user sent this text in this turn. For the record; the client knows it."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class RecordProfile:
    """The client has chosen this profile. For the record; the client knows it."""

    profile: str


@dataclass(frozen=True, slots=True)
class EndTurnUnanswered:
    """The turn is over, and nothing replies to it because replies are turned off. For the log."""

    turn: int


@dataclass(frozen=True, slots=True)
class ShowConversation:
    """The session continues this conversation."""

    conversation: str


@dataclass(frozen=True, slots=True)
class ShowError:
    error: ParleyError
    request: str = ""
    """The client's name for the request that is refused; empty: it is none."""


@dataclass(frozen=True, slots=True)
class ShowMark:
    """What the client sent before this mark has been processed; finals of it may be pending."""

    mark: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Put this event into the inbox after so many milliseconds."""

    ms: int
    event: TimerEvent


@dataclass(frozen=True, slots=True)
class StartLeaveTimer:
    """Put LeaveTimeoutDue into the inbox this long after every pending final must have come or failed."""

    grace_ms: int


Shown: TypeAlias = (
    ShowDraft
    | ShowFinal
    | ShowSpeaker
    | ShowReplyStart
    | ShowReplyDelta
    | ShowToolCall
    | PlayAudio
    | ShowReply
    | ShowReplyCancelled
    | StopPlayback
    | DuckReply
    | RestoreReply
    | PauseReply
    | ResumeReply
    | ResendAudio
    | ShowConversation
    | ShowError
    | ShowMark
    | TurnEvent
)
"""Effects that reach the client."""

Effect: TypeAlias = (
    OpenUtterance
    | RestrictToOnPrem
    | ExpectKeyTerms
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
    | RecordToolCall
    | RecordOverlap
    | RecordReplyCancelled
    | RecordUserText
    | RecordProfile
    | EndTurnUnanswered
    | StartTimer
    | StartLeaveTimer
    | Shown
)
