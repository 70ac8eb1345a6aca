"""Segments of speech as text, SRT, WebVTT or JSON-ready values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.audio import seconds
from app.domain.transcript import join


@dataclass(frozen=True, slots=True)
class Segment:
    """Speech in a recording, and its text."""

    start: int
    """Samples from the recording's first."""
    end: int
    text: str
    language: str | None = None


def as_text(segments: Iterable[Segment]) -> str:
    return join(s.text for s in segments) + "\n"


def as_srt(segments: Sequence[Segment]) -> str:
    """SubRip: numbered blocks, times with a comma."""
    blocks = (f"{n}\n{_span(s, ',')}\n{s.text}\n" for n, s in enumerate(segments, 1))
    return "\n".join(blocks)


def as_vtt(segments: Sequence[Segment]) -> str:
    """WebVTT: a header, times with a point."""
    return "WEBVTT\n\n" + "\n".join(f"{_span(s, '.')}\n{s.text.replace('-->', '->')}\n" for s in segments)


def as_json(segments: Sequence[Segment]) -> dict[str, Any]:
    """Times in seconds."""
    return {
        "text": as_text(segments).strip(),
        "segments": [
            {"start": round(seconds(s.start), 3), "end": round(seconds(s.end), 3), "text": s.text} for s in segments
        ],
    }


def _span(segment: Segment, point: str) -> str:
    return f"{_stamp(segment.start, point)} --> {_stamp(segment.end, point)}"


def _stamp(samples: int, point: str) -> str:
    whole, milli = divmod(round(seconds(samples) * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milli:03d}"
