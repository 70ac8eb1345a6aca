"""A minute of a session costs the same after eight hours as at its beginning, but for the manifest that names all."""

import pytest

from bench.long_session import simulate

pytestmark = pytest.mark.anyio


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_minute_of_a_long_session_costs_about_the_same_at_its_end(tmp_path):
    """Chunks of 20 ms instead of 10 s: as many of them, and as many finals, as in eight hours."""
    costs = await simulate(tmp_path, 8, chunk_ms=20)
    first, last = costs[0], costs[-1]

    assert last.records_read < 1.2 * first.records_read
    assert last.stored_bytes < 8 * first.stored_bytes  # a manifest with each six chunks would be fifteen times as much
    assert last.cpu_ms < 4 * first.cpu_ms
