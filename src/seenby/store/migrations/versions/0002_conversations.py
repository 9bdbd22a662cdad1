"""Conversations, members, messages, preferences; counts in events, hidden receipts, erasures."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ON_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "ascii",
    "mysql_collate": "ascii_bin",
}


def id_checks(*columns: tuple[str, int, int]) -> list[sa.CheckConstraint]:
    """Printable ASCII, from shortest to longest; MySQL's column types say the same."""
    return [
        sa.CheckConstraint(
            f"length({name}) BETWEEN {shortest} AND {longest} AND {name} NOT GLOB '*[^!-~]*'",
            name=f"{name}_form",
        ).ddl_if(dialect="sqlite")
        for name, shortest, longest in columns
    ]


def create_table(name: str, *parts: sa.Column[Any] | sa.CheckConstraint) -> None:
    """Make a table that is not there yet."""
    op.create_table(name, *parts, sqlite_with_rowid=False, if_not_exists=True, **ON_MYSQL)


def create_index(name: str, table: str, *columns: str, unique: bool = False) -> None:
    """Make an index that is not there yet; MySQL cannot say that in one statement."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns), unique=unique)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column that is not there yet."""
    if column.name not in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def upgrade() -> None:
    """Every step may run again: MySQL has no transactions for tables."""
    add_column("receipts", sa.Column("hidden", sa.SmallInteger, nullable=False, server_default="0"))
    add_column("events", sa.Column("amount", sa.BigInteger))
    add_column("events", sa.Column("audience", sa.BigInteger))
    create_table(
        "conversations",
        sa.Column("conversation_id", sa.String(128), primary_key=True),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("members", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        *id_checks(("conversation_id", 1, 128)),
    )
    create_table(
        "members",
        sa.Column("conversation_id", sa.String(128), primary_key=True),
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.Column("base", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        *id_checks(("user_id", 1, 64)),
    )
    create_index("members_by_user", "members", "user_id", "conversation_id")
    create_table(
        "messages",
        sa.Column("msg_id", sa.String(64), primary_key=True),
        sa.Column("conversation_id", sa.String(128), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("sender_id", sa.String(64), nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.Column("sent_to", sa.BigInteger, nullable=False),
        sa.Column("audience", sa.BigInteger, nullable=False),
        sa.Column("readers", sa.BigInteger, nullable=False),
        sa.Column("told", sa.BigInteger, nullable=False),
        sa.Column("told_at", sa.BigInteger, nullable=False),
        *id_checks(("msg_id", 1, 64), ("sender_id", 1, 64)),
    )
    create_index("messages_in_order", "messages", "conversation_id", "number", unique=True)
    create_index("messages_by_sender", "messages", "sender_id")
    create_index("messages_by_time", "messages", "sent_at")
    create_table(
        "leavers",
        sa.Column("conversation_id", sa.String(128), primary_key=True),
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    create_table(
        "preferences",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("conversation_id", sa.String(128), primary_key=True),
        sa.Column("send_receipts", sa.SmallInteger, nullable=False),
        *id_checks(("user_id", 1, 64), ("conversation_id", 0, 128)),
    )
    create_table(
        "pending_counts",
        sa.Column("msg_id", sa.String(64), primary_key=True),
        sa.Column("due", sa.BigInteger, nullable=False),
    )
    create_index("pending_counts_by_due", "pending_counts", "due")
    create_table(
        "erasures",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("asked", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.SmallInteger, nullable=False),
        sa.Column("place", sa.String(128), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        *id_checks(("user_id", 1, 64)),
    )
