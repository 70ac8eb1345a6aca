"""What the policy costs is bounded, by an order of magnitude: `python -m bench.policy` has the figures."""

from statistics import median
from time import thread_time

import anyio

from bench.policy import overhead, ranking


def test_the_router_adds_milliseconds_at_most_to_a_final():
    """Of this thread's own time, in the median; microseconds."""
    assert median(anyio.run(overhead, 200, thread_time)) < 10_000


def test_ranking_takes_microseconds():
    """Five routes with full histories."""
    assert median(ranking(500)) < 5_000
