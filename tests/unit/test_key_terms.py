"""Key terms of clients, profiles and tenants: limits, merging, and what a prompt names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ClientError, ClientFault
from app.domain.key_terms import MAX_KEY_TERMS, key_terms_in, merge_key_terms, parse_key_terms, term_problem


@pytest.mark.parametrize("term", ["Siobhan", "rigor mortis", "A1", "Ł", "東京", "O'Neill", "C++", "x" * 100])
def test_a_name_is_a_key_term(term):
    assert parse_key_terms([term]) == (term,)


@pytest.mark.parametrize(
    ("term", "problem"),
    [
        ("", "1 to 100 characters"),
        ("x" * 101, "1 to 100 characters"),
        (" Siobhan", "no space at either end"),
        ("one\ntwo", "printable"),
        ("one, two", "no comma"),
        ("...", "a letter or a digit"),
        ("one two three four five six seven eight nine", "8 words"),
    ],
)
def test_refused_key_term_says_why_and_is_not_repeated(term, problem):
    with pytest.raises(ClientError, match=problem) as refused:
        parse_key_terms(["Siobhan", term])

    assert refused.value.code == ClientFault.BAD_MESSAGE
    assert "term 2" in str(refused.value)
    assert len(term) < 10 or term not in str(refused.value)


def test_too_many_key_terms_are_refused():
    assert len(parse_key_terms([f"term {n}" for n in range(MAX_KEY_TERMS)])) == MAX_KEY_TERMS
    with pytest.raises(ClientError, match=f"at most {MAX_KEY_TERMS} terms, not {MAX_KEY_TERMS + 1}"):
        parse_key_terms([f"term {n}" for n in range(MAX_KEY_TERMS + 1)])


def test_lists_are_merged_first_ones_first_and_each_term_once():
    assert merge_key_terms(["b", "a"], ["a", "c"], limit=3) == ("b", "a", "c")
    assert merge_key_terms(["b", "a"], ["a", "c"], limit=2) == ("b", "a")


def test_prompt_names_key_terms_between_commas_and_lines():
    prose = "This is a call between a customer and an agent of a company that sells windows."

    assert key_terms_in(f"Siobhan, rigor mortis,\n{prose}\nParley, ,Siobhan") == ("Siobhan", "rigor mortis", "Parley")
    assert key_terms_in("") == ()
    with pytest.raises(ClientError, match="at most"):
        key_terms_in(",".join(f"term {n}" for n in range(MAX_KEY_TERMS + 1)))


@given(st.text(max_size=300))
def test_whatever_a_prompt_holds_its_key_terms_are_valid(prompt):
    assert all(term_problem(term) is None for term in key_terms_in(prompt))
