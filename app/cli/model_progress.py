"""Shows the progress of a pull: a bar on a terminal, else one line for each step."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Column

from app.models.disk_space import megabytes
from app.models.progress import Progress

_WORTH_A_LINE = 1_000_000


@contextmanager
def shown_progress(title: str) -> Iterator[Progress]:
    """A progress callback that is shown on standard error while the block runs."""
    if not sys.stderr.isatty():
        yield plain_lines(title)
        return
    what = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    size = DownloadColumn(table_column=Column(no_wrap=True))
    speed = TransferSpeedColumn(table_column=Column(no_wrap=True))
    with Bars(what, BarColumn(20), size, speed, console=Console(stderr=True), transient=True, expand=True) as bars:
        yield _one_bar(bars, title)


def plain_lines(title: str) -> Progress:
    """One line for each step when it begins, if its size is worth one."""
    shown = set()

    def progress(what: str, _done: int, total: int) -> None:
        small = 0 < total < _WORTH_A_LINE
        if what not in shown and not small:
            shown.add(what)
            click.echo(f"{title}: {what}{f' ({megabytes(total)})' if total else ''}", err=True)

    return progress


def _one_bar(bars: Bars, title: str) -> Progress:
    """One bar, reset for each step."""
    bar = bars.add_task(title, total=None)
    shown = ""

    def progress(what: str, done: int, total: int) -> None:
        nonlocal shown
        if what != shown:
            shown = what
            bars.reset(bar, description=f"{title}: {what}")
        bars.update(bar, completed=done, total=total or None)

    return progress
