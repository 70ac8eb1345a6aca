import os
from pathlib import Path

import pytest

from bench.clips import ManifestEntry, choose
from bench.load import Load, clips_of_speaker
from bench.protocols import ServerEvent
from bench.report import HEADINGS, markdown, percentile, rows, summarise
from bench.score import Errors, Scorer, load_scorer
from bench.server import Usage
from tests.strict import missing
from tests.unit.bench.making import clip, played


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    folder = Path(os.environ.get("PARLEY_SPEECH_DIR", "../shared/speech"))
    if not (folder / "score.py").is_file():
        missing("the speech corpus")
    return load_scorer(folder)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2.5), (95, 3.85), (100, 4)])
def test_percentile_interpolates_linearly(percent, value):
    """Linear between the two nearest values, in whatever order they came."""
    assert percentile([4, 1, 3, 2], percent) == pytest.approx(value)


def test_percentile_of_no_values_is_none():
    """An empty list gives None, and not an error."""
    assert percentile([], 50) is None


def test_clips_are_sampled_evenly():
    """Three of nine are the first, fourth and seventh; nought are all."""
    entries = [ManifestEntry(str(at), "text", 1.0) for at in range(9)]

    assert [entry.file for entry in choose(entries, 3)] == ["0", "3", "6"]
    assert choose(entries, 0) == entries


def test_each_speaker_rotates_the_clips():
    """Two people with four clips: the second begins in the middle."""
    clips = [clip(str(at)) for at in range(4)]

    assert [each.text for each in clips_of_speaker(clips, 1, 2, 1)] == ["2", "3", "0", "1"]
    assert len(clips_of_speaker(clips, 0, 2, 3)) == 12


def test_wer_sums_errors_before_dividing():
    """One wrong of ten and one wrong of two is two of twelve."""
    assert (Errors(10, 1) + Errors(2, 1)).rate == pytest.approx(2 / 12)
    assert Errors().rate is None


def test_wer_uses_the_scorer_of_the_corpus(scorer):
    """Case and punctuation are no errors, a wrong word and a lost one are."""
    assert scorer.errors("It's one two.", "it is ONE two") == Errors(4, 0)
    assert scorer.errors("one bad apple fell", "one bed apple") == Errors(4, 2)


def test_summary_counts_missing_finals_and_replies(scorer):
    """Two clips of three words, one without a final: half the words are wrong, one final is missing."""
    answered = played(ServerEvent(4.0, "final", "one two three", start=1.4, end=3.4), text="apple pear plum")
    answered.events[0] = ServerEvent(4.0, "final", "apple pear plum", start=1.4, end=3.4)
    answered.streamed = 10.0
    load = Load(
        1, (answered, played(text="apple pear plum")), Usage(cpu_seconds=5.0, wall_seconds=10.0, max_rss_mib=100)
    )

    summary, records = summarise(load, scorer, {"made.flac": "apple pear plum"})

    assert (summary.finals_missing, summary.wer, summary.wer_one_shot) == (1, 0.5, 0.0)
    assert (summary.cpu_per_audio_second, summary.cores, summary.replies_missing) == (0.5, 0.5, None)
    assert summary.ttfs_p50 == pytest.approx(0.6)
    assert [record["errors"] for record in records] == [0, 3]
    assert markdown("us", summary).count("|") == HEADINGS.splitlines()[0].count("|")
    assert dict(rows(summary))["WER of the finals / one-shot"] == "50.0 % / 0.0 %"
