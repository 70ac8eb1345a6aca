"""What the fuzz tests share: how many inputs are tried, and strategies that damage valid input."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INPUTS = 560
"""Per test, so that all of them together try more than ten thousand."""

effort = pytest.mark.parametrize(
    "inputs", [INPUTS, pytest.param(100 * INPUTS, marks=[pytest.mark.nightly, pytest.mark.timeout(0)])]
)

SNIPPETS = st.sampled_from(
    [
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\xed\xa0\x80",
        b"\r\n\r\n",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"9" * 5000,
        b"-1",
        b"1e999",
        b"NaN",
        b"null",
        b'"',
        b"'''",
        b"../../etc/passwd",
        b"%00",
        b"%2e%2e%2f",
    ]
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def try_inputs(inputs: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], object]) -> None:
    """Call `check` with so many inputs; what it raises fails the test, with the smallest such input."""
    hostile = given(strategy)(lambda value: check(value) and None)
    settings(max_examples=inputs, deadline=None, suppress_health_check=list(HealthCheck))(hostile)()


@st.composite
def damaged(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of these inputs, with up to four places cut, overwritten, doubled or filled with something hostile."""
    data = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        middle = draw(SNIPPETS | st.binary(max_size=6) | st.just(data[at : at + length] * 2))
        data = data[:at] + middle + data[at + length :]
    return data
