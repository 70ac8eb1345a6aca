"""The state of one session's dialog: its phase, the open and the pending utterances, the reply, the history."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from app.domain.audio import AudioChunk, PreRoll, ms
from app.domain.dialog.agreement import LocalAgreement
from app.domain.dialog.conversation import Message
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.events import ClientRequestedReply, ReplyEvent
from app.domain.dialog.interruption import OverlapVerdict
from app.domain.dialog.loudness import Loudness
from app.domain.dialog.speaker_pace import SpeakerPace
from app.domain.interruption_mode import InterruptionMode
from app.domain.key_terms import merge_key_terms
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.speakers import Embedding, Speakers
from app.domain.tools import Tool, ToolCall
from app.domain.transcript import Hypothesis
from app.domain.turn_mode import DEFAULT_SILENCE_MS, TurnMode

ClientSetting: TypeAlias = Literal["profile", "language", "reply", "turns", "silence_ms", "interruptions", "events"]
"""Fields of a client's configuration that a profile may have as well."""


@dataclass(frozen=True, slots=True)
class TurnRules:
    """Timing and features of turn taking. Times in milliseconds."""

    reply_after_ms: int = 1000
    """Silence after which the user's turn is over."""
    confident_reply_after_ms: int = 500
    """The same, where the end-of-turn probability is at least `confident_threshold`."""
    confident_threshold: float = 0.85
    """Higher than the threshold of an endpoint, because replying to someone who continues is worse than a split."""
    draft_every_ms: int = 300
    """New speech between two drafts."""
    overlap_draft_every_ms: int = 150
    """The same over a reply, which stops or goes on by it."""
    first_draft_after_ms: int = 200
    """Audio of an utterance before its first draft, counted from the detected start of speech."""
    draft_retry_ms: int = 80
    """New speech between two drafts while none had words: models write nothing of half a syllable."""
    held_back_words: int = 1
    """Guessed words at the end of a draft that are not shown: half of the words taken back are the last of a draft."""
    speculative_finals: bool = True
    """Start the final in the pause, before the endpoint is certain."""
    score_end_of_turn: bool = False
    """A turn detector scores each pause; the final is started where the score says that the turn is over."""
    speculate_after_ms: int = 250
    """Silence after which the final is started whatever the score."""
    eager_replies: bool = True
    """Start the reply with the final, before the turn is over, unless the score says that the user will continue."""
    adaptive_waits: bool = False
    """The silences that end an utterance follow the pauses and the speed of the session's speaker."""
    eager_lead_ms: int = 400
    """Silence left of the turn when its reply is started whatever the score."""
    ignore_echo: bool = True
    """Words that the reply says at the same time are not the user's."""
    turns: TurnMode = TurnMode.AUTO
    """What ends the user's turn."""
    silence_ms: int = DEFAULT_SILENCE_MS
    """The silence that does in the mode `silence`."""
    interruptions: InterruptionMode = InterruptionMode.AUTO
    """What stops a reply."""
    may_pause: bool = False
    """The client can stop a reply's sound and go on with it: an interruption that was none costs no reply."""
    reply: bool = True
    speak: bool = True
    language: str | None = None
    """A code, or several with commas, one of which the engine detects; None: any language."""
    residency: Residency = Residency.CLOUD_OK
    """Where the user's audio may be processed."""
    deadline_ms: int | None = None
    """From the end of an utterance to the best available text; None: the routing rules' own."""
    stall_after_ms: int = 3000
    """Where no audio arrives for so long after speech, the user's turn is over: the microphone is off. Audio that is
    late by less changes nothing, because silence is counted in audio alone."""
    leave_grace_ms: int = 2000
    """Added to the deadline of finals: how long the pending finals of a client that left are awaited."""
    instructions: str = ""
    """System prompt of replies."""
    prompt_characters: int = 4000
    """Characters of history in a prompt."""
    prompt_tokens: int | None = None
    """The same in tokens, estimated; it is the limit in place of the characters."""
    profile: Profile | None = None
    """Whose engine, voice and tools reply; what else it sets stands in the rules themselves."""
    key_terms: tuple[str, ...] = ()
    """Words that are likely in the audio, of the tenant and of the profile."""
    client_key_terms: tuple[str, ...] = ()
    """Those of the client itself."""
    words: bool = False
    """The client gets the words of a final with their times and confidence."""
    speakers: bool = False
    """Finals have speaker labels."""
    events: bool = False
    """The client is told when speech starts and stops, and when a turn is probably over, resumed or over."""
    client_tools: tuple[Tool, ...] = ()
    """Functions that the client performs, besides the profile's tools."""
    keeps_unanswered: bool = False
    """What was said in a turn that is not answered joins the history."""

    @property
    def answers_turns(self) -> bool:
        return self.reply and self.turns is not TurnMode.TRANSCRIBE

    @property
    def expected_terms(self) -> tuple[str, ...]:
        """All key terms; where there are too many, the client's own stay."""
        return merge_key_terms(self.client_key_terms, self.key_terms)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech between two endpoints, until its final is shown. Positions in samples of the session."""

    number: int
    start: int
    """First sample, pre-roll included."""
    speech_start: int
    end: int
    """Behind the last sample received."""
    speech_end: int
    """Behind the last sample that was speech."""
    audible_start: int | None = None
    """Where the sound began that the speech is part of; None: with the speech."""
    revision: int = 0
    """Increases when speech resumes after a pause: a final of an older revision is stale."""
    agreement: LocalAgreement = LocalAgreement()
    draft_language: str | None = None
    """Of the newest draft whose engine knows it."""
    draft_requested_at: int | None = None
    """Where the audio of the newest draft requested ends; None before the first."""
    draft_pending: bool = False
    drafts: int = 0
    is_draft_empty: bool = False
    """The newest draft has no words."""
    eot_probability: float | None = None
    """Probability that this pause ends the user's turn; None: not scored yet."""
    recent_speech: float | None = None
    """Running average of the speech probability of its chunks behind the pre-roll; None: there are none yet."""
    verdict: OverlapVerdict = OverlapVerdict.UNSURE
    """What it is over a reply, as far as that was decided."""
    final_started: bool = False
    """A final of this revision was started."""
    final: Hypothesis | None = None
    """The speculative final of this revision, not shown yet."""
    route: Route | None = None
    """The route that made it."""
    wasted: int = 0
    """Speculative finals started and dropped."""
    voice: Embedding | None = None
    """Of this revision's speaker; None: not known yet, or not asked for."""


@dataclass(frozen=True, slots=True)
class UnlabelledFinal:
    """A final that was shown before the voice of its utterance was known."""

    utterance: int
    revision: int
    turn: int
    speech: int
    """Samples."""


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """A piece of a reply's text that the voice has begun."""

    text: str
    start: int
    """Its first sample in the reply's audio."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply being generated or played."""

    number: int
    turn: int
    released: bool = False
    """The turn is over: the reply is shown and played as it comes."""
    finished: bool = False
    """All of its text and audio was sent; the client may still be playing it."""
    is_kept: bool = True
    """It joins the history."""
    message_at: int = 0
    """Where in the history it is, once it is finished."""
    text: str = ""
    """The deltas so far."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that were called for it, with their results."""
    user_text: str = ""
    """What the user said that is being answered."""
    audio_sent: int = 0
    """Samples of its audio sent so far."""
    audio_sent_from: int = 0
    """Where the session's audio was when the first of them was sent."""
    pieces: tuple[SpokenPiece, ...] = ()
    """Empty where it has no voice."""
    played: int | None = None
    """Samples of its audio that the client has played, as it says; None: it has not said."""
    is_ducked: bool = False
    """The client plays it quietly."""
    sent: tuple[AudioChunk, ...] = ()
    """Its audio that may not be played yet, for a client that may go on with it; by position in the reply."""
    can_resume: bool = True
    """False where that was too much to keep."""
    paused_at: int | None = None
    """Samples that were played when it was stopped for an interruption that is not certain; None: it plays."""
    pauses: int = 0
    """How often it was."""
    held: tuple[ReplyEvent, ...] = ()
    """What has come of it since."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody speaks, and no final or reply is pending."""


@dataclass(frozen=True, slots=True)
class UserSpeaking:
    """An utterance is open. A released reply may still be playing."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Finalizing:
    """The user is silent; finals are pending, or the turn is not certainly over yet."""

    reply_after_ms: int = 0
    """Silence after which it is."""
    may_continue: bool = False
    """The end-of-turn score says that the user will continue: no eager reply."""
    turn_over: bool = False
    """The turn is over; only finals are awaited."""
    eot_probability: float | None = None
    """The score of the pause that the utterance ended in."""
    speech_end: int | None = None
    """Behind the last sample that was speech; None where the turn has no speech."""


@dataclass(frozen=True, slots=True)
class Replying:
    """The reply is shown and spoken, until the client has played it."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The client disconnected; its pending finals are still awaited and recorded."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over."""


Phase: TypeAlias = Idle | UserSpeaking | Finalizing | Replying | Leaving | Closed


@dataclass(frozen=True, slots=True)
class DialogState:
    """Everything that transition() needs to know."""

    rules: TurnRules = TurnRules()
    endpointer: Endpointer = Endpointer()
    pre_roll: PreRoll = field(default=PreRoll(ms(300)))
    phase: Phase = Idle()
    audio_end: int = 0
    """Behind the last sample of the session's audio."""
    turn: int = 1
    """Number of the user's current turn, or of the next one."""
    utterance_count: int = 0
    """Utterances opened so far; the number of the newest."""
    pending_finals: tuple[Utterance, ...] = ()
    """Utterances that ended, and whose finals are not shown yet."""
    turn_transcript: tuple[tuple[int, str], ...] = ()
    """Finals of this turn: utterance and text, in the order of utterances."""
    turn_speech: int = 0
    """Samples of speech in them."""
    speaker_pace: SpeakerPace = field(default=SpeakerPace())
    """How the session's speaker pauses, and how fast they speak."""
    is_eager: bool = False
    """The client was told that the turn is probably over."""
    loudness: Loudness = field(default=Loudness())
    may_echo: bool = True
    """The microphone may hear the reply."""
    speakers: Speakers = field(default=Speakers())
    """Whose voices were told apart so far."""
    unlabelled: tuple[UnlabelledFinal, ...] = ()
    """Finals whose speaker label may still come."""
    newest_language: str | None = None
    """Of the newest final whose engine knows it."""
    requested: ClientRequestedReply | None = None
    """A reply that the client has asked for, and that waits for the words of this turn."""
    reply: Reply | None = None
    """The user speaks over it while the phase is UserSpeaking or Finalizing."""
    reply_count: int = 0
    """Replies started so far; the number of the newest."""
    first_voiced_reply: int | None = None
    """Number of the first reply of which audio was sent; None: none was."""
    text_only_reported: bool = False
    """The client knows that replies have no audio."""
    is_detached: bool = False
    """The connection was lost, and the client may come back."""
    returns: int = 0
    """How often it has come back."""
    history: tuple[Message, ...] = ()
    without_drafts: frozenset[str | None] = frozenset()
    """Languages for which the client knows that there are no drafts."""
    set_by_client: frozenset[ClientSetting] = frozenset()
    """What the profile of a conversation that the session continues leaves as it is."""
    rules_without_profile: TurnRules | None = None
    """The rules before a profile was chosen; None: none was."""
    endpointing_without_profile: EndpointingRules | None = None
    """The same of the endpointer."""
