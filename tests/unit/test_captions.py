"""Captions: short lines, cut at words, shown long enough to be read."""

from itertools import pairwise

import pytest

from app.domain.audio import SAMPLE_RATE
from app.domain.recording.captions import MAX_LINE, captions
from app.domain.recording.segment import Segment
from app.domain.transcript import Word

SPEECH = (
    "We choose to go to the moon in this decade and do the other things, not because they are easy, but because they "
    "are hard, because that goal will serve to organize and measure the best of our energies and skills."
)


def spoken(text: str, *, word_s: float = 0.3, start_s: float = 1.0, pause_before: str = "", pause_s: float = 0.0):
    words, at = [], start_s
    for word in text.split():
        at += pause_s if word == pause_before else 0.0
        words.append(Word(word, int(at * SAMPLE_RATE), int((at + word_s) * SAMPLE_RATE)))
        at += word_s
    return Segment(int(start_s * SAMPLE_RATE), int(at * SAMPLE_RATE), text, "en", tuple(words))


@pytest.mark.parametrize("with_words", [True, False])
def test_a_long_segment_becomes_captions_of_two_short_lines(with_words):
    """Nothing is lost, and they follow each other in time."""
    segment = spoken(SPEECH)
    cut = captions([segment if with_words else Segment(segment.start, segment.end, SPEECH)])

    assert len(cut) > 2
    assert " ".join(caption.text for caption in cut).split() == SPEECH.split()
    for caption in cut:
        lines = caption.text.split("\n")
        assert len(lines) <= 2
        assert max(map(len, lines)) <= MAX_LINE
        assert SAMPLE_RATE <= caption.end - caption.start <= 7 * SAMPLE_RATE
    assert all(one.end <= other.start for one, other in pairwise(cut))


def test_a_caption_begins_with_its_first_word_and_ends_with_its_last():
    segment = spoken("Ask not what your country can do for you.", start_s=2.0)
    quiet = Segment(0, segment.end + SAMPLE_RATE, segment.text, "en", segment.words)

    (caption,) = captions([quiet])

    assert (caption.start, caption.end) == (segment.words[0].start, segment.words[-1].end)


def test_a_pause_begins_a_caption():
    first, second = captions([spoken("well then let us begin", pause_before="let", pause_s=1.5)])

    assert (first.text, second.text) == ("well then", "let us begin")


def test_a_short_caption_stays_until_it_is_read_or_the_next_one_comes():
    """One second at least, where there is room."""
    alone, *_ = captions([Segment(0, SAMPLE_RATE // 5, "Yes.")])
    hurried, *_ = captions([Segment(0, SAMPLE_RATE // 5, "Yes."), Segment(SAMPLE_RATE // 2, SAMPLE_RATE, "No.")])

    assert (alone.end, hurried.end) == (SAMPLE_RATE, SAMPLE_RATE // 2)


def test_languages_without_spaces_are_cut_where_their_words_end():
    """Signs stay together, and no space is put between them."""
    texts = ["今日は", "とても", "いい", "天気", "です"] * 6
    words = tuple(Word(text, n * 4000, (n + 1) * 4000) for n, text in enumerate(texts))
    cut = captions([Segment(0, 4000 * len(texts), "".join(texts), "ja", words)])

    assert "".join(caption.text for caption in cut).replace("\n", "") == "".join(texts)
    assert all(len(line) <= MAX_LINE for caption in cut for line in caption.text.split("\n"))


def test_one_endless_word_is_divided():
    cut = captions([Segment(0, 10 * SAMPLE_RATE, "x" * 200)])

    assert "".join(caption.text for caption in cut).replace("\n", "") == "x" * 200
    assert all(len(line) <= MAX_LINE for caption in cut for line in caption.text.split("\n"))


def test_times_are_by_length_where_the_words_are_others():
    """An engine that tells fewer words than the text has."""
    segment = Segment(0, 10 * SAMPLE_RATE, SPEECH, "en", (Word("moon", 0, 100),))

    assert captions([segment]) == captions([Segment(0, 10 * SAMPLE_RATE, SPEECH, "en")])
