"""Times as the database stores them."""

from datetime import UTC, datetime

import pytest

from app.data.database import stored_moment


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2026-11-26T12:00:00+02:00", "2026-11-26T10:00:00.000+00:00"),
        ("2026-11-26T12:00:00", "2026-11-26T12:00:00.000+00:00"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00.000+00:00"),
        ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999+00:00"),
    ],
    ids=["with an offset", "without one", "before the year 1", "after the year 9999"],
)
def test_any_time_is_stored_in_utc_and_can_be_read_again(given, stored):
    assert stored_moment(datetime.fromisoformat(given)) == stored
    assert datetime.fromisoformat(stored).tzinfo == UTC
