"""Cursors of pages come back as they were given, and are plain in a URL."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import ClientException

from app.data.database import stored_moment
from app.web.query_values import moment_cursor, parse_day_cursor, parse_moment, parse_moment_cursor

MOMENTS = st.datetimes(timezones=st.just(UTC)).map(stored_moment)


@given(MOMENTS, st.from_regex("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True))
def test_cursor_of_a_moment_names_it_and_needs_no_escaping(moment, name):
    cursor = moment_cursor(moment, name)
    at, found = parse_moment_cursor(cursor)

    assert (stored_moment(at), found) == (moment, name)
    assert quote(cursor, safe="") == cursor


@given(st.text())
def test_any_other_text_is_no_cursor(text):
    for parse in (parse_moment_cursor, parse_day_cursor):
        with pytest.raises(ClientException, match=r"^400: before: "):
            parse(f"{text}!")


def test_time_with_an_unescaped_plus_is_read_as_it_was_meant():
    assert parse_moment("since", "2026-01-31T12:00:00 01:00") == datetime.fromisoformat("2026-01-31T12:00:00+01:00")
    with pytest.raises(ClientException, match="since"):
        parse_moment("since", "yesterday")
