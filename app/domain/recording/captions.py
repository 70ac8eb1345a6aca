"""Segments of speech as captions that can be read: short lines, cut where words are said. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.domain.audio import SAMPLE_RATE
from app.domain.recording.segment import Segment
from app.domain.transcript import Word

MAX_LINE = 42
"""Characters of a line; a caption has two at most."""

_LONGEST = 7 * SAMPLE_RATE
_SHORTEST = SAMPLE_RATE
"""Samples that a caption is shown, where the next one leaves it that long."""

_READ_PER_S = 20
"""Characters that people read in a second."""

_PAUSE = SAMPLE_RATE * 4 // 5
"""Samples between two words from which the second begins a caption."""

_ENDS = (".", "?", "!", "…", "。", "？", "！")  # noqa: RUF001 because these are the signs of Chinese and Japanese


@dataclass(frozen=True, slots=True)
class _TimedText:
    """What is not divided, with its samples."""

    text: str
    start: int
    end: int
    is_spaced: bool = True
    """A space stands before it."""


def captions(segments: Sequence[Segment]) -> list[Segment]:
    """The captions of these segments, in order: each at most two lines of MAX_LINE characters."""
    cut = [caption for segment in segments for caption in _captions_of(segment)]
    following = [caption.start for caption in cut[1:]]
    return [_long_enough(caption, after) for caption, after in zip(cut, [*following, None], strict=False)]


def _captions_of(segment: Segment) -> Iterator[Segment]:
    tokens: list[_TimedText] = []
    for token in _tokens(segment):
        if tokens and _begins_caption(tokens, token):
            yield _caption(segment, tokens)
            tokens = []
        tokens.append(token)
    if tokens:
        yield _caption(segment, tokens)


def _begins_caption(before: Sequence[_TimedText], token: _TimedText) -> bool:
    is_sentence = before[-1].text.endswith(_ENDS) and len(_joined(before)) > MAX_LINE // 2
    return (
        is_sentence
        or token.start - before[-1].end >= _PAUSE
        or token.end - before[0].start > _LONGEST
        or _lines([*before, token]) is None
    )


def _caption(segment: Segment, tokens: Sequence[_TimedText]) -> Segment:
    text = "\n".join(_lines(tokens) or (_joined(tokens),))
    return replace(segment, start=tokens[0].start, end=max(token.end for token in tokens), text=text, words=())


def _lines(tokens: Sequence[_TimedText]) -> tuple[str, ...] | None:
    """One line, or the two that differ least in length; None where they would be too long."""
    whole = _joined(tokens)
    if len(whole) <= MAX_LINE:
        return (whole,)
    pairs = ((_joined(tokens[:at]), _joined(tokens[at:])) for at in range(1, len(tokens)))
    fitting = [pair for pair in pairs if max(map(len, pair)) <= MAX_LINE]
    return min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1])), default=None)


def _joined(tokens: Iterable[_TimedText]) -> str:
    return "".join(f" {token.text}" if token.is_spaced else token.text for token in tokens).strip()


def _tokens(segment: Segment) -> Iterator[_TimedText]:
    """The segment's text in pieces that fit a line, timed by its words, or by length where it has none that fit it."""
    for token in _timed(segment.text.split(), segment):
        pieces = [token.text[at : at + MAX_LINE] for at in range(0, len(token.text), MAX_LINE)]
        at = 0
        for number, piece in enumerate(pieces):
            start, end = (token.start + (token.end - token.start) * n // len(token.text) for n in (at, at + len(piece)))
            yield _TimedText(piece, start, end, is_spaced=token.is_spaced and number == 0)
            at += len(piece)


def _timed(texts: Sequence[str], segment: Segment) -> Iterator[_TimedText]:
    words = segment.words
    if len(words) == len(texts):
        yield from (_TimedText(text, word.start, word.end) for text, word in zip(texts, words, strict=True))
    elif len(words) > 1 and (spaced := _spaced(segment.text, words)):
        yield from spaced
    else:
        total, at = sum(map(len, texts)), 0
        for text in texts:
            start, end = (segment.start + (segment.end - segment.start) * n // total for n in (at, at + len(text)))
            yield _TimedText(text, start, end)
            at += len(text)


def _spaced(text: str, words: Sequence[Word]) -> list[_TimedText]:
    """The words with the spaces that the text has between them; none where it has other words."""
    tokens, at = list[_TimedText](), 0
    for word in words:
        found = text.find(word.text, at)
        if found < 0 or text[at:found].strip():
            return []
        tokens.append(_TimedText(word.text, word.start, word.end, is_spaced=found > at))
        at = found + len(word.text)
    return [] if text[at:].strip() else tokens


def _long_enough(caption: Segment, following: int | None) -> Segment:
    """Shown for as long as it takes to read, where the next one leaves room."""
    wanted = max(_SHORTEST, len(caption.text) * SAMPLE_RATE // _READ_PER_S)
    end = max(caption.end, caption.start + wanted)
    return replace(caption, end=end if following is None else max(caption.start, min(end, following)))
