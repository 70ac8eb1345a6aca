"""Recordings, their utterances with full-text search, and leases of work that one process does for all."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOMENT = sa.String().with_variant(sa.String(collation="C"), "postgresql")

SQLITE = (
    (
        "CREATE VIRTUAL TABLE IF NOT EXISTS recording_words USING fts5(words, content='recordings', "
        "content_rowid='id', tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* M* Co'\")"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS recording_words_insert AFTER INSERT ON recordings BEGIN "
        "INSERT INTO recording_words (rowid, words) VALUES (new.id, new.words); END"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS recording_words_delete AFTER DELETE ON recordings BEGIN "
        "INSERT INTO recording_words (recording_words, rowid, words) VALUES ('delete', old.id, old.words); END"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS recording_words_update AFTER UPDATE OF words ON recordings "
        "WHEN old.words <> new.words BEGIN "
        "INSERT INTO recording_words (recording_words, rowid, words) VALUES ('delete', old.id, old.words); "
        "INSERT INTO recording_words (rowid, words) VALUES (new.id, new.words); END"
    ),
)
POSTGRESQL = (
    (
        "ALTER TABLE recordings ADD COLUMN IF NOT EXISTS search tsvector "
        "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED"
    ),
    "CREATE INDEX IF NOT EXISTS recordings_search ON recordings USING gin (search)",
)


def upgrade() -> None:
    op.create_table(
        "recordings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("session", MOMENT, nullable=False, unique=True),
        sa.Column("day", MOMENT, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("person", sa.String),
        sa.Column("started", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("utterances", sa.Integer, nullable=False),
        sa.Column("languages", sa.String, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("written", MOMENT, nullable=False),
    )
    op.create_index("recordings_day", "recordings", ["day", "session"])
    for column in ("tenant", "person", "state"):
        op.create_index(f"recordings_{column}", "recordings", [column, "day", "session"])
    op.create_table(
        "recording_utterances",
        sa.Column("session", MOMENT, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("start_sample", sa.BigInteger, nullable=False),
        sa.Column("end_sample", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("route", sa.String),
        sa.Column("language", sa.String),
        sa.Column("ttfs_ms", sa.Integer),
    )
    op.create_index("recording_utterances_route", "recording_utterances", ["route", "session"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("completed", MOMENT),
    )
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE recording_words")
    for table in ("leases", "recording_utterances", "recordings"):
        op.drop_table(table)
