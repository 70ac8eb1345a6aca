"""The interruption classifier: what the user's speech over a reply is.

Structure decides first: how long the speech is, whether it has ended, how loud it is, whether it has words at all, and
how many. Lists of words only help, in the languages that have one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.dialog.turn_words import all_in, is_hummed, turn_words
from app.domain.interruption_mode import InterruptionMode
from app.domain.transcript import bare_word
from app.domain.turn_mode import TurnMode

MAX_WORDS = 3
"""Of a backchannel."""
DECIDE_AFTER_MS = 500
"""From the start of speech: no later than this a reply that was made quieter is stopped, or is loud again."""
GOES_ON_MS = 380
"""Speech that is still going on after so long is no sound of listening: most of those are shorter."""
LEAST_SPEECH_MS = 200
"""Of a word that has ended: what a draft makes of less is a guess."""
LEAST_RECENT_SPEECH = 0.6
"""Average speech probability of speech that goes on; of hums, machines and what is just ending it is less."""
BACKGROUND_DB = -8.0
"""Level from the speaker's usual one, below which speech without words may be of somebody else."""
WORDLESS_AFTER_MS = 800
"""Speech that goes on for so long is an interruption wherever no draft comes, whatever else is known of it."""
QUIET_MAX_MS = 1000
"""Speech of a backchannel in a language without a table."""
QUIET_DB = -6.0
"""Its level, from the speaker's usual one."""


class OverlapVerdict(StrEnum):
    """What speech over a reply is, as metrics name it."""

    INTERRUPT = "interrupt"
    """It claims the turn: the reply stops."""
    BACKCHANNEL = "backchannel"
    """ "Mm-hm": it shows that one listens."""
    NOISE = "noise"
    """It has no words."""
    ECHO = "echo"
    """The reply's own words, come back."""
    UNSURE = "unsure"
    """Too little is known yet."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What is known of the user's speech over a reply, at one moment."""

    text: str
    """Its words so far; empty where it has none, or no draft has come."""
    language: str | None = None
    is_stable: bool = False
    """Two drafts agree on some of the words."""
    speech_ms: int = 0
    """From its first audible sound to its last speech so far."""
    elapsed_ms: int = 0
    """Since its first audible sound."""
    in_pause: bool = False
    """It has stopped, and may go on."""
    is_over: bool = False
    """It has ended, and its words are final."""
    is_draft_empty: bool = False
    """The engine found no words in the newest draft; not where it found some that it does not trust."""
    recent_speech: float = 1.0
    """Running average of its speech probability."""
    can_resume: bool = False
    """The reply can go on after a stop, so that less must be known of it."""
    may_be_echo: bool = False
    """It began with the sound of the session's first reply, when the echo's delay is not known yet."""
    relative_db: float | None = None
    """Its level from that of the speaker's turns; None: not known."""
    is_echo: bool = False
    """Its words are those that the reply says at this time."""
    answers_question: bool = False
    """The reply ends on a question, and is asking it."""
    mode: InterruptionMode = InterruptionMode.AUTO
    turns: TurnMode = TurnMode.AUTO


def classify(overlap: Overlap) -> OverlapVerdict:
    """What the speech is, as far as that is known now; UNSURE for at most DECIDE_AFTER_MS while drafts come."""
    if overlap.mode is InterruptionMode.OFF:
        return OverlapVerdict.BACKCHANNEL
    if overlap.is_echo:
        return OverlapVerdict.ECHO
    if overlap.mode is InterruptionMode.ANY and not overlap.is_over:
        return OverlapVerdict.INTERRUPT
    if not any(map(bare_word, overlap.text.split())):
        return _without_words(overlap)
    if overlap.turns is TurnMode.MANUAL or overlap.answers_question:
        return OverlapVerdict.INTERRUPT  # it is meant for the service
    if not is_backchannel(overlap):
        least_ms = LEAST_SPEECH_MS if overlap.in_pause else GOES_ON_MS
        is_known = overlap.is_stable or not overlap.may_be_echo
        is_enough = overlap.is_over or (overlap.speech_ms >= least_ms and is_known)
        return OverlapVerdict.INTERRUPT if is_enough else OverlapVerdict.UNSURE
    is_decided = overlap.is_over or overlap.elapsed_ms >= DECIDE_AFTER_MS
    return OverlapVerdict.BACKCHANNEL if is_decided else OverlapVerdict.UNSURE  # "Yes" may be the start of "Yes, but"


def _without_words(overlap: Overlap) -> OverlapVerdict:
    if overlap.is_over:
        return OverlapVerdict.NOISE
    if not overlap.is_draft_empty and not overlap.in_pause:
        return OverlapVerdict.INTERRUPT if _goes_on(overlap) else OverlapVerdict.UNSURE
    return OverlapVerdict.NOISE if overlap.elapsed_ms >= DECIDE_AFTER_MS else OverlapVerdict.UNSURE


def _goes_on(overlap: Overlap) -> bool:
    """Whether the speech is long enough to be an interruption, before any word of it is known."""
    if overlap.speech_ms >= WORDLESS_AFTER_MS:
        return True
    is_background = overlap.relative_db is not None and overlap.relative_db <= BACKGROUND_DB
    is_clear = overlap.recent_speech >= LEAST_RECENT_SPEECH and not is_background and not overlap.may_be_echo
    return is_clear and overlap.can_resume and overlap.speech_ms >= GOES_ON_MS


def is_backchannel(overlap: Overlap) -> bool:
    """Whether these words only show that one listens: few of them, hummed or of the language's table.

    In a language without a table others are one where they neither ask nor call out, are short, and clearly quieter
    than the speaker's turns: "Stop" is said at full voice.
    """
    spoken = without_repetition([word for word in map(bare_word, overlap.text.split()) if word])
    if len(spoken) > MAX_WORDS:
        return False
    if all(map(is_hummed, spoken)):
        return True
    if words := turn_words(overlap.language):
        return all_in(spoken, words.backchannels)
    if overlap.text.rstrip().endswith(("?", "!")):
        return False
    is_quiet = overlap.relative_db is not None and overlap.relative_db <= QUIET_DB
    return is_quiet and overlap.speech_ms < QUIET_MAX_MS


def without_repetition(words: Sequence[str]) -> Sequence[str]:
    """The words once, where they are the same again and again, and may end within: so engines mishear short sounds."""
    for period in range(1, len(words) // 2 + 1):
        again = [(words[at], words[at - period]) for at in range(period, len(words))]
        if all(word == before for word, before in again[:-1]) and again[-1][1].startswith(again[-1][0]):
            return words[:period]
    return words
