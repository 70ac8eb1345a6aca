"""Score of listed terms: missed, inserted, and errors at other words."""

from bench.term_score import TermScore, score

TERMS = ("Waldo", "rigor mortis", "Digium")


def words(text):
    return text.lower().replace(".", "").split()


def test_each_place_of_a_term_is_found_or_missed():
    counted = score("Waldo met Waldo and rigor mortis", "waldo met while those and rigor mortis", TERMS, words)

    assert counted == TermScore(said=3, missed=1, others=2, other_errors=0)


def test_what_stands_beside_a_missed_term_is_its_error():
    assert score("ask Waldo now", "ask while those now", TERMS, words).other_errors == 0
    assert score("ask him now", "ask while him now", TERMS, words).other_errors == 1


def test_term_written_where_it_was_not_said_is_inserted_and_an_error():
    counted = score("ask him now", "ask Digium now", TERMS, words)

    assert (counted.inserted, counted.other_errors) == (("Digium",), 1)


def test_scores_are_summed():
    one = score("Waldo", "Waldo", TERMS, words)

    assert one + one == TermScore(said=2)
