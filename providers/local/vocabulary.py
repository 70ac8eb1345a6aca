"""Words to expect and what was said before, within the room a prompt has."""

from collections.abc import Sequence

import tokenizers

_ROOM = 96
"""Tokens: each one is paid for in every pass, and half of the decoder's 448 are the most there are."""


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
