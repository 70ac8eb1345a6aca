"""The list of recordings: what is asked for, and one page of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.recording.manifest import Manifest
from app.domain.recording.session_id import date_of
from app.domain.recording.text_search import SearchTerm
from app.domain.tenant import DEFAULT_TENANT

PREVIEW_LENGTH = 200
"""Characters of a recording's text that the list shows."""


class RecordingState(StrEnum):
    """What is known of a recording; the first three are the kinds that a list can be narrowed to."""

    LIVE = "live"
    ENDED = "ended"
    RECOVERED = "recovered"
    """The service died in the middle of the session."""
    UNREADABLE = "unreadable"
    """Its manifest is damaged, of a later version or under another key."""
    BEGUN = "begun"
    """It has no manifest yet."""
    DELETING = "deleting"
    """It was deleted, and something of it may still be in the blob store."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, order=True)
class RecordingRef:
    """Which recording, of which day and tenant."""

    day: str
    """ISO 8601."""
    session: str
    tenant: str = DEFAULT_TENANT.name


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """What a list is narrowed to; None: everything."""

    tenant: str | None = None
    person: str | None = None
    since: str | None = None
    """Day (ISO 8601) of the oldest."""
    until: str | None = None
    """Day of the newest."""
    terms: tuple[SearchTerm, ...] | None = None
    """All to be found in what was said; an empty tuple is found nowhere."""
    route: str | None = None
    """Of one of its finals at least."""
    kind: str | None = None
    """A RecordingState."""
    before: tuple[str, str] | None = None
    """Day and session of the last one of the page before."""
    limit: int = 50

    @property
    def is_about_content(self) -> bool:
        """Whether it asks for something that only a readable manifest tells."""
        return any(each is not None for each in (self.person, self.terms, self.route, self.kind))


@dataclass(frozen=True, slots=True)
class IndexedRecording:
    """One line of the list."""

    session: str
    tenant: str
    person: str | None
    started: str
    ended: str | None
    state: RecordingState
    seconds: float
    utterances: int
    """With words in them."""
    languages: Sequence[str]
    text: str
    """The beginning of what was said."""


@dataclass(frozen=True, slots=True)
class RecordingPage:
    """The newest first."""

    recordings: Sequence[IndexedRecording] = field(default_factory=tuple)
    next: tuple[str, str] | None = None
    """Day and session to begin the next page with; None: there is none."""
    unreadable: int = 0
    """Recordings of this page that are left out, because their manifest cannot be read."""
    is_indexing: bool = False
    """Whether older recordings are still being added to the index."""


def state_of(manifest: Manifest) -> RecordingState:
    if manifest.is_live:
        return RecordingState.LIVE
    return RecordingState.RECOVERED if manifest.recovered else RecordingState.ENDED


def day_of(manifest: Manifest) -> str:
    """The day that its blobs are stored under, ISO 8601."""
    return date_of(manifest.session) or manifest.started[:10]
