"""HTTP's Range header, as RFC 9110 has it."""

import pytest

from app.domain.recording.byte_range import RangeNotSatisfiable, parse_range

SIZE = 1000
NINES = "9" * 5000


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=10-19", range(10, 20)),
        ("bytes=990-2000", range(990, 1000)),
        ("bytes=5-", range(5, 1000)),
        ("bytes=-7", range(993, 1000)),
        ("bytes=-2000", range(1000)),
        ("Bytes=1-2", range(1, 3)),
        (f"bytes=1-{NINES}", range(1, 1000)),
        (f"bytes=-{NINES}", range(1000)),
        (f"bytes={'0' * 5000}1-2", range(1, 3)),
    ],
)
def test_byte_range_is_cut_to_the_file(header, asked):
    """Numbers of any length, and ends beyond the file."""
    assert parse_range(header, SIZE) == asked


@pytest.mark.parametrize(
    "header", [None, "", "bytes=-", "bytes=5-2", f"bytes={NINES}-2", "bytes=1-2,5-6", "lines=1-2", "bytes=٣-٤"]
)
def test_invalid_byte_range_is_ignored(header):
    """The whole file is the answer then, as to several ranges."""
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", f"bytes={NINES}-", "bytes=-0"])
def test_byte_range_outside_the_file_is_not_satisfiable(header):
    """It is valid, and there is nothing there."""
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, SIZE)
