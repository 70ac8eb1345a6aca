"""Whether speech over a reply is a barge-in or a backchannel."""

from app.domain.audio import ms
from app.domain.dialog.turn_words import all_in, turn_words
from app.domain.transcript import bare_word
from app.domain.turn_mode import TurnMode

MAX_WORDS = 3
MAX_SPEECH_MS = 1000
"""Of a backchannel in a language whose words are not known."""


def is_barge_in(text: str, language: str | None, speech: int, turns: TurnMode) -> bool:
    """Whether these words claim the turn; where the client ends turns, every word does: it is meant for the service."""
    if turns is TurnMode.MANUAL:
        return any(map(bare_word, text.split()))
    return not is_backchannel(text, language, speech)


def is_backchannel(text: str, language: str | None, speech: int) -> bool:
    """True for "mm-hm", "ja, genau" and for no words at all; `speech` is the length of the speech in samples.

    In a language without a table, or where none is known, it is what is short and neither asks nor calls out.
    """
    spoken = [word for word in map(bare_word, text.split()) if word]
    if not spoken:
        return True
    if len(spoken) > MAX_WORDS:
        return False
    if words := turn_words(language):
        return all_in(spoken, words.backchannels)
    return speech < ms(MAX_SPEECH_MS) and not text.rstrip().endswith(("?", "!"))
