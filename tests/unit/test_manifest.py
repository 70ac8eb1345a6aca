"""The finals of a manifest cover every sample once; it is checked when it is read, and rewritten without a loss."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.recording.manifest import ArchivedFinal, ArchivedWord, Manifest, archived_words, defect_of, tile
from app.domain.recording.manifest_rewrite import keep_unknown_fields
from app.domain.recording.subtitles import as_srt
from app.domain.transcript import Word


def final(number: int, start: int, speech_end: int, end: int) -> ArchivedFinal:
    return ArchivedFinal(start, end, f"word {number}", utterance=number, speech=(start, speech_end))


def test_tile_assigns_silence_to_the_following_utterance():
    """The tiles begin where the one before ended."""
    tiles = tile([final(1, 100, 180, 200), final(2, 300, 380, 400)], 500)

    assert [(t.start, t.end, t.text, t.utterance) for t in tiles] == [
        (0, 200, "word 1", 1),
        (200, 400, "word 2", 2),
        (400, 500, "", None),
    ]
    assert tiles[0].speech == (100, 180)


def test_tile_of_an_empty_session_is_empty():
    """An empty session has no tiles; a silent one has one."""
    assert tile([], 0) == ()
    assert [(t.start, t.end) for t in tile([], 70)] == [(0, 70)]


def test_words_of_a_final_are_kept_and_make_its_captions():
    """A manifest of an earlier release has none; its captions are timed by length."""
    words = archived_words([Word("hello", 16_000, 24_000, 0.98765), Word("there", 24_000, 40_000, 0.5)])
    whole = ArchivedFinal(0, 48_000, "hello there", speech=(8_000, 40_000), words=words)
    earlier = msgspec.json.decode(b'{"start": 0, "end": 48000, "text": "hello there"}', type=ArchivedFinal)

    kept = msgspec.json.decode(msgspec.json.encode(whole), type=ArchivedFinal)

    assert kept == whole
    assert kept.words[0] == ArchivedWord("hello", 16_000, 24_000, 0.988)
    assert as_srt([kept.segment]) == "1\n00:00:01,000 --> 00:00:02,500\nhello there\n"
    assert as_srt([earlier.segment]) == "1\n00:00:00,000 --> 00:00:03,000\nhello there\n"


@given(st.lists(st.integers(1, 1000), max_size=20), st.integers(0, 1000), st.randoms())
def test_tile_covers_every_sample_once(lengths, rest, random):
    """In any order of arrival: no gap, no overlap, to the last sample."""
    finals, at = [], 0
    for number, length in enumerate(lengths):
        finals.append(final(number, at, at + length, at + length))
        at += length
    random.shuffle(finals)

    tiles = tile(finals, at + rest)

    edges = [0, *(t.end for t in tiles)]
    assert [t.start for t in tiles] == edges[:-1]
    assert edges[-1] == at + rest


def decoded(**changes) -> Manifest:
    """A stored manifest with these fields, as it is read."""
    stored = {"session": "one", "started": "2026-01-02", "ended": "2026-01-02", "samples": 100, **changes}
    return msgspec.json.decode(msgspec.json.encode(stored), type=Manifest)


def test_manifest_of_the_first_releases_is_readable():
    """Without a tenant, person, warnings, transcripts, checksums of replies or a format."""
    old = decoded(
        chunks=[{"key": "a", "start": 0, "end": 100, "sha256": "x"}],
        finals=[{"start": 0, "end": 100, "text": "hi"}],
        replies=[{"turn": 1, "text": "hello"}],
    )

    assert (old.tenant, old.person, old.format, old.transcripts) == ("default", None, 1, ())
    assert defect_of(old) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": -1},
        {"samples": 1 << 60},
        {"format": 0},
        {"sample_rate": 8000},
        {"chunks": [{"key": "a", "start": 0, "end": 200, "sha256": ""}]},
        {"chunks": [{"key": "a", "start": 50, "end": 50, "sha256": ""}]},
        {
            "chunks": [
                {"key": "a", "start": 50, "end": 90, "sha256": ""},
                {"key": "b", "start": 0, "end": 9, "sha256": ""},
            ]
        },
        {"finals": [{"start": 9, "end": 3, "text": ""}]},
        {"finals": [{"start": -9, "end": 3, "text": ""}]},
        {"replies": [{"turn": 1, "text": "", "samples": -1}]},
    ],
)
def test_manifest_with_impossible_numbers_is_defective(changes):
    assert defect_of(decoded(**changes)) is not None


def test_rewrite_keeps_fields_of_a_later_version_at_every_depth():
    """Also of what was inserted before, and of what has moved."""
    stored = {
        "session": "one",
        "mood": "good",
        "chunks": [{"key": "a", "gain": 1}, {"key": "b", "gain": 2}],
        "finals": [{"start": 0, "text": "one", "words": [{"start": 0, "score": 0.5}]}, {"start": 9, "text": "two"}],
        "transcripts": [{"key": "x.json", "wer": 0.1}],
    }
    rewritten = {
        "session": "one",
        "chunks": [{"key": "b", "sha256": "new"}],
        "finals": [{"start": 0, "text": "eins"}, {"start": 9, "text": "two"}],
        "transcripts": [{"key": "y.json"}, {"key": "x.json"}],
    }

    assert keep_unknown_fields(stored, rewritten) == {
        "session": "one",
        "mood": "good",
        "chunks": [{"key": "b", "sha256": "new", "gain": 2}],
        "finals": [
            {"start": 0, "text": "eins", "words": [{"start": 0, "score": 0.5}]},
            {"start": 9, "text": "two"},
        ],
        "transcripts": [{"key": "y.json"}, {"key": "x.json", "wer": 0.1}],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "start", "a", "b"]), inner),
    max_leaves=10,
)


@given(JSON, JSON)
def test_rewrite_never_changes_a_field_that_is_written(stored, rewritten):
    """Whatever JSON it replaces: what is written is there, and a second rewrite of the same changes nothing."""
    result = keep_unknown_fields(stored, rewritten)

    assert is_within(rewritten, result)
    assert keep_unknown_fields(result, rewritten) == result


def is_within(part, whole) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and is_within(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(is_within, part, whole))
    return part == whole
