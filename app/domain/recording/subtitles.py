"""Segments of speech as text, SRT, WebVTT or JSON-ready values."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from app.domain.audio import seconds
from app.domain.recording.captions import captions
from app.domain.recording.segment import Segment
from app.domain.transcript import Word, join

__all__ = ["Segment", "as_json", "as_srt", "as_text", "as_vtt", "speaker_name", "words_as_json"]


def as_text(segments: Iterable[Segment]) -> str:
    return join(s.text for s in segments) + "\n"


def as_srt(segments: Sequence[Segment]) -> str:
    """SubRip: numbered blocks, times with a comma. A speaker is named in front of the first words."""
    blocks = (f"{n}\n{_span(s, ',')}\n{s.text}\n" for n, s in enumerate(captions(_named(segments)), 1))
    return "\n".join(blocks)


def as_vtt(segments: Sequence[Segment]) -> str:
    """WebVTT: a header, times with a point. Speakers have voice tags."""
    cues = (f"{_span(s, '.')}\n{_voice_tag(s)}{s.text.replace('-->', '->')}\n" for s in captions(segments))
    return "WEBVTT\n\n" + "\n".join(cues)


def as_json(segments: Sequence[Segment], *, with_words: bool = True) -> dict[str, Any]:
    """Times in seconds."""
    return {
        "text": as_text(segments).strip(),
        "segments": [
            {
                "start": round(seconds(s.start), 3),
                "end": round(seconds(s.end), 3),
                "text": s.text,
                **({"words": words_as_json(s.words)} if with_words else {}),
                **({} if s.speaker is None else {"speaker": s.speaker}),
            }
            for s in segments
        ],
    }


def words_as_json(words: Iterable[Word]) -> list[dict[str, Any]]:
    """As OpenAI's `verbose_json` has words, and their probability besides. Times in seconds."""
    return [
        {
            "word": word.text,
            "start": round(seconds(word.start), 3),
            "end": round(seconds(word.end), 3),
            "probability": round(word.probability, 3),
        }
        for word in words
    ]


def speaker_name(speaker: int) -> str:
    return f"Speaker {speaker}"


def _voice_tag(segment: Segment) -> str:
    return "" if segment.speaker is None else f"<v {speaker_name(segment.speaker)}>"


def _named(segments: Sequence[Segment]) -> list[Segment]:
    """With the name of each new speaker before what is said, timed like its first word."""
    named, before = list[Segment](), None
    for segment in segments:
        if segment.speaker is not None and segment.speaker != before:
            name = f"{speaker_name(segment.speaker)}:"
            at = segment.words[0].start if segment.words else segment.start
            words = tuple(Word(text, at, at) for text in name.split()) if segment.words else ()
            named.append(replace(segment, text=f"{name} {segment.text}", words=(*words, *segment.words)))
        else:
            named.append(segment)
        before = segment.speaker
    return named


def _span(segment: Segment, point: str) -> str:
    return f"{_stamp(segment.start, point)} --> {_stamp(segment.end, point)}"


def _stamp(samples: int, point: str) -> str:
    whole, milli = divmod(round(seconds(samples) * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milli:03d}"
