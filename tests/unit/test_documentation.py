"""The pages of the documentation name only files, links and commands that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import parley
from app.domain.audit import AuditAction
from app.domain.recording.session_id import date_of
from tests.source import ROOT

PAGES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "infra").rglob("*.md"))
)

FOLDERS = ("app", "providers", "storage", "tests", "bench", "infra", "docs", "frontend")

MADE_LATER = frozenset({"bench/results/", "infra/docker/.env", "infra/docker/certificates", "infra/lan/certificates"})
"""Paths that a benchmark or the operator creates."""

OF_OTHERS = frozenset({"run_server.py", "server.py"})
"""Programs of other projects, in the benchmark of their servers."""


def spans(page: str) -> Iterator[str]:
    """Inline code and the lines of code blocks."""
    blocks = re.findall(r"```.*?\n(.*?)```", page, re.DOTALL)
    for block in blocks:
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files_of_the_repository(page):
    """Every relative link has its target."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8"))

    broken = [link for link in links if "://" not in link and not ((ROOT / page).parent / link).exists()]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_named_files_exist(page):
    """Every path of the repository in inline code is there."""
    named = {
        path
        for span in spans((ROOT / page).read_text("utf-8"))
        for path in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]", span)
    }

    assert {path for path in named if not (ROOT / path).exists()} - MADE_LATER == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_named_python_files_exist(page):
    """`file.py` or `folder/file.py` in inline code is the end of a path in the repository."""
    existing = {path for folder in FOLDERS for path in map(str, (ROOT / folder).rglob("*.py"))}
    named = {
        name for span in spans((ROOT / page).read_text("utf-8")) for name in re.findall(r"^([a-z_][\w/]*\.py)\b", span)
    }

    assert {name for name in named if not any(path.endswith(f"/{name}") for path in existing)} - OF_OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_named_commands_exist(page):
    """`parley NAME` in inline code and code blocks is a command, `parley models NAME` one of its commands."""
    called = {
        tuple(call.split())
        for span in spans((ROOT / page).read_text("utf-8"))
        for call in re.findall(r"(?:^|[\s/`])parley ((?:[a-z]+ ?){1,2})", span)
    }

    unknown = {call for call in called if not is_command(parley, call)}

    assert unknown == set()


@pytest.mark.parametrize("page", [*PAGES, Path("frontend/PROTOCOL.md")], ids=str)
def test_session_ids_in_examples_are_such_as_the_server_gives(page):
    """32 hexadecimal digits: a UUID of version 7 without dashes."""
    text = (ROOT / page).read_text("utf-8")
    ids = re.findall(r"(?<![\w:])01[0-9a-zA-Z]{6,}", text) + re.findall(r'"(?:id|session)": "([^"]*)"', text)

    assert [session for session in ids if date_of(session) is None] == []


def test_each_decision_has_a_number_of_its_own_and_one_line_in_the_list():
    folder = ROOT / "docs" / "decisions"
    files = sorted(path.name for path in folder.glob("0*.md"))

    listed = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE)

    assert [name for _, name in listed] == files
    assert [int(number) for number, _ in listed] == list(range(1, len(files) + 1))
    assert all(name.startswith(f"{number}-") for number, name in listed)
    for number, name in listed:
        assert (folder / name).read_text("utf-8").startswith(f"# {int(number)}. ")


def test_each_unusual_audio_file_is_described():
    folder = ROOT / "tests" / "inputs"

    described = re.findall(r"^\| `([^`]+)` \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE)

    assert described == sorted(path.name for path in folder.iterdir() if path.name != "README.md")


def test_readme_names_every_target_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    readme = (ROOT / "README.md").read_text("utf-8")
    (rest,) = re.findall(r"^`make help` lists .*$", readme, re.MULTILINE)

    named = set(re.findall(r"`([a-z]+)`", rest)) | set(re.findall(r"^make ([a-z]+) ", readme, re.MULTILINE)) | {"help"}

    assert named == targets


def is_command(group: click.Group, words: tuple[str, ...]) -> bool:
    """True where the first word is a command, and the second one too where the first is a group."""
    command = group.get_command(click.Context(group), words[0])
    if isinstance(command, click.Group) and len(words) > 1:
        return words[1] in command.commands
    return command is not None


def test_page_of_the_audit_log_has_every_action():
    """Each in the table, and no other."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/audit.md").read_text("utf-8"), re.MULTILINE)

    assert sorted(action for row in rows for action in re.findall(r"`(\w+)`", row)) == sorted(AuditAction)
