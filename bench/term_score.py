"""How well listed terms were recognised, what else was wrong, and which terms were written that nobody said. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Words = Sequence[str]


@dataclass(frozen=True, slots=True)
class TermScore:
    """Counts over any number of clips."""

    said: int = 0
    """Places where a listed term is said."""
    missed: int = 0
    """Of these, the ones where it was not written."""
    others: int = 0
    """Words of the references that belong to no listed term."""
    other_errors: int = 0
    """Edits at these words; what was inserted beside a missed term is that term's."""
    inserted: tuple[str, ...] = field(default=())
    """Terms written where they were not said."""

    def __add__(self, more: "TermScore") -> "TermScore":
        return TermScore(
            self.said + more.said,
            self.missed + more.missed,
            self.others + more.others,
            self.other_errors + more.other_errors,
            self.inserted + more.inserted,
        )


def score(reference: str, written: str, terms: Sequence[str], normalise: Callable[[str], Words]) -> TermScore:
    """The score of one clip; `normalise` makes comparable words of a text."""
    said, heard = normalise(reference), normalise(written)
    in_term = [False] * len(said)
    places = missed = 0
    inserted: list[str] = []
    for term in terms:
        words = normalise(term)
        at, heard_at = _places(said, words), _places(heard, words)
        places += len(at)
        missed += max(0, len(at) - len(heard_at))
        inserted += [term] * max(0, len(heard_at) - len(at))
        for start in at:
            in_term[start : start + len(words)] = [True] * len(words)
    errors = sum(1 for index in _edits(said, heard, in_term) if index is None)
    return TermScore(places, missed, len(said) - sum(in_term), errors, tuple(inserted))


def _places(text: Words, words: Words) -> list[int]:
    return [n for n in range(len(text) - len(words) + 1) if list(text[n : n + len(words)]) == list(words)]


def _edits(said: Words, heard: Words, in_term: Sequence[bool]) -> list[int | None]:
    """Each edit of the shortest way from one text to the other: None, or the index of the term's word it belongs to."""
    cost = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(heard) + 1)] for i in range(len(said) + 1)]
    for i, word in enumerate(said, 1):
        row, above = cost[i], cost[i - 1]
        for j, other in enumerate(heard, 1):
            row[j] = min(above[j - 1] + (word != other), above[j] + 1, row[j - 1] + 1)
    i, j = len(said), len(heard)
    edits: list[int | None] = []
    wrong_terms: set[int] = set()
    insertions: list[int] = []
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (said[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            if said[i] != heard[j]:
                edits.append(i if in_term[i] else None)
                wrong_terms |= {i} if in_term[i] else set()
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            edits.append(i if in_term[i] else None)
            wrong_terms |= {i} if in_term[i] else set()
        else:
            j -= 1
            insertions.append(i)
    for behind in insertions:
        beside = next((n for n in (behind - 1, behind) if n in wrong_terms), None)
        edits.append(beside)
    return edits
