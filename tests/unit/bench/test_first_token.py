"""The first token of a reply reaches the session as soon as its server sends it."""

from statistics import median

import pytest

from bench.first_token import measure, server

pytestmark = pytest.mark.anyio


async def test_first_token_is_passed_on_within_milliseconds():
    """Nothing waits for a timer, another token or the end of the reply; 50 ms is ten times what it may take."""
    with server() as base_url:
        taken = await measure(base_url, 20)

    assert median(taken) < 50
