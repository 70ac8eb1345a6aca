"""Which bytes of a file a request wants, by HTTP's Range header."""

import re

_ONE = re.compile(r"bytes=(\d*)-(\d*)$")


class RangeNotSatisfiable(ValueError):
    """The range lies outside the file."""


def parse_range(header: str | None, size: int) -> range | None:
    """The bytes asked for; None where the whole file is, or several ranges are. Raises NoSuchBytes."""
    match = _ONE.match(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first:
        asked = range(int(first), min(size, int(last) + 1) if last else size)
    else:
        asked = range(max(0, size - int(last)), size)
    if not asked:
        raise RangeNotSatisfiable(header)
    return asked
