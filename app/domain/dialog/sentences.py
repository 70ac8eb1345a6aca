"""Splits a streamed reply into pieces for the synthesizer, and removes markdown, HTML and TeX's commands from them.

The first piece may end at a comma, or before a word that begins a phrase ("and", "that"), so that synthesis starts
early; later pieces are whole sentences. Where the pieces end depends on the text alone, never on how it was split into
deltas.
Only the spoken text loses its markup; the shown text is unchanged.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

_CLOSERS = "\"'”’»)\\]」』）*_`~"  # noqa: RUF001 because these signs are meant
_PHRASE_OPENERS = (
    "and|as|because|but|for|from|if|in|on|or|so|that|to|when|where|which|while|who|with"
    "|aber|dass|oder|sondern|und|weil|wenn"
    "|et|mais|ou|parce|pour|que|qui"
    "|o|para|pero|porque|y"
)
"""Words before which a speaker may take a breath: English, German, French, Spanish."""

_BREAK = re.compile(
    rf"""(?P<wide>[。！？]+[{_CLOSERS}]*)            # ends a sentence, no space needed
      | (?P<stop>[.!?…]+(?P<closers>[{_CLOSERS}]*))  # ends a sentence where a space follows
      | (?P<line>\n|(?i:<br\s*/?>|</(?:li|p|div|h[1-6]|tr)>))
      | (?P<wide_clause>[，、；：])
      | (?P<clause>[,;:—–]+[{_CLOSERS}]*)            # ends a clause where a space follows
      | (?P<phrase>[ ](?=(?:{_PHRASE_OPENERS})(?:['’]\w+)?[ ]))  # ends a phrase""",  # noqa: RUF001 likewise
    re.VERBOSE,
)

_NEVER_LAST = re.compile(
    r"adm|approx|ca|capt|cf|col|corp|dept|dr|e\.g|est|fig|gen|gov|hon|i\.e|lt|messrs|mme|mr|mrs|ms|mt|nr"
    r"|prof|rep|rev|sen|sgt|st|u\.k|u\.n|u\.s|vol|vs",
    re.IGNORECASE,
)
"""Abbreviations that a sentence hardly ends on."""

_LAST_BEFORE_CAPITAL = re.compile(r"a\.m|al|b\.c|co|d\.c|etc|inc|jr|ltd|p\.m|ph\.d|sr", re.IGNORECASE)
"""Abbreviations that end a sentence where a capital letter follows."""

_LAST_WORDS = re.compile(r"(?:(\S+)\s+)?(\S+)$")
_INITIAL = re.compile(r"[A-HJ-Z](\.[A-Z])*")
_NUMERAL = re.compile(r"\n[ \t>*_]*(\d{1,3}|[A-Za-z])$")
_OPEN_BRACKET = re.compile(r"\[[^\[\]\n]*$")
_OPEN_TAG = re.compile(r"<[A-Za-z][A-Za-z0-9]*\s[^<>\n]*=[^<>\n]*$")
_NEXT_BRACKET = re.compile(r"[^\[\]\n]*([\[\]\n].?|$)", re.DOTALL)

_MARKDOWN = (
    (re.compile(r"(?<=\n)[ \t]*(```|~~~)[^\n`]*"), ""),
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^()\n]*\)"), r"\1"),
    (re.compile(r"(?<=\n)(?:[ \t]*(?:#{1,6}|>|[-*+•])[ \t]+(?=\S))+"), ""),
    (re.compile(r"`+|~~"), ""),
    (re.compile(r"(?<!\w)\*+(?=\S)|(?<=\S)\*+(?!\w)"), ""),
    (re.compile(r"(?<!\w)_+|_+(?!\w)"), ""),
    (re.compile(r"\|"), " "),
)

_HTML = (
    (re.compile(r"(?i)</?(?:br|p|div|[uo]l|li|h[1-6]|t[rdh]|table|hr)\b[^<>]*>"), " "),
    (re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>"), ""),
)
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")

_TEX = (
    (re.compile(r"\\[()\[\]]|\$\$"), ""),
    (re.compile(r"\\(?:text|mathrm|mathbf|mathit|boxed)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\sqrt\{([^{}]*)\}"), r"√\1"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "×"),  # noqa: RUF001 because a voice reads this sign in its language
    (re.compile(r"\\pi(?![A-Za-z])"), "π"),
    (re.compile(r"(?<=\w)\^\{?2\}?(?!\d)"), "²"),
    (re.compile(r"(?<=\w)\^\{?3\}?(?!\d)"), "³"),
)
"""TeX's commands become signs, which a voice reads in its own language."""


def speakable(text: str, before: str = "\n") -> str:
    """The spoken form of a text in markdown, HTML and TeX; `before` is the character in front of it."""
    spoken = before + text
    for pattern, replacement in (*_HTML, *_TEX, *_MARKDOWN):
        spoken = pattern.sub(replacement, spoken)
    spoken = _ENTITY.sub(lambda entity: html.unescape(entity[0]), spoken)
    return " ".join("".join(filter(_is_spoken, spoken.removeprefix(before))).split())


def _is_spoken(sign: str) -> bool:
    """False for emoji, whose names a voice would read out."""
    return sign != "\N{VARIATION SELECTOR-16}" and not (
        sign >= "\N{LEFTWARDS ARROW}" and unicodedata.category(sign) in {"So", "Sk"}
    )


def _spoken_length(text: str) -> int:
    """Length of the spoken text in letters; a CJK character counts as three."""
    return sum(3 if letter >= "\N{CJK RADICAL REPEAT}" else 1 for letter in text if letter.isalnum())


@dataclass(frozen=True, slots=True)
class SentenceChunker:
    """State of one reply: text that is not emitted yet. Pieces are emitted in order and together have every word."""

    min_first_clause: int = 8
    """Letters the first piece must have to end at a comma."""

    min_first_phrase: int = 20
    """Letters the first piece must have to end in the middle of a clause."""

    max_characters: int = 240
    """Characters after which a long sentence is split at a space."""

    pending: str = ""
    previous: str = "\n"
    """The last character already emitted; a reply begins on a new line."""

    has_spoken: bool = False

    def push(self, delta: str) -> tuple["SentenceChunker", tuple[str, ...]]:
        """The chunker after one more delta, and the pieces that are now complete."""
        chunker = replace(self, pending=self.pending + delta)
        pieces = []
        while end := _end_of_piece(chunker):
            piece = speakable(chunker.pending[:end], chunker.previous)
            is_speakable = any(map(str.isalnum, piece))
            chunker = replace(
                chunker,
                pending=chunker.pending[end:],
                previous=chunker.pending[end - 1],
                has_spoken=chunker.has_spoken or is_speakable,
            )
            if is_speakable:
                pieces.append(piece)
        return chunker, tuple(pieces)

    def finish(self) -> tuple[str, ...]:
        """The remainder when the reply has ended: one piece, or none."""
        piece = speakable(self.pending, self.previous)
        return (piece,) if any(map(str.isalnum, piece)) else ()


def _end_of_piece(chunker: SentenceChunker) -> int | None:
    """Where the first piece in `pending` ends; None while that is not yet known."""
    window = chunker.pending[: chunker.max_characters + 1]
    is_full = len(chunker.pending) > chunker.max_characters
    for end, is_end in _breaks(chunker, window):
        if is_end:
            return end
        if is_end is None and not is_full:
            return None
    return _last_space(window) if is_full else None


def _breaks(chunker: SentenceChunker, window: str) -> Iterator[tuple[int, bool | None]]:
    """Every place where a piece may end, and whether it does; None: what follows will tell."""
    for found in _BREAK.finditer(window):
        end, preceding = found.end(), chunker.previous + window[: found.start()]
        following = window[end:]
        if found["line"]:
            yield end, True
        elif _OPEN_TAG.search(preceding):
            yield end, False
        elif (in_link := _is_in_link(preceding + found[0], following)) is not False:
            yield end, None if in_link is None else False
        elif found["wide"]:
            yield end, True if following else None
        elif found["stop"]:
            yield end, _ends_sentence(preceding, found["stop"], found["closers"], following)
        elif found["phrase"]:
            if not chunker.has_spoken and _spoken_length(preceding) >= chunker.min_first_phrase:
                yield end, True
        elif not chunker.has_spoken and _spoken_length(preceding) >= chunker.min_first_clause:
            yield end, True if found["wide_clause"] else _has_space(following)


def _is_in_link(preceding: str, following: str) -> bool | None:
    """Whether this is between the brackets of a link."""
    if not _OPEN_BRACKET.search(preceding):
        return False
    bracket = _NEXT_BRACKET.match(following)
    closing = bracket[1] if bracket else ""
    return None if closing in {"", "]"} else closing == "]("


def _has_space(following: str) -> bool | None:
    return following[0].isspace() if following else None


def _ends_sentence(preceding: str, stop: str, closers: str, following: str) -> bool | None:
    """Whether a stop ends a sentence; None while the next letter is unknown."""
    if not _has_space(following):
        return _has_space(following)
    if following.startswith("\n"):
        return True
    if _NUMERAL.search(preceding):
        return False
    upcoming = following.lstrip().lstrip("*_`~\"'“‘«(")[:1]  # noqa: RUF001 because these signs are meant
    is_ellipsis = stop.startswith(("..", "…"))
    if is_ellipsis or any(sign in closers for sign in "\"'”’»"):  # noqa: RUF001 likewise
        return not upcoming.islower() if upcoming else None
    return stop != "." or _ends_on(preceding, upcoming)


def _ends_on(preceding: str, upcoming: str) -> bool | None:
    """Whether a full stop behind these words ends the sentence, or belongs to an abbreviation."""
    words = _LAST_WORDS.search(preceding)
    before, last = (words[1] or "", words[2].lstrip("\"'“‘«([*_`")) if words else ("", "")  # noqa: RUF001 likewise
    if _NEVER_LAST.fullmatch(last) or (_INITIAL.fullmatch(last) and (not before or before[0].isupper())):
        return False
    if _LAST_BEFORE_CAPITAL.fullmatch(last):
        return upcoming.isupper() if upcoming else None
    if last.casefold() == "no":
        return not upcoming.isdigit() if upcoming else None
    return True


def _last_space(window: str) -> int:
    """Where to cut a run-on: behind the last comma of its second half, else at the last space."""
    half = len(window) // 2
    clause = max(window.rfind(sign, half) for sign in (", ", "; ", ": "))
    space = max(window.rfind(sign, 1) for sign in " \t")
    return clause + 1 if clause > 0 else space if space > 0 else len(window)
