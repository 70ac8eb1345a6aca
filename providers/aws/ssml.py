"""Text as Polly takes it: escaped, marked up, and in pieces that it accepts."""

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

_MOST_CHARACTERS = 2_900
"""Polly speaks 3000 characters at a time,"""

_MOST_MARKUP = 5_800
"""in a document of 6000."""

_UNSPEAKABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no way to write."""

_CUTS = (re.compile(r"(?<=[.!?…。！？])\s+"), re.compile(r"(?<=[,;:—])\s+"), re.compile(r"\s+"))  # noqa: RUF001 because these are the very signs meant
"""Where to cut, best first."""


def document(text: str, *, rate_percent: int | None = None) -> str:
    """The SSML document that speaks this text as it stands, whatever signs are in it."""
    spoken = escape(_UNSPEAKABLE.sub(" ", text))
    if rate_percent is not None:
        spoken = f'<prosody rate="{rate_percent}%">{spoken}</prosody>'
    return f"<speak>{spoken}</speak>"


def pieces(text: str) -> Iterator[str]:
    """The text in order, cut between sentences, else between clauses, else between words, else anywhere."""
    rest = text.strip()
    while not _fits(rest):
        cut = _cut(rest)
        yield rest[:cut].rstrip()
        rest = rest[cut:].lstrip()
    if rest:
        yield rest


def _fits(text: str) -> bool:
    return len(text) <= _MOST_CHARACTERS and len(escape(text)) <= _MOST_MARKUP


def _cut(text: str) -> int:
    longest = min(len(text), _MOST_CHARACTERS)
    while not _fits(text[:longest]):
        longest -= longest // 10
    for gaps in _CUTS:
        ends = [gap.end() for gap in gaps.finditer(text, 0, longest)]
        if ends:
            return ends[-1]
    return longest
