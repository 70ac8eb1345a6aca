"""Segments as text, SRT, WebVTT and JSON."""

from dataclasses import replace

from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt
from app.domain.transcript import Word

SEGMENTS = [Segment(8_000, 40_000, "Hello there."), Segment(16_000 * 3661, 16_000 * 3662, "An hour --> later.")]


def test_subtitles_as_text():
    """One running text."""
    assert as_text(SEGMENTS) == "Hello there. An hour --> later.\n"


def test_subtitles_as_srt():
    """Numbered, times with a comma, rounded to milliseconds."""
    assert as_srt(SEGMENTS) == (
        "1\n00:00:00,500 --> 00:00:02,500\nHello there.\n\n2\n01:01:01,000 --> 01:01:02,000\nAn hour --> later.\n"
    )


def test_subtitles_as_vtt():
    """A header, times with a point, and no arrow inside the text."""
    assert as_vtt(SEGMENTS).startswith("WEBVTT\n\n00:00:00.500 --> 00:00:02.500\nHello there.\n")
    assert "An hour -> later." in as_vtt(SEGMENTS)


def test_subtitles_as_json():
    """Times in seconds; words have theirs, where the engine gave some."""
    words = (Word("Hello", 8_000, 16_000, 0.75),)
    bare, timed = as_json([SEGMENTS[0], replace(SEGMENTS[0], words=words)])["segments"]

    assert bare == {"start": 0.5, "end": 2.5, "text": "Hello there.", "words": []}
    assert timed["words"] == [{"word": "Hello", "start": 0.5, "end": 1.0, "probability": 0.75}]
    assert "words" not in as_json(SEGMENTS, with_words=False)["segments"][0]


def test_subtitles_of_silence():
    """An empty recording is no error."""
    assert (as_text([]), as_srt([]), as_vtt([])) == ("\n", "", "WEBVTT\n\n")
