"""The tables, as SQLAlchemy metadata: what all migrations together make.

========  ==================================================================================
receipts  who read what, when; one per (msg_id, reader_id): the first read wins
streams   per sender: ``head``, the last seq given, and ``floor``, the last seq trimmed
events    the sender's stream; an erased event keeps its place, with NULL for everything else
outbox    one row for one committed batch that is still to be published
devices   how far each device of a user is, and when it was last seen
meta      ``epoch``: a random id made with the database
========  ==================================================================================

Ids are printable ASCII and compared byte for byte on every database: by the tables' collation on
MySQL and MariaDB, by default on SQLite. The database checks length and characters once more (by
type there, by CHECK here), so what slipped through is refused, never cut or folded.
Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT

from seenby.model import CONVERSATION_ID_MAX, DEVICE_ID_MAX, MSG_ID_MAX, USER_ID_MAX

EPOCH = "epoch"
"""The name in ``meta`` under which the epoch stands."""

OWNER_MAX = 128

BIG_KEY = BigInteger().with_variant(Integer, "sqlite")
"""Only INTEGER keys number themselves on SQLite; they have 64 bits there too."""

ON_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "ascii",
    "mysql_collate": "ascii_bin",
}

metadata = MetaData()


def id_checks(*columns: tuple[str, int, int]) -> list[CheckConstraint]:
    """SQLite's share of the rule for ids: (column, shortest, longest), printable ASCII."""
    return [
        CheckConstraint(
            f"length({name}) BETWEEN {shortest} AND {longest} AND {name} NOT GLOB '*[^!-~]*'",
            name=f"{name}_form",
        ).ddl_if(dialect="sqlite")
        for name, shortest, longest in columns
    ]


receipts = Table(
    "receipts",
    metadata,
    Column("id", BIG_KEY, primary_key=True, autoincrement=True),
    Column("msg_id", String(MSG_ID_MAX), nullable=False),
    Column("reader_id", String(USER_ID_MAX), nullable=False),
    Column("sender_id", String(USER_ID_MAX), nullable=False),
    Column("conversation_id", String(CONVERSATION_ID_MAX), nullable=False),
    Column("conversation_type", String(16), nullable=False),
    Column("device_id", String(DEVICE_ID_MAX), nullable=False),
    Column("read_at", BigInteger, nullable=False),
    UniqueConstraint("msg_id", "reader_id", name="one_receipt"),
    *id_checks(
        ("msg_id", 1, MSG_ID_MAX),
        ("reader_id", 1, USER_ID_MAX),
        ("sender_id", 1, USER_ID_MAX),
        ("conversation_id", 1, CONVERSATION_ID_MAX),
        ("device_id", 0, DEVICE_ID_MAX),
    ),
    sqlite_autoincrement=True,
    **ON_MYSQL,
)

streams = Table(
    "streams",
    metadata,
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    Column("head", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

events = Table(
    "events",
    metadata,
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False, server_default="0"),
    Column("msg_id", String(MSG_ID_MAX)),
    Column("reader_id", String(USER_ID_MAX)),
    Column("conversation_id", String(CONVERSATION_ID_MAX)),
    Column("device_id", String(DEVICE_ID_MAX)),
    Column("at", BigInteger, nullable=False),
    Index("events_by_time", "at"),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

# SQLite would give the number of a deleted newest row out again (AUTOINCREMENT does not); a late
# deletion of a published batch would then hit another one.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BIG_KEY, primary_key=True, autoincrement=True),
    Column("owner", String(OWNER_MAX), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("events", Text().with_variant(LONGTEXT(), "mysql"), nullable=False),
    # To count by: the rows themselves are large.
    Index("outbox_by_created", "created"),
    sqlite_autoincrement=True,
    **ON_MYSQL,
)

devices = Table(
    "devices",
    metadata,
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    Column("device_id", String(DEVICE_ID_MAX), primary_key=True),
    Column("epoch", String(32), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Index("devices_by_last_seen", "last_seen"),
    *id_checks(("user_id", 1, USER_ID_MAX), ("device_id", 0, DEVICE_ID_MAX)),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)
