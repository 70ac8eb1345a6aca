"""Prints a table so that no cell is cut off, on a terminal of any width and in a pipe."""

import sys
from shutil import get_terminal_size

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_UNLIMITED_WIDTH = 100_000


def whole(header: str) -> Column:
    """A column of ids or names: a cell of it is never broken into lines."""
    return Column(header, no_wrap=True)


def print_table(table: Table) -> None:
    """Print it on standard output: in a pipe one row a line, on a terminal as wide as that is.

    On a terminal long cells continue on the next line, those of `whole` columns excepted: a table whose words do not
    fit is wider than the terminal. Cells are plain text, without markup and without control characters.
    """
    console = Console(markup=False, emoji=False, width=_UNLIMITED_WIDTH, height=1)
    for column in table.columns:
        column._cells = [printable(cell) if isinstance(cell, str) else cell for cell in column.cells]  # noqa: SLF001 because rich has no other way to replace cells
        column.overflow = "fold"
        if column.no_wrap:
            column.min_width = max(Text(str(text)).cell_len for text in (column.header, *column.cells))
    needed = Measurement.get(console, console.options, table)
    console.width = max(get_terminal_size().columns, needed.minimum) if sys.stdout.isatty() else needed.maximum
    console.print(table)


def printable(text: str) -> str:
    """The same text, with an escape sequence in the place of each character that cannot be printed."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
