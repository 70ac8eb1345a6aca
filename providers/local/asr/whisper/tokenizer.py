"""Read the tokenizer of a Whisper model, with a merge rule that its published files lack."""

import json
from pathlib import Path

import tokenizers


def read_tokenizer(path: Path) -> tokenizers.Tokenizer:
    """The tokenizer in this `tokenizer.json`.

    The files published for the multilingual models lack their first merge, "Ġ t": " the" would become three tokens
    that the model has never seen together. It is put back.
    """
    content = json.loads(path.read_text("utf-8"))
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    if "Ġt" in vocabulary and merges[:1] not in (["Ġ t"], [["Ġ", "t"]]):
        merges.insert(0, "Ġ t" if isinstance(merges[0], str) else ["Ġ", "t"])
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def inner_tokens(tokens: tokenizers.Tokenizer, text: str) -> list[int]:
    """The tokens of these words inside a text."""
    return list(tokens.encode(f" {text.strip()}", add_special_tokens=False).ids)
