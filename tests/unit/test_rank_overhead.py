"""What the policy costs is bounded."""

from statistics import median
from time import thread_time

import anyio

from bench.policy import overhead, ranking


def test_the_router_adds_less_than_a_millisecond_to_a_final():
    """Of this thread's own time, in the median; the bench has the tail."""
    assert median(anyio.run(overhead, 200, thread_time)) < 1000


def test_ranking_takes_microseconds():
    """Five routes with full histories."""
    assert median(ranking(500)) < 500
