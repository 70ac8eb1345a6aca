"""Greedy decoding over a scripted decoder: drafts, key terms, tokens that may not be written."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.local.asr.transformer.greedy import DecoderStep, GreedyDecoder
from providers.local.asr.transformer.key_terms import KeyTermBias, TermWeights
from providers.local.asr.transformer.speculation import DraftSpeculation

VOCABULARY, BEGIN, END = 12, 0, 1


class Scripted:
    """Writes a fixed text; another token is `margin` less likely, the closer the worse."""

    max_positions = 64

    def __init__(self, text, margin=10.0):
        self.text, self.margin, self.steps = [*text, END], margin, 0

    def empty_kv_cache(self):
        return {"past": np.zeros((1, 1, 0, 1), np.float32)}

    def step(self, cross_kv, past, tokens, position, rows):
        assert past["past"].shape[2] == position
        self.steps += 1
        logits = np.zeros((len(rows), VOCABULARY), np.float32)
        for n, row in enumerate(rows):
            logits[n, self.text[min(position + row, len(self.text) - 1)]] = self.margin
        attention = np.ones((2, len(tokens), 7), np.float32)
        return DecoderStep(logits, {"past": np.zeros((1, 1, position + len(tokens), 1), np.float32)}, attention)


def decoder(scripted, **options):
    return GreedyDecoder(scripted, {}, [BEGIN], prefix_length=0, end_token=END, **options)


TOKENS = st.lists(st.integers(2, 9), max_size=20)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(TOKENS, TOKENS)
def test_draft_changes_no_token(text, draft):
    """A wrong draft costs steps, never a token; attention is told for each token that was read."""
    scripted = Scripted(text)
    written = decoder(scripted, speculation=DraftSpeculation(draft))
    written.decode(60)

    assert list(written.tokens) == text
    assert written.ended
    assert len(written.log_probs) == len(text) + 1
    assert sum(part.shape[1] for part in written.attention) == len(text) + 1


def test_right_draft_saves_steps():
    alone, drafted = Scripted([2, 3, 4, 5, 6, 7]), Scripted([2, 3, 4, 5, 6, 7])
    decoder(alone).decode(60)
    decoder(drafted, speculation=DraftSpeculation([2, 3, 4, 5, 6, 7])).decode(60)

    assert (alone.steps, drafted.steps) == (7, 1)


def test_text_stops_at_its_limit_and_can_be_continued():
    written = decoder(Scripted([2, 3, 4, 5]))

    written.decode(2)
    assert (list(written.tokens), written.ended) == ([2, 3], False)
    written.decode(60)
    assert (list(written.tokens), written.ended) == ([2, 3, 4, 5], True)


def test_end_is_not_the_first_token_where_that_is_suppressed():
    scripted = Scripted([])

    empty, forced = decoder(scripted), decoder(scripted, suppress_begin=[END])
    empty.decode(3)
    forced.decode(3)

    assert empty.tokens == ()
    assert len(forced.tokens) == 1


def test_suppressed_token_is_never_written():
    written = decoder(Scripted([2, 3, 4]), suppress=[3])
    written.decode(5)

    assert 3 not in written.tokens


class AlmostSeven(Scripted):
    """Almost writes 7 as the second token, whatever it is sure of otherwise."""

    def step(self, cross_kv, past, tokens, position, rows):
        step = super().step(cross_kv, past, tokens, position, rows)
        for row, logits in zip(rows, step.logits, strict=True):
            if position + row == 1:
                logits[7] = min(self.margin, 7.0) - 1.0
        return step


SPELLING = {2: " ask", 3: " Sheevon", 4: ".", 5: " now", 7: " Shee", 8: "ban", 9: "bang"}


def bias(*terms, **weights):
    text_of = lambda tokens: "".join(SPELLING.get(token, "") for token in tokens)  # noqa: E731 because it is an argument
    return KeyTermBias(terms, TermWeights(first=2.5, next=6.0, **weights), text_of)


@pytest.mark.parametrize(
    ("margin", "expected"), [(5.0, [2, 7, 8, 4]), (7.0, [2, 3, 5, 4]), (20.0, [2, 3, 5, 4])], ids=["5", "7", "20"]
)
def test_key_term_is_written_where_the_decoder_is_undecided(margin, expected):
    """What follows needs less; a term left half-way is taken back, and a decoder that is sure keeps its text."""
    written = decoder(AlmostSeven([2, 3, 5, 4], margin), key_terms=bias([7, 8]))
    written.decode(60)

    assert list(written.tokens) == expected
    assert written.ended
    assert len(written.log_probs) == len(expected) + 1
    assert sum(part.shape[1] for part in written.attention) == len(expected) + 1


def test_key_term_that_sounds_otherwise_is_taken_back():
    written = decoder(AlmostSeven([2, 5, 5, 4], 5.0), key_terms=bias([7, 8]))
    written.decode(60)

    assert list(written.tokens) == [2, 5, 5, 4]


def test_key_term_that_costs_too_much_is_taken_back():
    written = decoder(AlmostSeven([2, 3, 5, 4], 5.0), key_terms=bias([7, 8], max_deficit=0.1))
    written.decode(60)

    assert list(written.tokens) == [2, 3, 5, 4]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(TOKENS, TOKENS, st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=3), max_size=4), st.floats(0.5, 12))
def test_terms_that_are_all_taken_back_leave_the_text_as_it_was(text, draft, terms, margin):
    """Nothing sounds like them; whatever the draft proposed, and however much is decoded at once."""
    plain, biased = (
        decoder(Scripted(text, margin)),
        decoder(Scripted(text, margin), speculation=DraftSpeculation(draft), key_terms=bias(*terms, max_distance=-1.0)),
    )
    for written in (plain, biased):
        written.decode(5)
        written.decode(60)

    assert biased.tokens == plain.tokens
    assert biased.log_probs == pytest.approx(plain.log_probs)


def test_log_probability_does_not_count_the_bias_of_key_terms():
    """So that a text that only the bias has made is known to be improbable."""
    plain, biased = decoder(Scripted([3], 2.0)), decoder(Scripted([3], 2.0), key_terms=bias([7], max_distance=1.0))
    plain.decode(1)
    biased.decode(1)

    assert biased.tokens == (7,)
    assert biased.avg_logprob < plain.avg_logprob


def test_no_key_terms_change_nothing():
    logits = np.array([0.0, 3.0, 2.9], np.float32)

    assert KeyTermBias().best(logits, ()) == (1, 0.0)
    assert KeyTermBias([[2]]).best(logits, ()) == (2, pytest.approx(0.1))
    assert KeyTermBias([[2]]).best(logits, (), barred={0}) == (1, 0.0)
    assert logits.tolist() == pytest.approx([0.0, 3.0, 2.9])
