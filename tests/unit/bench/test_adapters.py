"""Adapters over Parley's own socket: each is compared with the reference of its own rate, event by event."""

import pytest

from bench.adapter_clients import CLIENTS
from bench.adapters import ENDED, WYOMING, differences


def test_event_is_compared_with_the_same_event_of_the_reference_at_the_same_rate():
    nothing = {name: {} for name in CLIENTS}
    found = {
        **nothing,
        "Deepgram": {"draft": 0.4, "final": 1.5},
        "Twilio": {"audio": 1.6},
        WYOMING: {"final": 1.1},
        "16000": {"draft": 0.398, "final": 1.503, "audio": 1.5},
        "8000": {"audio": 1.59},
        "24000": {},
        ENDED: {"final": 1.0},
    }

    later = differences([found, found])

    assert later == {
        ("Deepgram", "draft"): pytest.approx([2, 2]),
        ("Deepgram", "final"): pytest.approx([-3, -3]),
        ("Twilio", "audio"): pytest.approx([10, 10]),
        (WYOMING, "final"): pytest.approx([100, 100]),
    }


def test_event_without_a_reference_is_left_out():
    found = {name: {"draft": 1.0} for name in CLIENTS} | {WYOMING: {}, "16000": {}, "8000": {}, "24000": {}, ENDED: {}}

    assert differences([found]) == {}
