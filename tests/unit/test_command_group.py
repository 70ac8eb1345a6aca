"""The group of subcommands."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import app.cli
from app.cli import COMMANDS, parley

PACKAGE = Path(app.cli.__file__).parent


@pytest.mark.parametrize("name", COMMANDS)
def test_command_exists_under_its_name(name):
    command = parley.get_command(click.Context(parley), name)

    assert command is not None
    assert command.name == name


def test_every_command_is_listed():
    is_command = re.compile(r"^@click\.(command|group)\(.*^def (\w+)\(", re.MULTILINE | re.DOTALL)
    defined = {path.stem for path in PACKAGE.glob("*.py") if is_command.search(path.read_text("utf-8"))}

    assert defined - {"__init__"} == COMMANDS.keys()


def test_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(parley, ["tanscribe"])

    assert result.exit_code == 2
    assert "No such command 'tanscribe'" in result.output


def test_help_imports_no_engine_and_no_server():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from app.cli import parley\n"
        "assert CliRunner().invoke(parley, ['--help']).exit_code == 0\n"
        "print([name for name in ('litestar', 'sqlalchemy', 'numpy', 'pydantic', 'httpx') if name in sys.modules])\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_group_says_whole_sentences(name):
    """click would cut them where the meaning starts."""
    group = parley.get_command(click.Context(parley), name)
    if not isinstance(group, click.Group):
        return
    shown = " ".join(CliRunner().invoke(group, ["--help"], env={"COLUMNS": "60"}).output.split())

    assert "..." not in shown.partition("Commands: ")[2]
