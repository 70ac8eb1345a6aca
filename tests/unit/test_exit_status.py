"""What a command raises becomes one sentence on standard error and an exit status."""

import os
import subprocess
import sys

import click
import pytest

from app.cli import parley
from app.cli.exit_status import run
from app.domain.errors import ModelUnavailable, ProviderDown


def raising(error):
    @click.command()
    def command():
        raise error

    return run(command, [])


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ModelUnavailable("The model is missing."), 1, "parley: The model is missing.\n"),
        (click.ClickException("it is not there"), 1, "parley: it is not there\n"),
        (ExceptionGroup("", [ProviderDown("s3", "gone")]), 1, "parley: s3: gone\n"),
        (ExceptionGroup("", [ProviderDown("s3", "gone"), ProviderDown("s3", "gone")]), 1, "parley: s3: gone\n"),
        (KeyboardInterrupt(), 130, "\nparley: interrupted\n"),
        (click.exceptions.Exit(3), 3, ""),
        (SystemExit(4), 4, ""),
    ],
    ids=repr,
)
def test_each_end_has_its_status_and_one_prefix(error, status, said, capsys):
    assert raising(error) == status
    assert capsys.readouterr().err == said


def test_a_defect_is_shown_with_its_traceback():
    """Also where it comes together with an expected error."""
    with pytest.raises(ExceptionGroup):
        raising(ExceptionGroup("", [ProviderDown("s3", "gone"), ValueError("defect")]))
    with pytest.raises(PermissionError):
        raising(PermissionError("defect"))


def test_a_usage_error_says_how_to_ask_for_help(capsys):
    assert run(parley, ["transcribe", "--format", "docx", "a.wav"]) == 2

    said = capsys.readouterr().err
    assert "transcribe --help' for help.\n\nparley: Invalid value for '--format': 'docx'" in said


def test_a_closed_pipe_is_no_error_to_speak_of():
    """`parley --help | true`."""
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "app", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")
