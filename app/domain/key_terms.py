"""Key terms: names and jargon that are likely in the audio, from the client, its profile and its tenant. Pure."""

from collections.abc import Iterable, Sequence

from app.domain.errors import ClientError, ClientFault

MAX_KEY_TERMS = 200
"""Of one list, and of all lists together: each costs every step of the decoder."""
MAX_TERM_CHARACTERS = 100
MAX_TERM_WORDS = 8


def term_problem(term: str) -> str | None:
    """Why this text can be no key term, as the end of a sentence; None where it can be one."""
    if not 0 < len(term) <= MAX_TERM_CHARACTERS or term != term.strip():
        return f"must have 1 to {MAX_TERM_CHARACTERS} characters, and no space at either end"
    if not term.isprintable() or "," in term:
        return "must have printable characters only, and no comma"
    if not any(character.isalnum() for character in term):
        return "must have a letter or a digit"
    if len(term.split()) > MAX_TERM_WORDS:
        return f"must have at most {MAX_TERM_WORDS} words"
    return None


def parse_key_terms(terms: Sequence[str]) -> tuple[str, ...]:
    """The list without repetitions. Raises ClientError, whose message repeats no term."""
    if len(terms) > MAX_KEY_TERMS:
        raise _refusal(f"keyTerms may have at most {MAX_KEY_TERMS} terms, not {len(terms)}")
    for number, term in enumerate(terms, 1):
        if problem := term_problem(term):
            raise _refusal(f"keyTerms: term {number} {problem}")
    return merge_key_terms(terms)


def key_terms_in(prompt: str) -> tuple[str, ...]:
    """The key terms in a prompt: what stands between its commas and line ends. Longer text is no term.

    Raises ClientError where there are too many.
    """
    parts = (part.strip() for line in prompt.splitlines() for part in line.split(","))
    terms = merge_key_terms((part for part in parts if term_problem(part) is None), limit=MAX_KEY_TERMS + 1)
    if len(terms) > MAX_KEY_TERMS:
        raise _refusal(f"the prompt may name at most {MAX_KEY_TERMS} key terms")
    return terms


def merge_key_terms(*lists: Iterable[str], limit: int = MAX_KEY_TERMS) -> tuple[str, ...]:
    """The terms of all lists, the first ones first, each once; what is beyond the limit is left out."""
    return tuple(dict.fromkeys(term for terms in lists for term in terms))[:limit]


def _refusal(reason: str) -> ClientError:
    return ClientError(ClientFault.BAD_MESSAGE, reason)
