"""Tables: decisions, expenses, spending, audit log, live sessions, keys, secrets, conversations, jobs."""

from typing import ClassVar, cast

from sqlalchemy import BigInteger, Float, Index, Integer, String, Text
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.data.full_text import full_text

MOMENT = String().with_variant(String(collation="C"), "postgresql")
"""ISO 8601, UTC, with milliseconds: it sorts as text, byte by byte, whatever the database's collation."""

ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""64 bits; SQLite's INTEGER has as many, and only a key of that very type is the row's own number."""


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


class ConversationRow(Table):
    """A conversation; its messages are in a table of their own."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index("conversations_id", "id", unique=True),
        Index("conversations_tenant", "tenant", "updated", "id"),
        Index("conversations_updated", "updated", "id"),
    )

    row_id: Mapped[int] = mapped_column(ROW_NUMBER, primary_key=True)
    """For the full-text index alone."""
    id: Mapped[str] = mapped_column(MOMENT)
    tenant: Mapped[str]
    person: Mapped[str]
    title: Mapped[str] = mapped_column(Text)
    folded: Mapped[str] = mapped_column(Text)
    """The title as it is searched."""
    is_titled: Mapped[bool]
    """A client has named it."""
    profile: Mapped[str]
    created: Mapped[str] = mapped_column(MOMENT)
    updated: Mapped[str] = mapped_column(MOMENT)
    messages: Mapped[int]
    """The number of its newest message. Whoever adds one updates it first, and so numbers are given once."""
    busy_until: Mapped[str | None] = mapped_column(MOMENT)
    """A reply is being generated, or a session speaks in it; until then at most, should its process die."""
    speaking_session: Mapped[str] = mapped_column(server_default="")
    """Empty where it is busy with a message in text, or with nothing."""


class MessageRow(Table):
    """One message of a conversation."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("messages_conversation", "conversation", "number", unique=True),
        Index("messages_session", "session"),
    )

    id: Mapped[int] = mapped_column(ROW_NUMBER, primary_key=True, autoincrement=False)
    conversation: Mapped[str] = mapped_column(MOMENT)
    """Of the kind that the id of a conversation is: with another collation PostgreSQL would use no index in a join."""
    number: Mapped[int]
    turn: Mapped[int]
    role: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    folded: Mapped[str] = mapped_column(Text)
    """The text as it is searched."""
    at: Mapped[str] = mapped_column(MOMENT)
    kind: Mapped[str]
    session: Mapped[str]
    """Empty where it was sent as text."""
    start: Mapped[int | None] = mapped_column(ROW_NUMBER)
    """Samples of the session."""
    end: Mapped[int | None] = mapped_column(ROW_NUMBER)
    words: Mapped[str | None] = mapped_column(Text)
    """A JSON array of [text, start, end, probability], in samples of the utterance."""
    language: Mapped[str | None]
    engine: Mapped[str]
    usd: Mapped[float]
    played: Mapped[str | None] = mapped_column(Text)
    cancelled: Mapped[str | None]
    prompt_tokens: Mapped[int | None]
    reply_tokens: Mapped[int | None]
    missing: Mapped[int]
    tool_calls: Mapped[str | None] = mapped_column(Text)
    """A JSON array of [id, tool, arguments, result]."""
    speaker: Mapped[int | None]
    """Speaker label, from 1."""


TITLES = full_text(cast(SqlTable, ConversationRow.__table__), "folded")
MESSAGE_TEXTS = full_text(cast(SqlTable, MessageRow.__table__), "folded")
"""Full-text indexes."""


class JobRow(Table):
    """A transcription job (`app.domain.job`)."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_state", "state", "due"), Index("jobs_tenant", "tenant", "id"))

    id: Mapped[str] = mapped_column(MOMENT, primary_key=True)
    """It begins with the time, so that it sorts like the jobs do."""
    revision: Mapped[int]
    """Counts the changes, so that a change applies to what it was decided on, or not at all."""
    tenant: Mapped[str]
    created: Mapped[str] = mapped_column(MOMENT)
    updated: Mapped[str] = mapped_column(MOMENT)
    due: Mapped[str] = mapped_column(MOMENT)
    state: Mapped[str]
    source: Mapped[str]
    language: Mapped[str | None]
    person: Mapped[str | None]
    length: Mapped[int | None] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    attended: Mapped[bool]
    attempts: Mapped[int]
    crashes: Mapped[int] = mapped_column(server_default="0")
    owner: Mapped[str]
    lease_until: Mapped[str | None] = mapped_column(MOMENT)
    fence: Mapped[int]
    seconds_done: Mapped[float]
    seconds_total: Mapped[float | None]
    code: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    warnings: Mapped[str] = mapped_column(Text)
    """A JSON array of sentences."""
    finished: Mapped[str | None] = mapped_column(MOMENT)
    has_remains: Mapped[bool]
    conversation: Mapped[str] = mapped_column(server_default="")
    message_id: Mapped[int] = mapped_column(ROW_NUMBER, server_default="0")
    profile: Mapped[str] = mapped_column(server_default="")
    key_terms: Mapped[str] = mapped_column(Text, server_default="[]")
    """A JSON array."""


class FilePartRow(Table):
    """A blob with a part of a job's file."""

    __tablename__ = "file_parts"

    job: Mapped[str] = mapped_column(MOMENT, primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Of its first byte in the file."""
    length: Mapped[int]
    key: Mapped[str]
