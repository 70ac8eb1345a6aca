"""What the decoder is offered, and what it learns from what was written."""

from hypothesis import given
from hypothesis import strategies as st

from providers.local.asr.transformer.speculation import DraftSpeculation

WORDS = list(range(100, 130))


def test_what_was_foreseen_is_offered_in_growing_pieces_after_a_miss():
    """A wrong word makes it careful; words that come as foreseen make it bold again."""
    guess = DraftSpeculation(WORDS)
    assert guess.ahead(50) == tuple(WORDS[:12])

    guess.learn([100, 7], 12)
    assert guess.ahead(50) == (102, 103, 104)

    guess.learn([102, 103, 104, 105], 3)
    assert guess.ahead(50) == tuple(WORDS[6:12])
    assert guess.ahead(2) == (106, 107)
    assert guess.ahead(0) == ()


def test_a_word_too_many_and_a_word_too_few_do_not_throw_it_off():
    """The place is found again where the guess had a word more, and where it had one in another's place."""
    skipped, replaced = DraftSpeculation(WORDS), DraftSpeculation(WORDS)

    skipped.learn([100, 102], 12)
    replaced.learn([100, 9, 102], 12)

    assert skipped.ahead(1) == (103,)
    assert replaced.ahead(1) == (103,)


def test_no_guess_offers_nothing():
    """The decoder then writes a token a step."""
    guess = DraftSpeculation()
    guess.learn([1, 2, 3], 0)
    assert guess.ahead(10) == ()


@given(st.lists(st.integers(0, 5)), st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
def test_whatever_is_written_it_offers_its_own_words_in_order(words, steps):
    """Never more than asked for, never anything that is not in the guess."""
    guess = DraftSpeculation(words)
    for step in steps:
        guess.learn(step, 1)
        ahead = guess.ahead(3)
        assert len(ahead) <= 3
        assert list(ahead) == words[guess.at : guess.at + len(ahead)]
