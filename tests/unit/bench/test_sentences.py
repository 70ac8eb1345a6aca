"""Whether recognised words end where a sentence of the reference does."""

import pytest

from bench.sentences import ends_sentence, sentence_ends

TEXT = "What is the time? It is noon in Rome, and one in Athens."


def test_ends_are_behind_signs_and_segments_and_the_text():
    assert sentence_ends(TEXT) == {4, 13}
    assert sentence_ends("so it goes on and on", ["so it goes", "on and on"]) == {3, 6}


@pytest.mark.parametrize(
    ("so_far", "expected"),
    [
        ("What is the time?", True),
        ("what is a time", True),
        ("What is the time? It is noon in Rome.", False),
        ("What is the time? It is noon in Rome and one in Athens.", True),
        ("Something else", False),
    ],
)
def test_words_so_far(so_far, expected):
    """Its signs count for nothing, because a model writes a full stop wherever the audio ends."""
    assert ends_sentence(so_far, TEXT, sentence_ends(TEXT)) is expected
