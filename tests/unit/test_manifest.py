"""The finals of a manifest cover every sample once."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.recording.manifest import ArchivedFinal, tile


def final(number: int, start: int, speech_end: int, end: int) -> ArchivedFinal:
    return ArchivedFinal(start, end, f"word {number}", utterance=number, speech=(start, speech_end))


def test_tile_assigns_silence_to_the_following_utterance():
    """The tiles begin where the one before ended."""
    tiles = tile([final(1, 100, 180, 200), final(2, 300, 380, 400)], 500)

    assert [(t.start, t.end, t.text, t.utterance) for t in tiles] == [
        (0, 200, "word 1", 1),
        (200, 400, "word 2", 2),
        (400, 500, "", None),
    ]
    assert tiles[0].speech == (100, 180)


def test_tile_of_an_empty_session_is_empty():
    """An empty session has no tiles; a silent one has one."""
    assert tile([], 0) == ()
    assert [(t.start, t.end) for t in tile([], 70)] == [(0, 70)]


@given(st.lists(st.integers(1, 1000), max_size=20), st.integers(0, 1000), st.randoms())
def test_tile_covers_every_sample_once(lengths, rest, random):
    """In any order of arrival: no gap, no overlap, to the last sample."""
    finals, at = [], 0
    for number, length in enumerate(lengths):
        finals.append(final(number, at, at + length, at + length))
        at += length
    random.shuffle(finals)

    tiles = tile(finals, at + rest)

    edges = [0, *(t.end for t in tiles)]
    assert [t.start for t in tiles] == edges[:-1]
    assert edges[-1] == at + rest
