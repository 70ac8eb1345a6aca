"""The state of a session: who has the floor, and what is still to come."""

from dataclasses import dataclass, field
from typing import TypeAlias

from app.domain.audio import PreRoll, ms
from app.domain.dialog.agreement import LocalAgreement
from app.domain.dialog.conversation import Message
from app.domain.dialog.endpointing import Endpointer
from app.domain.residency import Residency
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis


@dataclass(frozen=True, slots=True)
class TurnRules:
    """How turns are taken. Times in milliseconds."""

    reply_after_ms: int = 1000
    """Silence after which the user's turn is over."""
    confident_reply_after_ms: int = 500
    """The same, when the user surely sounded done."""
    confident_threshold: float = 0.85
    """From this probability on they surely did: to answer someone who goes on is worse than to cut their words."""
    draft_every_ms: int = 300
    """New speech between two drafts."""
    first_draft_after_ms: int = 240
    """Audio of an utterance before its first draft, counted from the detected start of speech."""
    speculative_finals: bool = True
    """Begin the final in the pause, before the end is certain."""
    score_end_of_turn: bool = False
    """Somebody hears whether the user is done, and is asked in each pause; the final is begun where they say so."""
    speculate_after_ms: int = 250
    """Silence after which the final is begun whatever they say."""
    eager_replies: bool = True
    """Begin the reply when the final is there, before the turn is over, unless the user did not sound done."""
    reply: bool = True
    speak: bool = True
    language: str | None = None
    residency: Residency = Residency.CLOUD_OK
    """Where the user may be heard."""
    deadline_ms: int | None = None
    """From the end of an utterance to the best text at hand, where the session has a wish of its own."""
    stall_after_ms: int = 1500
    """An utterance whose audio stops coming ends after this long."""
    leave_after_ms: int = 15_000
    """How long the last words of a client that left are waited for."""
    instructions: str = ""
    prompt_characters: int = 4000


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech between two endpoints, while its final is not shown yet."""

    number: int
    start: int
    speech_start: int
    end: int
    """Behind the last sample heard."""
    speech_end: int
    revision: int = 0
    """Grows when speech resumes after a final was begun."""
    agreement: LocalAgreement = LocalAgreement()
    drafted: int | None = None
    """Where the newest draft asked for ends."""
    drafting: bool = False
    drafts: int = 0
    eot_probability: float | None = None
    """How probable it is that the user is done, by the sound of this pause; None: not judged yet."""
    begun: bool = False
    """A final of this revision was started."""
    final: Hypothesis | None = None
    """The speculative final of this revision, not shown yet."""
    route: Route | None = None
    """Who made it."""
    wasted: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer being made or spoken."""

    number: int
    turn: int
    released: bool = False
    finished: bool = False
    text: str = ""
    """The deltas so far."""
    heard: str = ""
    """What the user said that is being answered."""
    spoken: int = 0
    """Samples of its audio sent so far."""
    spoken_from: int = 0
    """Where the session's audio was when the first of them was sent."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody speaks and nothing is owed."""


@dataclass(frozen=True, slots=True)
class UserSpeaking:
    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Finalizing:
    """The user is silent; finals are owed, or the turn is not yet certainly over."""

    reply_after_ms: int = 0
    """Silence after which it is."""
    may_go_on: bool = False
    """The user did not sound done."""
    over: bool = False
    """The turn is over; only finals are owed."""


@dataclass(frozen=True, slots=True)
class Replying:
    pass


@dataclass(frozen=True, slots=True)
class Leaving:
    """The client is gone; its last words are still being written down."""


@dataclass(frozen=True, slots=True)
class Closed:
    pass


Phase: TypeAlias = Idle | UserSpeaking | Finalizing | Replying | Leaving | Closed


@dataclass(frozen=True, slots=True)
class DialogState:
    """Everything step() needs to know."""

    rules: TurnRules = TurnRules()
    endpointer: Endpointer = Endpointer()
    pre_roll: PreRoll = field(default=PreRoll(ms(300)))
    phase: Phase = Idle()
    audio_end: int = 0
    """Behind the last sample of the session's audio."""
    turn: int = 1
    """The turn the user is in, or will begin."""
    utterance_count: int = 0
    """How many there were."""
    pending_finals: tuple[Utterance, ...] = ()
    """Ended, and their finals not shown yet."""
    turn_transcript: tuple[tuple[int, str], ...] = ()
    """Finals of this turn: utterance and text."""
    reply: Reply | None = None
    """Spoken over by the user while phase is UserSpeaking or Finalizing."""
    reply_count: int = 0
    history: tuple[Message, ...] = ()
