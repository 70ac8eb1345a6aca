"""Where sentences end in a reference text, and whether the words so far end there."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

NEAR = 1
"""Words that recognition may have added or lost at the end."""


def sentence_ends(text: str, segments: Sequence[str] = ()) -> frozenset[int]:
    """Numbers of words behind which a sentence or a segment ends, and the end of the text."""
    words = text.split()
    ends = {at for at, word in enumerate(words, 1) if word.rstrip("\"'”’").endswith((".", "?", "!"))}  # noqa: RUF001 because these are the quotes meant
    behind = 0
    for segment in segments:
        behind += len(segment.split())
        ends.add(behind)
    return frozenset({*ends, len(words)})


def ends_sentence(so_far: str, text: str, ends: frozenset[int]) -> bool:
    """Whether words that were recognised so far end where a sentence of the reference does, give or take a word."""
    reference, recognised = _bare(text), _bare(so_far)
    blocks = [
        block
        for block in SequenceMatcher(None, reference, recognised, autojunk=False).get_matching_blocks()
        if block.size
    ]
    if not blocks:
        return False
    last = blocks[-1]
    behind = last.a + last.size + len(recognised) - (last.b + last.size)
    return any(abs(end - behind) <= NEAR for end in ends)


def _bare(text: str) -> list[str]:
    return [re.sub(r"[^\w']", "", word) for word in text.lower().split()]
