"""HTTP's Range header (RFC 9110, section 14): which bytes of a file a request asks for."""

import re

_SINGLE_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
_MAX_DIGITS = 18
"""A longer number is larger than every file."""


class RangeNotSatisfiable(ValueError):
    """The range lies outside the file."""


def parse_range(header: str | None, size: int) -> range | None:
    """The bytes asked for, of a file of `size` bytes; None where the header is to be ignored.

    Ignored are absent, invalid (`bytes=5-2`) and multiple ranges: the answer is the whole file.
    Raises RangeNotSatisfiable.
    """
    match = _SINGLE_RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        asked = range(size - _bounded(last, size), size)
    elif last and _is_less(last, first):
        return None
    else:
        asked = range(_bounded(first, size), _bounded(last, size - 1) + 1 if last else size)
    if not asked:
        raise RangeNotSatisfiable(header)
    return asked


def _bounded(digits: str, most: int) -> int:
    digits = digits.lstrip("0") or "0"
    return most if len(digits) > _MAX_DIGITS else min(int(digits), most)


def _is_less(one: str, other: str) -> bool:
    """Compares decimal numbers of any length."""
    one, other = one.lstrip("0"), other.lstrip("0")
    return (len(one), one) < (len(other), other)
