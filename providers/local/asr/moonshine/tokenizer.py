"""Moonshine's tokenizer, read from `tokenizer.bin`: byte-pair encoding over pieces of UTF-8.

The file has every piece behind its length: one byte, or two where the first is 128 or more (its low 7 bits, then the
rest). Ids 0 to 2 are unknown, begin and end, 3 to 258 the single bytes; the others are in the order in which they are
merged, so that no list of merges is needed: the neighbours whose joined piece has the lowest id are joined first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from providers.local.asr.transformer.errors import UnreadableCheckpoint

BEGIN, END = 1, 2
_FIRST_BYTE, _FIRST_MERGED = 3, 259
_SPACE = "▁"
"""U+2581: begins the piece that begins a word."""


@dataclass(frozen=True, slots=True)
class MoonshineTokenizer:
    pieces: Sequence[bytes]
    """By their ids."""
    _ids: dict[bytes, int] = field(init=False)

    def __post_init__(self) -> None:
        merged = {piece: number for number, piece in enumerate(self.pieces) if number >= _FIRST_MERGED}
        object.__setattr__(self, "_ids", merged)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that begins with a word."""
        parts = [sign.encode() for sign in _SPACE + " ".join(text.split()).replace(" ", _SPACE)]
        while (best := self._first_merge(parts)) is not None:
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return [token for part in parts for token in self._tokens(part)]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of these tokens; incomplete characters become U+FFFD, special tokens nothing."""
        return self.decode_inner(tokens).strip()

    def decode_inner(self, tokens: Iterable[int]) -> str:
        """The same with the space before its first word."""
        raw = b"".join(self.pieces[token] for token in tokens if _FIRST_BYTE <= token < len(self.pieces))
        return raw.decode("utf-8", "replace").replace(_SPACE, " ")

    def word_starts(self, tokens: Sequence[int]) -> list[int]:
        """The indexes of the tokens that begin a word, the first one always."""
        space = _SPACE.encode()
        return [n for n, token in enumerate(tokens) if n == 0 or self.pieces[token].startswith(space)]

    def _first_merge(self, parts: Sequence[bytes]) -> int | None:
        """The index of the pair that is merged next."""
        candidates = ((self._ids.get(parts[n] + parts[n + 1]), n) for n in range(len(parts) - 1))
        known = [(merged, n) for merged, n in candidates if merged is not None]
        return min(known)[1] if known else None

    def _tokens(self, part: bytes) -> list[int]:
        return [self._ids[part]] if part in self._ids else [_FIRST_BYTE + byte for byte in part]


def read_tokenizer(path: Path) -> MoonshineTokenizer:
    """Blocking. Raises UnreadableCheckpoint where the file is cut short."""
    content, at = path.read_bytes(), 0
    pieces: list[bytes] = []
    try:
        while at < len(content):
            length = content[at]
            at += 1
            if length >= 128:
                length = length & 127 | content[at] << 7
                at += 1
            if at + length > len(content):
                raise UnreadableCheckpoint(f"{path.name} is cut short")
            pieces.append(content[at : at + length])
            at += length
    except IndexError as error:
        raise UnreadableCheckpoint(f"{path.name} is cut short") from error
    if len(pieces) <= _FIRST_MERGED:
        raise UnreadableCheckpoint(f"{path.name} has {len(pieces)} pieces only")
    return MoonshineTokenizer(pieces)
