"""Session ids: what one may look like, and the moment it names."""

import re
from datetime import UTC, datetime

from app.domain.errors import BlobNotFound

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_UUID7 = re.compile(r"([0-9a-f]{12})7[0-9a-f]{19}")


def parse_session_id(text: str) -> str:
    """The same text, where it can be a session's id: a plain name that is safe in paths and keys.

    Raises BlobNotFound where it cannot, because no session has such an id.
    """
    if _ID.fullmatch(text) is None:
        raise BlobNotFound(text[:64])
    return text


def started_at(session: str) -> datetime | None:
    """The moment in an id that is a UUID of version 7; None for every other id."""
    match = _UUID7.fullmatch(session)
    if match is None:
        return None
    try:
        return datetime.fromtimestamp(int(match[1], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # because 48 bits of milliseconds reach beyond the year 9999
        return None


def date_of(session: str) -> str | None:
    """The day (ISO 8601, UTC) of that moment."""
    started = started_at(session)
    return started.date().isoformat() if started else None
