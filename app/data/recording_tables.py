"""Tables of the recordings index: recordings, their utterances, and leases of work that one process does for all."""

from sqlalchemy import BigInteger, Index, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.data.tables import MOMENT, Table


class RecordingRow(Table):
    """One recording as its manifest describes it, or the mark that it was deleted.

    Of a deleted one the row has the id and the state alone, so that no writer that comes late inserts it again.
    """

    __tablename__ = "recordings"
    __table_args__ = (
        Index("recordings_day", "day", "session"),
        Index("recordings_tenant", "tenant", "day", "session"),
        Index("recordings_person", "person", "tenant", "day", "session"),
        Index("recordings_state", "state", "day", "session"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    session: Mapped[str] = mapped_column(MOMENT, unique=True)
    day: Mapped[str] = mapped_column(MOMENT)
    """ISO 8601, UTC; with the session's id it is the order of lists. Empty: deleted."""
    tenant: Mapped[str]
    person: Mapped[str | None]
    started: Mapped[str] = mapped_column(MOMENT)
    ended: Mapped[str | None] = mapped_column(MOMENT)
    """Of a deleted one: when that was."""
    state: Mapped[str]
    """A RecordingState."""
    samples: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]
    utterances: Mapped[int]
    """With words in them."""
    languages: Mapped[str]
    """Separated by spaces."""
    format: Mapped[int]
    """Of the manifest."""
    text: Mapped[str] = mapped_column(Text)
    """The beginning of what was said, for lists."""
    words: Mapped[str] = mapped_column(Text)
    """All of what was said, folded for searches (`app.domain.recording.text_search`)."""
    written: Mapped[str] = mapped_column(MOMENT)
    """When this row was last written."""


class UtteranceRow(Table):
    """One final with words of a recording."""

    __tablename__ = "recording_utterances"
    __table_args__ = (Index("recording_utterances_route", "route", "session"),)

    session: Mapped[str] = mapped_column(MOMENT, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """Its place in the manifest, from 0."""
    start_sample: Mapped[int] = mapped_column(BigInteger)
    end_sample: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str] = mapped_column(Text)
    route: Mapped[str | None]
    language: Mapped[str | None]
    ttfs_ms: Mapped[int | None]


class LeaseRow(Table):
    """Work that one process at a time does for all that share the database."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[str] = mapped_column(MOMENT)
    """Another process may take it from then on."""
    progress: Mapped[int]
    completed: Mapped[str | None] = mapped_column(MOMENT)
    """When the work was last done to its end."""
