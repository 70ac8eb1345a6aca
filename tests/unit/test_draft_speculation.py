"""Speculative decoding: the draft tokens that are proposed, and what follows from those accepted."""

from hypothesis import given
from hypothesis import strategies as st

from providers.local.asr.transformer.speculation import DraftSpeculation

TOKENS = list(range(100, 130))


def test_lookahead_shrinks_after_a_wrong_draft_token_and_grows_again():
    """A wrong token makes it careful; tokens accepted in full make it bold again."""
    speculation = DraftSpeculation(TOKENS)
    assert speculation.propose(50) == tuple(TOKENS[:12])

    speculation.accept([100, 7], 12)
    assert speculation.propose(50) == (102, 103, 104)

    speculation.accept([102, 103, 104, 105], 3)
    assert speculation.propose(50) == tuple(TOKENS[6:12])
    assert speculation.propose(2) == (106, 107)
    assert speculation.propose(0) == ()


def test_draft_resynchronizes_after_an_inserted_or_replaced_token():
    """The place is found again where the draft had a token more, and where it had one in another's place."""
    inserted, replaced = DraftSpeculation(TOKENS), DraftSpeculation(TOKENS)

    inserted.accept([100, 102], 12)
    replaced.accept([100, 9, 102], 12)

    assert inserted.propose(1) == (103,)
    assert replaced.propose(1) == (103,)


def test_without_a_draft_nothing_is_proposed():
    """The decoder then writes a token a step."""
    speculation = DraftSpeculation()
    speculation.accept([1, 2, 3], 0)
    assert speculation.propose(10) == ()


@given(st.lists(st.integers(0, 5)), st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
def test_proposals_are_draft_tokens_in_order(draft_tokens, steps):
    """Never more than asked for, never anything that is not in the draft."""
    speculation = DraftSpeculation(draft_tokens)
    for step in steps:
        speculation.accept(step, 1)
        proposed = speculation.propose(3)
        assert len(proposed) <= 3
        assert list(proposed) == draft_tokens[speculation.at : speculation.at + len(proposed)]
