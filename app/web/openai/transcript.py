"""The formats of a transcript that OpenAI's endpoint has: one file's segments as a body, or as server-sent events."""

import math
import zlib
from collections.abc import Sequence
from typing import Any, assert_never

from app.domain.audio import seconds
from app.domain.language import allowed_languages, english_name
from app.domain.recording.subtitles import Segment, as_srt, as_text, as_vtt, words_as_json
from app.web.openai.form import TranscriptionForm
from app.web.transcribed_files import FileReport

JSON, TEXT, VTT = "application/json", "text/plain", "text/vtt"
SEEK_PER_S = 100
"""Whisper counts positions in frames of 10 ms."""
SPEAKERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Where nobody tells speakers apart, all speech is the first one's."""


def transcript_body(
    segments: Sequence[Segment], report: FileReport, form: TranscriptionForm
) -> tuple[dict[str, Any] | str, str]:
    """The body, and its media type."""
    match form.response_format:
        case "text":
            return as_text(segments), TEXT
        case "srt":
            return as_srt(segments), TEXT
        case "vtt":
            return as_vtt(segments), VTT
        case "json":
            return {"text": as_text(segments).strip(), "usage": usage(report), **_confidence(report)}, JSON
        case "verbose_json":
            return _verbose(segments, report, form), JSON
        case "diarized_json":
            spoken = [speaker_segment(number, segment) for number, segment in enumerate(segments)]
            head = {"task": "transcribe", "duration": _duration(report), "text": as_text(segments).strip()}
            return {**head, "segments": spoken, "usage": usage(report)}, JSON
        case _:
            assert_never(form.response_format)


def usage(report: FileReport) -> dict[str, Any]:
    """Seconds of audio, rounded up as OpenAI bills them."""
    return {"type": "duration", "seconds": math.ceil(seconds(report.samples))}


def delta_event(number: int, segment: Segment) -> dict[str, Any]:
    """The deltas in a row are the text, so that each but the first begins with a space."""
    return {"type": "transcript.text.delta", "delta": f"{' ' if number else ''}{segment.text.strip()}"}


def done_event(segments: Sequence[Segment], report: FileReport) -> dict[str, Any]:
    """The last event."""
    text = as_text(segments).strip()
    return {"type": "transcript.text.done", "text": text, "usage": usage(report), **_confidence(report)}


def speaker_segment(number: int, segment: Segment) -> dict[str, Any]:
    """A segment of `diarized_json`, and the event of it."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": round(seconds(segment.start), 3),
        "end": round(seconds(segment.end), 3),
        "text": segment.text.strip(),
        "speaker": SPEAKERS[(segment.speaker or 1) - 1],
    }


def _verbose(segments: Sequence[Segment], report: FileReport, form: TranscriptionForm) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": _spoken(segments, report),
        "duration": _duration(report),
        "text": as_text(segments).strip(),
        "segments": [_segment(number, each, form.temperature) for number, each in enumerate(segments)],
    }
    if "word" in form.timestamp_granularities:
        body["words"] = words_as_json(word for segment in segments for word in segment.words)
    return {**body, "usage": usage(report), **_confidence(report), "warnings": list(report.warnings)}


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    """All ten fields of Whisper's segments: strict clients refuse an answer without one of them.

    The engines here report no tokens and no probability of silence, so those are empty and 0; what they tell of words
    stands in `avg_logprob`.
    """
    sure = [word.probability for word in segment.words if word.probability > 0]
    encoded = segment.text.encode()
    return {
        "id": number,
        "seek": round(seconds(segment.start) * SEEK_PER_S),
        "start": round(seconds(segment.start), 3),
        "end": round(seconds(segment.end), 3),
        "text": segment.text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": round(sum(map(math.log, sure)) / len(sure), 4) if sure else 0.0,
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 4),
        "no_speech_prob": 0.0,
    }


def _spoken(segments: Sequence[Segment], report: FileReport) -> str:
    """In English, as OpenAI has it; where no segment tells, those that may be spoken."""
    spoken = next((segment.language for segment in segments if segment.language), report.language)
    return ",".join(map(english_name, allowed_languages(spoken)))


def _duration(report: FileReport) -> float:
    return round(seconds(report.samples), 3)


def _confidence(report: FileReport) -> dict[str, float]:
    return {} if report.confidence is None else {"confidence": report.confidence}
