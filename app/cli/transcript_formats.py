"""The formats in which `parley transcribe` writes a transcript."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from app.domain.audio import seconds
from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt

SUFFIX: Mapping[str, str] = {"text": ".txt", "txt": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}
"""Of each format's file; `txt` is another name of `text`."""

IN_A_ROW = frozenset({"text", "txt", "json"})
"""Formats of which one stream can hold several: a line each. Subtitles would begin again at 0."""


_RENDERERS: Mapping[str, Callable[[Sequence[Segment]], str]] = {
    "text": as_text,
    "txt": as_text,
    "srt": as_srt,
    "vtt": as_vtt,
}


@dataclass(frozen=True, slots=True)
class Transcript:
    file: str
    """Its name."""
    model: str
    samples: int
    """Length of the audio."""
    segments: Sequence[Segment]

    @property
    def language(self) -> str | None:
        """That of most of the speech; None where no engine said any."""
        spoken = Counter[str]()
        for segment in self.segments:
            if segment.language:
                spoken[segment.language] += segment.end - segment.start
        return spoken.most_common(1)[0][0] if spoken else None


def formatted(transcript: Transcript, form: str) -> str:
    """As a file of its own."""
    if form == "json":
        return msgspec.json.format(_json(transcript)).decode() + "\n"
    return _RENDERERS[form](transcript.segments)


def line_of_several(transcript: Transcript, form: str) -> str:
    """One line with the file's name, as JSON or as `NAME: TEXT`."""
    if form == "json":
        return _json(transcript).decode() + "\n"
    return f"{transcript.file}: {as_text(transcript.segments)}"


def _json(transcript: Transcript) -> bytes:
    """Times and length in seconds."""
    return msgspec.json.encode(
        {
            "file": transcript.file,
            "model": transcript.model,
            "language": transcript.language,
            "duration": round(seconds(transcript.samples), 3),
            **as_json(transcript.segments),
        }
    )
