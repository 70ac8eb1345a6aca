"""What `parley policy simulate` prints: a column for each policy, or JSON; and how far it has got."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.policy.simulation import SimulationResult

_SHARES = (0.5, 0.95, 0.99)


def results_table(results: Sequence[SimulationResult]) -> Table:
    """Five policies fit into 80 columns."""
    routes = sorted({name for result in results for name in result.finals})
    rows: list[tuple[str, list[str]]] = [
        ("finals", [str(result.finals.total()) for result in results]),
        ("lost", [str(result.lost) for result in results]),
        *((f"p{share * 100:.0f}", [f"{r.latency_ms(share):.0f} ms" for r in results]) for share in _SHARES),
        ("US$", [f"{result.usd:.2f}" for result in results]),
        ("hedged", [f"{_share(result, result.hedged):.1%}" for result in results]),
        ("violations", [str(result.violations) for result in results]),
        *((f"by {name}", [f"{_share(r, r.finals[name]):.0%}" for r in results]) for name in routes),
    ]
    table = Table("", *(result.rules for result in results), box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, cells in rows:
        table.add_row(name, *cells)
    return table


def results_as_json(results: Sequence[SimulationResult]) -> list[dict[str, Any]]:
    """Times in milliseconds, shares between 0 and 1."""
    return [
        {
            "rules": result.rules,
            "finals": result.finals.total(),
            "lost": result.lost,
            **{f"p{share * 100:.0f}Ms": round(result.latency_ms(share), 1) for share in _SHARES},
            "usd": round(result.usd, 4),
            "hedged": round(_share(result, result.hedged), 4),
            "violations": result.violations,
            "routes": {name: round(_share(result, number), 4) for name, number in result.finals.most_common()},
        }
        for result in results
    ]


@contextmanager
def shown_simulations(seconds: float, number: int) -> Iterator[Callable[[str], Callable[[float], None]]]:
    """What takes the name of each policy when it begins and gives what is called with the simulated second.

    A bar on a terminal, else a line for each policy, on standard error.
    """
    begun = 0
    is_terminal = sys.stderr.isatty()
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal) as progress:

        def begin(rules: str) -> Callable[[float], None]:
            nonlocal begun
            begun += 1
            title = f"{begun}/{number} {rules}"
            if not is_terminal:
                click.echo(title, err=True)
            task = progress.add_task(title, total=seconds)
            return lambda now: progress.update(task, completed=now)

        yield begin


def _share(result: SimulationResult, number: int) -> float:
    return number / max(1, result.finals.total())
