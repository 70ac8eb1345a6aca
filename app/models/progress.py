"""The progress callback of downloads and verifications."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called often with the name of the step, the bytes done and the bytes in all (0: unknown)."""


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""
