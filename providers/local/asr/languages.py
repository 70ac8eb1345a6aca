"""Which languages a Whisper model in CTranslate2's format knows, from its vocabulary alone."""

import json
import re
from pathlib import Path

from app.domain.errors import ModelUnavailable

_MULTILINGUAL_TOKENS = 51865
"""Vocabularies of English-only models are shorter; they contain the tokens of all languages nevertheless."""


def supported_languages(folder: Path) -> frozenset[str]:
    """ISO 639 codes; empty where the folder has no vocabulary. Raises ModelUnavailable where it cannot be read."""
    try:
        tokens = _vocabulary(folder)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"the vocabulary of the model {folder} cannot be read: {error}") from error
    if 0 < len(tokens) < _MULTILINGUAL_TOKENS:
        return frozenset({"en"})
    return frozenset(found[1] for token in tokens if (found := re.fullmatch(r"<\|([a-z]{2,3})\|>", token)))


def _vocabulary(folder: Path) -> list[str]:
    as_json, as_lines = folder / "vocabulary.json", folder / "vocabulary.txt"
    if as_json.is_file():
        return [str(token) for token in json.loads(as_json.read_text(encoding="utf-8"))]
    return as_lines.read_text(encoding="utf-8").splitlines() if as_lines.is_file() else []
