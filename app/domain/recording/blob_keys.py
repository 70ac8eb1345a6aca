"""Names of a session's blobs in the store; the stored layout, so old recordings depend on it."""

from datetime import UTC, datetime, time

from app.domain.recording.session_id import date_of, started_at
from app.domain.tenant import DEFAULT_TENANT

UPLOADS = "uploads/"
"""Prefix of the files that are not transcribed yet."""
RECORDING_PREFIXES = ("index/", "sessions/", "tenants/", UPLOADS)
"""Of every blob of a recording, and of the files that become one."""


def session_folder(session: str, started: str) -> str:
    """The prefix of a session's blobs. `started` (ISO 8601) gives the day where the id names none."""
    return f"sessions/{date_of(session) or started[:10]}/{session}"


def chunk_key(folder: str, start: int) -> str:
    """Of the chunk of audio that begins at sample `start`, without the format's suffix."""
    return f"{folder}/{start:012d}"


def reply_key(folder: str, number: int) -> str:
    """Of the audio of the session's reply `number`, from 1, without the format's suffix."""
    return f"{folder}/replies/{number:04d}"


def manifest_key(folder: str) -> str:
    return f"{folder}/manifest.json"


def upload_part_key(session: str, start: int, name: str) -> str:
    """Of the part of an uploaded file that begins at this byte; `name` makes it unique."""
    return f"{UPLOADS}{session}/{start:012d}-{name}"


def session_of(key: str) -> str:
    """The session that a key with one of RECORDING_PREFIXES belongs to."""
    parts = key.split("/")
    match parts[0]:
        case "sessions":
            return parts[2]
        case "uploads":
            return parts[1]
        case _:
            return parts[-1]


TOMBSTONE_DAYS = "tombstones/days/"
"""Prefix of the tombstones by the day of the deletion."""


def tombstone_key(session: str) -> str:
    """Of the mark that the session was deleted."""
    return f"tombstones/sessions/{session}"


def tombstone_day_key(session: str, day: str) -> str:
    """The same, by the day of the deletion (ISO 8601)."""
    return f"{TOMBSTONE_DAYS}{day}/{session}"


def index_prefix(tenant: str) -> str:
    """Where a tenant's sessions are listed; the default tenant's are where all were before there were tenants."""
    return "index/" if tenant == DEFAULT_TENANT.name else f"tenants/{tenant}/"


def index_key(folder: str, tenant: str) -> str:
    """An empty entry for each session, so that a tenant's are listed without chunks and without other tenants'."""
    return folder.replace("sessions/", index_prefix(tenant), 1)


def began_before(key: str, moment: datetime) -> bool:
    """Whether the key names a recording that certainly began before this moment (with a time zone).

    By the moment in the session's id; by the whole day in the key where the id has none. False for every other key.
    """
    match key.split("/"):
        case ["sessions", day, session, _, *_] | ["index", day, session] | ["tenants", _, day, session]:
            started = started_at(session)
        case ["uploads", session, _]:
            day, started = "", started_at(session)
        case _:
            return False
    try:
        return (started or datetime.combine(datetime.fromisoformat(day).date(), time.max, UTC)) < moment
    except ValueError:
        return False
