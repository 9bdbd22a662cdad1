"""Receipts, streams, events, outbox, devices, and the epoch."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
LONG_TEXT = sa.Text().with_variant(LONGTEXT(), "mysql")
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


def create_index(name: str, table: str, column: str) -> None:
    """Make an index that is not there yet; MySQL cannot say that in one statement."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, [column])


def upgrade() -> None:
    """Every step may run again: MySQL has no transactions for tables."""
    op.create_table(
        "receipts",
        sa.Column("id", BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("msg_id", sa.String(64), nullable=False),
        sa.Column("reader_id", sa.String(64), nullable=False),
        sa.Column("sender_id", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.String(128), nullable=False),
        sa.Column("conversation_type", sa.String(16), nullable=False),
        sa.Column("device_id", sa.String(64), nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("msg_id", "reader_id", name="one_receipt"),
        *id_checks(
            ("msg_id", 1, 64),
            ("reader_id", 1, 64),
            ("sender_id", 1, 64),
            ("conversation_id", 1, 128),
            ("device_id", 0, 64),
        ),
        sqlite_autoincrement=True,
        if_not_exists=True,
        **ON_MYSQL,
    )
    op.create_table(
        "streams",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **ON_MYSQL,
    )
    op.create_table(
        "events",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("msg_id", sa.String(64)),
        sa.Column("reader_id", sa.String(64)),
        sa.Column("conversation_id", sa.String(128)),
        sa.Column("device_id", sa.String(64)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **ON_MYSQL,
    )
    op.create_table(
        "outbox",
        sa.Column("id", BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("events", LONG_TEXT, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
        **ON_MYSQL,
    )
    op.create_table(
        "devices",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("device_id", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        *id_checks(("user_id", 1, 64), ("device_id", 0, 64)),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **ON_MYSQL,
    )
    create_index("events_by_time", "events", "at")
    create_index("outbox_by_created", "outbox", "created")
    create_index("devices_by_last_seen", "devices", "last_seen")
    meta = op.create_table(
        "meta",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(64), nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **ON_MYSQL,
    )
    database = op.get_bind()
    if database.scalar(sa.select(meta.c.value).where(meta.c.name == "epoch")) is None:
        database.execute(sa.insert(meta).values(name="epoch", value=secrets.token_hex(8)))
