"""Who is told how far a long piece of work is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is at work, the bytes done and the bytes there are (0 where nobody knows); often, and cheaply."""


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
