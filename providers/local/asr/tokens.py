"""The words of a model; words to expect and what was said before, within the room a prompt has."""

import json
from collections.abc import Sequence
from pathlib import Path

import tokenizers

_ROOM = 96
"""Tokens: each one is paid for in every pass, and half of the decoder's 448 are the most there are."""


def read_tokens(path: Path) -> tokenizers.Tokenizer:
    """The words of a model.

    The files published for the multilingual models lack their first merge, the one that makes " t": " the" would be
    given to the model as three tokens that it has never seen together. It is put back.
    """
    content = json.loads(path.read_text("utf-8"))
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    if "Ġt" in vocabulary and merges[:1] not in (["Ġ t"], [["Ġ", "t"]]):
        merges.insert(0, "Ġ t" if isinstance(merges[0], str) else ["Ġ", "t"])
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def prompt_tokens(tokens: tokenizers.Tokenizer, *, prompt: str, hotwords: Sequence[str]) -> tuple[int, ...]:
    """As many hotwords as fit, in their order; then the end of the prompt in the room that is left."""
    names: list[int] = []
    for word in hotwords:
        more = _encoded(tokens, f" {word.strip()}," if word.strip() else "")
        if len(names) + len(more) > _ROOM:
            break
        names += more
    room = _ROOM - len(names)
    before = _encoded(tokens, f" {prompt.strip()}" if prompt.strip() else "")
    return (*names, *(before[-room:] if room else ()))


def _encoded(tokens: tokenizers.Tokenizer, text: str) -> list[int]:
    return list(tokens.encode(text, add_special_tokens=False).ids)
