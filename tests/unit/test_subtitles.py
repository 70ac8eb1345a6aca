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


SPOKEN = [
    Segment(0, 32_000, "Good morning.", speaker=1),
    Segment(40_000, 72_000, "How are you?", speaker=1),
    Segment(80_000, 112_000, "Fine, thanks.", speaker=2),
    Segment(120_000, 152_000, "Good.", speaker=None),
    Segment(160_000, 192_000, "Goodbye.", speaker=2),
]


def test_speakers_have_voice_tags_in_vtt():
    """In every caption; who is not known has none."""
    texts = [block.splitlines()[1] for block in as_vtt(SPOKEN).split("\n\n")[1:]]

    assert texts == [
        "<v Speaker 1>Good morning.",
        "<v Speaker 1>How are you?",
        "<v Speaker 2>Fine, thanks.",
        "Good.",
        "<v Speaker 2>Goodbye.",
    ]


def test_speakers_are_named_in_srt_where_they_change():
    """A caption in a row of the same speaker's has no name."""
    texts = [block.splitlines()[2] for block in as_srt(SPOKEN).split("\n\n")]

    assert texts == [
        "Speaker 1: Good morning.",
        "How are you?",
        "Speaker 2: Fine, thanks.",
        "Good.",
        "Speaker 2: Goodbye.",
    ]


def test_a_speakers_name_moves_no_caption():
    """It counts for the length of a line, and takes no time."""
    texts = ["We", "choose", "to", "go", "to", "the", "moon", "in", "this", "decade", "and", "do", "other", "things."]
    words = tuple(Word(text, 16_000 + 8_000 * at, 22_000 + 8_000 * at) for at, text in enumerate(texts))
    segment = Segment(0, 160_000, " ".join(texts), "en", words)
    bare, named = as_srt([segment]), as_srt([replace(segment, speaker=1)])

    assert named.splitlines()[1].split(" --> ")[0] == bare.splitlines()[1].split(" --> ")[0] == "00:00:01,000"
    assert all(len(line) <= 42 for line in named.splitlines())
    assert " ".join(named.split()).count("Speaker 1: We choose") == 1


def test_speakers_in_json():
    """Absent where nobody was told apart."""
    first, *_, unknown, _ = as_json(SPOKEN)["segments"]

    assert first["speaker"] == 1
    assert "speaker" not in unknown
