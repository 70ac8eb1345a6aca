"""Which languages a speech model knows, from the files in its folder alone."""

import json
import re
from pathlib import Path

from app.domain.errors import ModelUnavailable
from providers.local.asr.moonshine.layout import DECODER_FILE as MOONSHINE_FILE

_MULTILINGUAL_TOKENS = 51865
"""Of Whisper. Vocabularies of English-only models are shorter, and have the tokens of all languages nevertheless."""


def supported_languages(folder: Path) -> frozenset[str]:
    """ISO 639 codes; empty where the folder has no vocabulary. Raises ModelUnavailable where it cannot be read."""
    if is_moonshine(folder):
        return frozenset({"en"})
    try:
        tokens = _vocabulary(folder)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"the vocabulary of the model {folder} cannot be read: {error}") from error
    if 0 < len(tokens) < _MULTILINGUAL_TOKENS:
        return frozenset({"en"})
    return frozenset(found[1] for token in tokens if (found := re.fullmatch(r"<\|([a-z]{2,3})\|>", token)))


def is_moonshine(folder: Path) -> bool:
    """Whether this folder holds a Moonshine model, not one of Whisper."""
    return (folder / MOONSHINE_FILE).is_file()


def _vocabulary(folder: Path) -> list[str]:
    as_json, as_lines = folder / "vocabulary.json", folder / "vocabulary.txt"
    if as_json.is_file():
        return [str(token) for token in json.loads(as_json.read_text(encoding="utf-8"))]
    return as_lines.read_text(encoding="utf-8").splitlines() if as_lines.is_file() else []
