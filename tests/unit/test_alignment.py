"""Dynamic time warping of attention: the path that fits best, and the times of a Whisper text's tokens."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from providers.local.asr.transformer.alignment import first_positions, smoothed, standardized
from providers.local.asr.whisper.alignment import token_times


def least_cost(costs):
    """Of the monotonic paths through (tokens, positions), by the definition."""
    tokens, positions = costs.shape
    best = np.full((tokens + 1, positions + 1), np.inf)
    best[0, 0] = 0
    for token in range(1, tokens + 1):
        for position in range(1, positions + 1):
            before = min(best[token - 1, position - 1], best[token - 1, position], best[token, position - 1])
            best[token, position] = costs[token - 1, position - 1] + before
    return best[-1, -1]


def cost_of(first, costs):
    """Of the cheapest path whose tokens begin at these positions: each goes on to the next one's, or to before it."""
    tokens, positions = costs.shape
    total = {0: 0.0}
    for token, start in enumerate(first):
        through = {}
        for last in [positions - 1] if token == tokens - 1 else [first[token + 1], first[token + 1] - 1]:
            if last >= start and start in total:
                through[last] = total[start] + costs[token, start : last + 1].sum()
        total = {}
        for last, cost in through.items():
            begins = first[token + 1] if token < tokens - 1 else last
            total[begins] = min(cost, total.get(begins, np.inf))
    return min(total.values())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(-9, 9)))
def test_path_has_the_least_cost(scores):
    first = first_positions(scores)

    assert first[0] == 0
    assert all(left <= right for left, right in pairwise(first))
    assert cost_of(first, -scores) == pytest.approx(least_cost(-scores))


def test_attention_is_smoothed_by_its_median_and_standardized_over_tokens():
    weights = np.zeros((1, 2, 20), np.float32)
    weights[0, 0, 5] = 1.0
    weights[0, 1, 10:] = 1.0

    median = smoothed(weights)
    standard = standardized(np.random.default_rng(0).random((2, 5, 9)).astype(np.float32))

    assert not median[0, 0].any()
    assert median[0, 1, 10:].all()
    np.testing.assert_allclose(standard.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(1), 1, atol=1e-3)


def attended(*spans, positions=60):
    """Attention of one head: each token to the positions from `start` to before `end`."""
    attention = np.full((1, len(spans), positions), 1e-3, np.float32)
    for token, (start, end) in enumerate(spans):
        attention[0, token, start:end] = 1.0
    return attention


def test_tokens_begin_where_the_token_before_them_attends():
    """A token is predicted by what was read before it; the row of the last token tells where it ends."""
    attention = attended((0, 2), (0, 20), (20, 40), (40, 60))

    times = token_times(attention, np.array([True, True]), [0.5, 0.7], before=2, frames=120)

    assert times.starts_s == pytest.approx([0.0, 0.4, 0.8], abs=0.06)
    assert times.probabilities == [0.5, 0.7]


def test_a_text_without_an_end_ends_with_the_audio():
    """Its last token was not read. Positions behind the audio are padding and count for nothing."""
    attention = attended((0, 2), (0, 20), (20, 40), positions=100)

    times = token_times(attention, np.array([True, True]), [1.0, 1.0], before=2, frames=80)

    assert times.starts_s == pytest.approx([0.0, 0.4, 0.8], abs=0.06)


def test_tokens_that_are_no_text_have_no_time():
    attention = attended((0, 2), (0, 20), (20, 22), (22, 40), (40, 60))

    times = token_times(attention, np.array([True, False, True]), [0.5, 0.1, 0.7], before=2, frames=120)

    assert len(times.starts_s) == 3
    assert times.probabilities == [0.5, 0.7]
