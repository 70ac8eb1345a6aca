"""What successive drafts agree on stays."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.dialog.agreement import LocalAgreement


def agreement_of(*drafts: str) -> LocalAgreement:
    agreement = LocalAgreement()
    for draft in drafts:
        agreement = agreement.update(draft)
    return agreement


def test_one_draft_has_no_stable_prefix():
    """A first guess is all unstable, and all shown."""
    assert (agreement_of("and so my").stable_text, agreement_of("and so my").text) == ("", "and so my")


def test_the_stable_prefix_is_what_two_drafts_have_in_common():
    """Case and punctuation do not count; the newer spelling does."""
    agreement = agreement_of("and so my fell", "And so, my fellow")

    assert agreement.stable_text == "And so, my"
    assert agreement.text == "And so, my fellow"


def test_stable_words_are_never_taken_back():
    """A later draft that disagrees changes only what is behind them."""
    agreement = agreement_of("and so my", "and so my", "end of the story")

    assert agreement.stable == ("and", "so", "my")
    assert agreement.text == "and so my story"


def test_a_draft_that_disagrees_does_not_grow_the_stable_words():
    """Agreement on other first words is no agreement behind the stable ones."""
    agreement = agreement_of("one two", "one two", "won two three", "won two three")

    assert agreement.stable == ("one", "two")


def test_guesses_at_the_end_are_held_back_and_stable_words_are_not():
    assert LocalAgreement(("a", "b"), ("a", "b", "c", "d")).shown_text(1) == ("a b c", "d")
    assert LocalAgreement(("a", "b"), ("a", "b")).shown_text(1) == ("a b", "")
    assert LocalAgreement((), ("a",)).shown_text(2) == ("a", "")
    assert LocalAgreement((), ("a", "b")).shown_text(0) == ("a b", "")
    assert LocalAgreement().shown_text(1) == ("", "")


@given(st.lists(st.text("ab ", max_size=12), max_size=8))
def test_the_stable_words_only_grow(drafts):
    """Whatever the drafts, each stable prefix begins the next one, and the text begins with it."""
    agreement = LocalAgreement()
    for draft in drafts:
        before = agreement.stable
        agreement = agreement.update(draft)
        assert agreement.stable[: len(before)] == before
        assert agreement.text.startswith(agreement.stable_text)
