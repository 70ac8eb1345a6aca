"""Nearest-rank percentile."""

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest of the values that this share of them (0 to 1) does not exceed; None of no values."""
    return percentile_of_sorted(sorted(values), share)


def percentile_of_sorted(ascending: Sequence[float], share: float) -> float | None:
    """The same, of values that are sorted already."""
    return ascending[max(0, ceil(share * len(ascending)) - 1)] if ascending else None
