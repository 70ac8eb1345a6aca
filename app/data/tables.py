"""Tables of the database: decisions and expenses."""

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MOMENT = String().with_variant(String(collation="C"), "postgresql")
"""ISO 8601, UTC, with milliseconds: it sorts as text, byte by byte, whatever the database's collation."""


class Table(DeclarativeBase):
    pass


class DecisionRow(Table):
    """One final: what is filtered by has a column; the whole record is JSON (`app.data.decision_json`)."""

    __tablename__ = "decisions"
    __table_args__ = (Index("decisions_at", "at"), Index("decisions_session", "session"))

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(MOMENT)
    session: Mapped[str]
    tenant: Mapped[str]
    route: Mapped[str]
    """Empty where the newest draft was shown."""
    place: Mapped[str]
    usd: Mapped[float]
    record: Mapped[str] = mapped_column(Text)


class ExpenseRow(Table):
    """Money spent on no final."""

    __tablename__ = "expenses"
    __table_args__ = (Index("expenses_at", "at"), Index("expenses_uid", "uid", unique=True))

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(MOMENT)
    route: Mapped[str]
    occasion: Mapped[str]
    usd: Mapped[float]
    session: Mapped[str]
    tenant: Mapped[str]
    uid: Mapped[str | None]
    """Makes an insert repeatable; rows of older releases have none."""
