"""`parley transcribe` with many files."""

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
def test_transcribe_passes_over_a_file_that_is_no_audio(run, tmp_path):
    """It is named; the files behind it are transcribed, and the exit status says that one failed."""
    model("whisper-base")
    (tmp_path / "notes.txt").write_text("no audio at all")

    done = run(COUNTRY.path, tmp_path / "notes.txt", HANDS.path)

    assert done.exit_code == 1
    assert "notes.txt" in done.stderr
    assert word_error_rate(f"{COUNTRY.words} {HANDS.words}", done.stdout.replace("\n", " ")) <= 0.2
