"""Scripted recognisers of the Transcribe emulator: audio in, results in Transcribe's format out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

from tests.emulators.transcribe_script import Script

Json: TypeAlias = dict[str, Any]

LOUD = 200
"""Peak of a 10 ms frame from which on it is sound."""


_MARKS = ".,;:!?"


class Recogniser(Protocol):
    """Runs on the server's own loop and thread; it may take its time."""

    async def push(self, pcm: bytes) -> Sequence[Json]:
        """The results that this audio brings, oldest first."""
        ...

    async def finish(self) -> Sequence[Json]:
        """The results that are still open when the audio ends."""
        ...


@dataclass(frozen=True, slots=True)
class RecognisedWord:
    """A word on the stream, in milliseconds."""

    text: str
    start: int
    end: int
    is_stable: bool = False


def result(words: Sequence[RecognisedWord], *, id: str, is_partial: bool, end_ms: int, locale: str) -> Json:  # noqa: A002 because Transcribe calls it so
    """A result as Transcribe writes it, with punctuation marks as items of their own."""
    return {
        "ResultId": id,
        "StartTime": words[0].start / 1000 if words else 0.0,
        "EndTime": end_ms / 1000,
        "IsPartial": is_partial,
        "ChannelId": "ch_0",
        "LanguageCode": locale,
        "Alternatives": [
            {
                "Transcript": " ".join(word.text for word in words),
                "Items": [item for word in words for item in _items(word, is_stable=word.is_stable or not is_partial)],
            }
        ],
    }


def _items(word: RecognisedWord, *, is_stable: bool) -> Iterator[Json]:
    spoken = word.text.rstrip(_MARKS)
    common = {"VocabularyFilterMatch": False, "Stable": is_stable}
    times = {"StartTime": word.start / 1000, "EndTime": word.end / 1000}
    yield {"Content": spoken, "Type": "pronunciation", "Confidence": 0.97, **times, **common}
    if mark := word.text[len(spoken) :]:
        yield {
            "Content": mark,
            "Type": "punctuation",
            "StartTime": times["EndTime"],
            "EndTime": times["EndTime"],
            **common,
        }


class ScriptedRecogniser:
    """Hears the script's words, over and over, wherever there is sound."""

    def __init__(self, script: Script, rate: int, locale: str) -> None:
        self._script = script
        self._frame_bytes = rate // 100 * 2
        self._locale = locale
        self._pending = b""
        self._now_ms = 0
        self._sound_ms = 0
        self._words = cycle(script.words)
        self._segment: list[RecognisedWord] = []
        self._id = str(uuid4())

    async def push(self, pcm: bytes) -> Sequence[Json]:
        pcm, results, before = self._pending + pcm, [], tuple(self._segment)
        while len(pcm) >= self._frame_bytes:
            frame, pcm = pcm[: self._frame_bytes], pcm[self._frame_bytes :]
            results += self._push_frame(memoryview(frame).cast("h"))
        self._pending = pcm
        self._segment = [replace(word, is_stable=self._is_stable(word)) for word in self._segment]
        if self._segment and (tuple(self._segment) != before or self._script.reports_listening):
            results.append(self._result(is_partial=True))
        return results

    async def finish(self) -> Sequence[Json]:
        return [self._close_segment()] if self._segment else []

    def _push_frame(self, frame: memoryview) -> list[Json]:
        self._now_ms += 10
        if max(frame) >= LOUD:
            self._sound_ms += 10
            if self._sound_ms % self._script.word_ms == 0:
                text = next(self._words)
                self._segment.append(RecognisedWord(text, self._now_ms - self._script.word_ms, self._now_ms))
        full = len(self._segment) >= self._script.segment_words
        quiet_ms = self._now_ms - self._segment[-1].end if self._segment else 0
        return [self._close_segment()] if full or quiet_ms >= self._script.segment_silence_ms else []

    def _is_stable(self, word: RecognisedWord) -> bool:
        return self._now_ms >= word.end + self._script.stable_after_ms

    def _close_segment(self) -> Json:
        self._segment[-1] = replace(self._segment[-1], text=self._segment[-1].text + ".")
        closed = self._result(is_partial=False)
        self._segment, self._id = [], str(uuid4())
        return closed

    def _result(self, *, is_partial: bool) -> Json:
        end_ms = self._now_ms if self._script.reports_listening else self._segment[-1].end
        return result(self._segment, id=self._id, is_partial=is_partial, end_ms=end_ms, locale=self._locale)
