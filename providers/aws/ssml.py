"""Escapes text as SSML for Polly, in pieces of the length it accepts."""

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

_MAX_CHARACTERS = 2_900
"""Polly speaks 3000 characters at a time,"""

_MAX_ESCAPED_CHARACTERS = 5_800
"""in a document of 6000."""

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no way to write."""

_BOUNDARIES = (re.compile(r"(?<=[.!?…。！？])\s+"), re.compile(r"(?<=[,;:—])\s+"), re.compile(r"\s+"))  # noqa: RUF001 because these are the very signs meant
"""Where to split, best first."""


def ssml_document(text: str) -> str:
    """The SSML document that speaks this text as it stands, whatever signs are in it."""
    return f"<speak>{escape(_NOT_XML.sub(' ', text))}</speak>"


def split_text(text: str) -> Iterator[str]:
    """The text in order, split between sentences, else between clauses, else between words, else anywhere."""
    rest = text.strip()
    while not _fits(rest):
        end = _split_position(rest)
        yield rest[:end].rstrip()
        rest = rest[end:].lstrip()
    if rest:
        yield rest


def _fits(text: str) -> bool:
    return len(text) <= _MAX_CHARACTERS and len(escape(text)) <= _MAX_ESCAPED_CHARACTERS


def _split_position(text: str) -> int:
    longest = min(len(text), _MAX_CHARACTERS)
    while not _fits(text[:longest]):
        longest -= longest // 10
    for boundary in _BOUNDARIES:
        ends = [gap.end() for gap in boundary.finditer(text, 0, longest)]
        if ends:
            return ends[-1]
    return longest
