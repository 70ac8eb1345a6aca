"""Tables of the command line are never cut off, in a pipe or on a narrow terminal."""

import io
import sys

import pytest
from rich.table import Table

from app.cli.tables import print_table, whole

SESSION = "20261126T050259Z-5f0c1d2e3a4b5c6d7e8f90a1"
NAME = "night shift [front desk] :key:"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def sessions() -> Table:
    table = Table(whole("session"), whole("key"), "address", "client")
    table.add_row(SESSION, NAME, "203.0.113.250", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101")
    return table


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_table_in_a_pipe_has_every_cell_whole_in_one_line_a_row(sessions, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    print_table(sessions)

    (row,) = [line for line in sys.stdout.getvalue().splitlines() if SESSION in line]
    assert all(cell in row for cell in (NAME, "203.0.113.250", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"))
    assert "…" not in sys.stdout.getvalue()


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_table_on_a_terminal_breaks_other_cells_and_keeps_ids_and_names_whole(sessions, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())

    print_table(sessions)

    shown = sys.stdout.getvalue()
    assert any(SESSION in line and NAME in line for line in shown.splitlines())
    assert all(word in shown for word in ("203.0.113.250", "Mozilla/5.0", "Gecko/20100101"))
    assert "…" not in shown


def test_table_shows_control_characters_of_a_cell_and_lets_none_through(monkeypatch):
    """A name that a tenant chose reaches an administrator's terminal: it neither colours it nor breaks a row."""
    table = Table(whole("name"), "address")
    table.add_row("\x1b[31mred\x1b]0;title\x07\nnext", "a\u202eb")
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    print_table(table)

    printed = sys.stdout.getvalue()
    assert "\\x1b[31mred\\x1b]0;title\\x07\\nnext" in printed
    assert "a\\u202eb" in printed
    assert all(sign.isprintable() or sign == "\n" for sign in printed)
