"""Session ids from outside."""

import pytest

from app.domain.errors import BlobNotFound
from app.domain.recording.session_id import date_of, parse_session_id


@pytest.mark.parametrize("text", ["one", "01a1fdb4b0637900b6d14098d098589f", "old-2024_1", "f" * 64])
def test_plain_name_is_a_session_id(text):
    """Also one that is no UUID: recordings from elsewhere have them."""
    assert parse_session_id(text) == text


@pytest.mark.parametrize("text", ["", "\0", "..", ".hidden", "a/b", "a\\b", "f" * 65, "x" * 300, "é", "a b", "a\n"])
def test_invalid_session_id_is_not_found(text):
    """No path, no control character, nothing too long for a file's name."""
    with pytest.raises(BlobNotFound):
        parse_session_id(text)


def test_session_id_beyond_the_year_9999_has_no_day():
    """48 bits of milliseconds reach to the year 10889."""
    assert date_of("f" * 12 + "7" + "0" * 19) is None
    assert date_of("0" * 12 + "7" + "0" * 19) == "1970-01-01"
