"""Conversations and their messages, with full-text search."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MOMENT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
SEARCHED = (("conversations", "folded", "row_id"), ("messages", "folded", "id"))


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("row_id", ROW_NUMBER, primary_key=True),
        sa.Column("id", MOMENT, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("is_titled", sa.Boolean, nullable=False),
        sa.Column("profile", sa.String, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.Column("busy_until", MOMENT),
    )
    op.create_index("conversations_id", "conversations", ["id"], unique=True)
    op.create_index("conversations_tenant", "conversations", ["tenant", "updated", "id"])
    op.create_index("conversations_updated", "conversations", ["updated", "id"])
    op.create_table(
        "messages",
        sa.Column("id", ROW_NUMBER, primary_key=True, autoincrement=False),
        sa.Column("conversation", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("session", sa.String, nullable=False),
        sa.Column("start", ROW_NUMBER),
        sa.Column("end", ROW_NUMBER),
        sa.Column("words", sa.Text),
        sa.Column("language", sa.String),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("usd", sa.Float, nullable=False),
        sa.Column("played", sa.Text),
        sa.Column("cancelled", sa.String),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("reply_tokens", sa.Integer),
        sa.Column("missing", sa.Integer, nullable=False),
    )
    op.create_index("messages_conversation", "messages", ["conversation", "number"], unique=True)
    op.create_index("messages_session", "messages", ["session"])
    for table, column, key in SEARCHED:
        for statement in full_text(table, column, key):
            op.execute(statement)


def full_text(table: str, column: str, key: str) -> tuple[str, ...]:
    """PostgreSQL keeps an index itself; beside SQLite's table stands one of FTS5, which triggers keep."""
    name, tokens = f"{table}_{column}_search", "tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* M* Co'\""
    if op.get_bind().dialect.name == "postgresql":
        return (f"CREATE INDEX {name} ON {table} USING gin (to_tsvector('simple', {column}))",)
    columns = f"(rowid, {column}) VALUES (new.{key}, new.{column});"
    removed = f"({name}, rowid, {column}) VALUES ('delete', old.{key}, old.{column});"
    add, remove = f"INSERT INTO {name} {columns}", f"INSERT INTO {name} {removed}"
    return (
        f"CREATE VIRTUAL TABLE {name} USING fts5({column}, content='{table}', content_rowid='{key}', {tokens})",
        f"CREATE TRIGGER {name}_insert AFTER INSERT ON {table} BEGIN {add} END",
        f"CREATE TRIGGER {name}_delete AFTER DELETE ON {table} BEGIN {remove} END",
        f"CREATE TRIGGER {name}_update AFTER UPDATE OF {column} ON {table} BEGIN {remove} {add} END",
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table, column, _ in SEARCHED:
            op.execute(f"DROP TABLE {table}_{column}_search")
    op.drop_table("messages")
    op.drop_table("conversations")
