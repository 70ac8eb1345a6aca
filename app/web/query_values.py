"""Query parameters with a form of their own: cursors of pages, and times. What has not that form is refused (400).

A cursor is the `next` of one page and the `before` of the one after it, in characters that no URL escapes.
"""

import re
from datetime import UTC, date, datetime

from litestar.exceptions import ClientException

from app.domain.errors import BlobNotFound
from app.domain.recording.session_id import parse_session_id

_SEPARATOR = "_"
_BASIC = str.maketrans("", "", "-:")
"""To the basic format of ISO 8601."""
_ID = re.compile("[0-9a-f]{32}")
"""It begins with the time, so that ids sort like what they name."""
_ESCAPED_PLUS = re.compile(r" (\d\d:?\d\d)$")


def moment_cursor(moment: str, name: str) -> str:
    """Behind the row with this moment (ISO 8601, UTC, as it is stored) and id: like `20260131T120000.250Z_ID`."""
    at = datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{at.translate(_BASIC)}Z{_SEPARATOR}{name}"


def parse_moment_cursor(text: str) -> tuple[datetime, str]:
    """The moment and the id of moment_cursor(). Raises ClientException."""
    moment, separator, name = text.partition(_SEPARATOR)
    try:
        at = datetime.fromisoformat(moment)
    except ValueError as error:
        raise _no_cursor(text) from error
    if not separator or at.tzinfo is None:
        raise _no_cursor(text)
    return at, _name_in(name, text)


def parse_day_cursor(text: str) -> tuple[str, str]:
    """The day (ISO 8601) and the id in `2026-01-31/ID`. Raises ClientException."""
    day, _, name = text.partition("/")
    try:
        at = date.fromisoformat(day)
    except ValueError as error:
        raise _no_cursor(text) from error
    return at.isoformat(), _name_in(name, text)


def parse_id_cursor(text: str) -> str:
    """The same text, where it can be the id of a job or an entry of the audit log. Raises ClientException."""
    if _ID.fullmatch(text) is None:
        raise _no_cursor(text)
    return text


def parse_moment(name: str, text: str | None) -> datetime | None:
    """A time of ISO 8601, also where the plus sign of its offset was not escaped. Raises ClientException."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(_ESCAPED_PLUS.sub(r"+\1", text))  # a "+" in a URL is read as a space
    except ValueError as error:
        raise ClientException(f"{name}: {text[:64]!r} is not a time of ISO 8601, like 2026-01-31T12:00:00Z") from error


def _name_in(name: str, text: str) -> str:
    """The same name, where it can be a session's. Raises ClientException, which quotes `text`."""
    try:
        return parse_session_id(name)
    except BlobNotFound as error:
        raise _no_cursor(text) from error


def _no_cursor(text: str) -> ClientException:
    return ClientException(f"before: {text[:64]!r} is not the next of a page of this list")
