"""Echo in words: what the user seems to say is what the reply is saying at that moment."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from app.domain.audio import ms
from app.domain.dialog.state import DialogState, Reply
from app.domain.transcript import bare_word

EARLIER_MS, LATER_MS = 2000, 1000
"""Around the utterance: the way of the sound, and what is inexact in a word's place within its piece."""
LEAST_SHARE = 0.7
"""Of the words, in the same order in both."""
LEAST_LETTERS, LEAST_RUN = 0.55, 4
"""Of the letters, in runs of so many that are in both: engines mishear an echo, "the music" for "the museum"."""
SHORT, LEAST_LETTERS_OF_SHORT = 12, 0.7
"""The same of fewer letters, which anything resembles sooner."""


def is_echo(state: DialogState, text: str, start: int, end: int) -> bool:
    """Whether these words, of audio from `start` to `end` in samples, are those that the reply said then."""
    reply = state.reply
    if reply is None or not state.rules.ignore_echo or not state.may_echo or not text.strip():
        return False
    words = [bare_word(word) for word in text.split()]
    said = [bare_word(word) for word in _words_between(reply, start - ms(EARLIER_MS), end + ms(LATER_MS))]
    letters = " ".join(words)
    least = LEAST_LETTERS_OF_SHORT if len(letters) < SHORT else LEAST_LETTERS
    return _shared(said, words, 1) >= LEAST_SHARE or _shared(" ".join(said), letters, LEAST_RUN) >= least


def _shared(said: Sequence[str], words: Sequence[str], least: int) -> float:
    """The share of the second one that is in the first in the same order, in runs of at least so many."""
    blocks = SequenceMatcher(None, said, words, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size >= least) / max(1, len(words))


def _words_between(reply: Reply, start: int, end: int) -> list[str]:
    """The words whose share of their piece's audio lies here, on the session's clock of samples."""
    start, end = start - reply.audio_sent_from, end - reply.audio_sent_from
    words: list[str] = []
    bounds = pairwise([*(piece.start for piece in reply.pieces), reply.audio_sent])
    for piece, (begin, finish) in zip(reply.pieces, bounds, strict=True):
        spoken = piece.text.split()
        step = (finish - begin) / max(1, len(spoken))
        words += [word for at, word in enumerate(spoken) if start <= begin + at * step <= end]
    return words
