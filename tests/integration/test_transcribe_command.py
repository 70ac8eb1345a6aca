"""`parley transcribe` with many files."""

import json
import os
import shutil

import pytest
from click.testing import CliRunner

from app.cli import parley
from tests.clips import COUNTRY, HANDS, word_error_rate
from tests.models import MODELS_DIR, model


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("PARLEY_MODELS_DIR", str(MODELS_DIR))
    monkeypatch.chdir(tmp_path)
    return lambda *given: CliRunner().invoke(parley, ["transcribe", *map(str, given)])


def test_transcribe_refuses_two_files_with_one_result(run, tmp_path):
    """Neither is overwritten, and nothing is transcribed before."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(HANDS.path, tmp_path / folder / "hands.flac")

    done = run(tmp_path / "a/hands.flac", tmp_path / "b/hands.flac", "--output", tmp_path / "out")

    assert done.exit_code == 2
    assert "a/hands.flac" in done.stderr
    assert "b/hands.flac" in done.stderr
    assert not (tmp_path / "out").exists()


def test_transcribe_names_an_output_folder_that_cannot_be_made(run):
    """One sentence, before a model is loaded."""
    done = run(HANDS.path, "--output", "/proc/parley")

    assert done.exit_code == 1
    assert "cannot write to /proc/parley" in done.stderr


@pytest.mark.models
def test_transcribe_passes_over_what_is_no_audio(run, tmp_path):
    """Each is named; the files behind it are transcribed, and the exit status says that some failed."""
    model("whisper-base")
    (tmp_path / "notes.txt").write_text("no audio at all")
    (tmp_path / "empty").mkdir()

    done = run(COUNTRY.path, tmp_path / "notes.txt", "missing.flac", tmp_path / "empty", HANDS.path)

    assert done.exit_code == 1
    assert "parley: missing.flac: No such file or directory" in done.stderr
    assert "parley: 3 of 5 could not be transcribed: " in done.stderr
    first, second = done.stdout.splitlines()
    assert word_error_rate(COUNTRY.words, first.removeprefix(f"{COUNTRY.path}: ")) <= 0.2
    assert word_error_rate(HANDS.words, second.removeprefix(f"{HANDS.path}: ")) <= 0.2


@pytest.mark.models
def test_transcribe_gives_a_folder_of_oddly_named_files_as_a_line_of_json_each(run, tmp_path):
    """A newline, square brackets, a leading dash, bytes that are no UTF-8; the hidden one is none of them."""
    model("whisper-base")
    folder = tmp_path / "talks" / "1960"
    folder.mkdir(parents=True)
    names = [b"-first\nline.flac", b"[b]old.FLAC", b"latin-\xe4.flac", b".hidden.flac", b"notes.txt"]
    for name in names:
        shutil.copy(HANDS.path, folder / os.fsdecode(name))

    done = run("talks", "--format", "json", "--language", "auto")

    assert (done.exit_code, done.stderr) == (0, "")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    parent = "talks/1960/"
    assert [result["file"] for result in results] == [
        f"{parent}-first\\nline.flac",
        f"{parent}[b]old.FLAC",
        f"{parent}latin-\\udce4.flac",
    ]
    assert all(word_error_rate(HANDS.words, result["text"]) <= 0.2 for result in results)


@pytest.mark.models
def test_transcribe_writes_results_of_a_folder_as_the_folder_is_arranged(run, tmp_path):
    """Two files of one name stay two, and a file that is named twice is transcribed once."""
    model("whisper-base")
    for folder in ("talks/a", "talks/b"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(HANDS.path, tmp_path / folder / "hands.flac")

    done = run("talks", "talks/a/hands.flac", "--format", "srt", "--output", "out")

    assert (done.exit_code, done.stderr) == (0, "")
    written = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [str(path.relative_to(tmp_path / "out")) for path in written] == ["a/hands.flac.srt", "b/hands.flac.srt"]
    assert written[0].read_text().startswith("1\n00:00:0")


@pytest.mark.models
def test_transcribe_leaves_no_part_of_a_result_that_cannot_be_written(run, tmp_path):
    """The next file is done all the same."""
    model("whisper-base")
    for name in ("one.flac", "two.flac"):
        shutil.copy(HANDS.path, tmp_path / name)
    (tmp_path / "out" / "one.flac.txt").mkdir(parents=True)

    done = run("one.flac", "two.flac", "--output", "out")

    assert done.exit_code == 1
    assert "parley: one.flac: cannot write to out/one.flac.txt: Is a directory" in done.stderr
    assert word_error_rate(HANDS.words, (tmp_path / "out/two.flac.txt").read_text()) <= 0.2
