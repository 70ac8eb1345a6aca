"""The tables."""

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MOMENT = String().with_variant(String(collation="C"), "postgresql")
"""ISO 8601, UTC: it sorts as text, by its bytes, whatever the database thinks of letters."""


class Table(DeclarativeBase):
    pass


class DecisionRow(Table):
    """One final: what is asked for often has a column, the whole record stands beside it as JSON."""

    __tablename__ = "decisions"
    __table_args__ = (Index("decisions_at", "at"), Index("decisions_session", "session"))

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(MOMENT)
    session: Mapped[str]
    tenant: Mapped[str]
    route: Mapped[str]
    """Empty where no engine gave a final."""
    place: Mapped[str]
    usd: Mapped[float]
    record: Mapped[str] = mapped_column(Text)


class ExpenseRow(Table):
    """Money spent on no final."""

    __tablename__ = "expenses"
    __table_args__ = (Index("expenses_at", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(MOMENT)
    route: Mapped[str]
    occasion: Mapped[str]
    usd: Mapped[float]
    session: Mapped[str]
    tenant: Mapped[str]
