"""Tables: decisions, expenses, spending, audit log, live sessions, API keys, secrets that sign session tokens."""

from typing import ClassVar

from sqlalchemy import Float, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MOMENT = String().with_variant(String(collation="C"), "postgresql")
"""ISO 8601, UTC, with milliseconds: it sorts as text, byte by byte, whatever the database's collation."""


class Table(DeclarativeBase):
    type_annotation_map: ClassVar = {float: Float()}
    """Named, because it is DOUBLE in SQLAlchemy 2.1 and FLOAT in 2.0; either has 64 bits."""


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
    """Money spent on no final, and what it bought."""

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
    prompt_tokens: Mapped[int] = mapped_column(server_default="0")
    generated_tokens: Mapped[int] = mapped_column(server_default="0")
    characters: Mapped[int] = mapped_column(server_default="0")


class ApiKeyRow(Table):
    """An API key; its secret is not stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The beginning of the fingerprint."""
    fingerprint: Mapped[str] = mapped_column(unique=True)
    """SHA-256 of the secret: one round, without salt, because the secret is 256 random bits (`app.domain.tenant`)."""
    name: Mapped[str]
    tenant: Mapped[str]
    scopes: Mapped[str]
    """Separated by spaces."""
    created: Mapped[str] = mapped_column(MOMENT)
    expires: Mapped[str | None] = mapped_column(MOMENT)
    revoked: Mapped[str | None] = mapped_column(MOMENT)
    last_used: Mapped[str | None] = mapped_column(MOMENT)


class SigningSecretRow(Table):
    """A secret that signs session tokens; the newest signs, each of them verifies."""

    __tablename__ = "signing_secrets"

    kid: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    """32 random bytes, in hex."""
    created: Mapped[str] = mapped_column(MOMENT)


class SpendRow(Table):
    """What one process spent for one tenant on one day, money reserved for work in flight included."""

    __tablename__ = "spend"

    day: Mapped[str] = mapped_column(MOMENT, primary_key=True)
    """Like 2026-01-31, UTC."""
    tenant: Mapped[str] = mapped_column(primary_key=True)
    """Empty where it is the service's own."""
    process: Mapped[str] = mapped_column(primary_key=True)
    usd: Mapped[float]


class AuditRow(Table):
    """One entry of the audit log."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_at", "at"), Index("audit_target", "target"))

    id: Mapped[str] = mapped_column(MOMENT, primary_key=True)
    """It begins with the time, so that it sorts like the entries do."""
    at: Mapped[str] = mapped_column(MOMENT)
    key_id: Mapped[str]
    key_name: Mapped[str]
    tenant: Mapped[str]
    peer: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    outcome: Mapped[str]
    details: Mapped[str] = mapped_column(Text)
    """A JSON object."""


class LiveProcessRow(Table):
    """What one process announces: the sessions that it records now."""

    __tablename__ = "live_processes"

    process: Mapped[str] = mapped_column(primary_key=True)
    seen: Mapped[str] = mapped_column(MOMENT)
    sessions: Mapped[str] = mapped_column(Text)
    """A JSON array of ids."""
