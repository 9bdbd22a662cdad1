"""The tables, as SQLAlchemy metadata: what all migrations together make.

==============  ==========================================================================
receipts        who read what, when; one per (msg_id, reader_id): the first read wins
streams         per user: ``head``, the last seq given, and ``floor``, the last seq trimmed;
                of an erased user, under a name that does not tell whose it was
events          the user's stream; an erased event keeps its place, without a body
outbox          one row for one committed batch that is still to be published
devices         how far each device of a user is, and when it was last seen
meta            ``epoch``: a random id made with the database
conversations   what the chat's backend has registered, and how many messages came in each
members         who is in a conversation from when to when, and how much of it they have read
messages        what was registered: by whom, to how many, and how many have read it
leavers         members who have left and are not settled yet (see below)
preferences     what a user wants others to know, in general and per conversation
pending_counts  messages whose count of readers is still to be told, and when
erasures        users who are being erased, and how far that is
nodes           the processes that run: where they may be asked, and what they count
==============  ==========================================================================

Messages are numbered within their conversation, from 1. A member is in the conversation for the
messages with ``since < number <= until`` (``until`` NULL: still is), which makes the audience of
each of them, less its sender. These counters hold at every commit, and ``seenby verify`` makes
them anew:

- ``messages.readers``: receipts of the audience, without those that are not counted (``hidden``
  is UNCOUNTED).
- ``messages.audience``: those of the audience who are still members, or not settled yet, or have
  a receipt that is counted. ``settled`` is the number up to which a member who has left is
  counted so.
- ``members.done`` of those who are members: how many messages with a number over ``base`` are
  their own, or read by them, or no longer there. Up to ``base`` all are. So
  ``conversations.last - base - done`` are unread.
- ``conversations.members``: how many are members now.

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

URL_MAX = 512
"""Characters of the address under which a process may be asked."""

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
    Column("hidden", SmallInteger, nullable=False, server_default="0"),
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
    Column("amount", BigInteger),
    Column("audience", BigInteger),
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

conversations = Table(
    "conversations",
    metadata,
    Column("conversation_id", String(CONVERSATION_ID_MAX), primary_key=True),
    Column("type", String(16), nullable=False),
    Column("members", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    *id_checks(("conversation_id", 1, CONVERSATION_ID_MAX)),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

members = Table(
    "members",
    metadata,
    Column("conversation_id", String(CONVERSATION_ID_MAX), primary_key=True),
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    Column("until", BigInteger),
    Column("settled", BigInteger, nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Index("members_by_user", "user_id", "conversation_id"),
    *id_checks(("user_id", 1, USER_ID_MAX)),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

messages = Table(
    "messages",
    metadata,
    Column("msg_id", String(MSG_ID_MAX), primary_key=True),
    Column("conversation_id", String(CONVERSATION_ID_MAX), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("sender_id", String(USER_ID_MAX), nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    # To how many: when it was sent, and now (see above).
    Column("sent_to", BigInteger, nullable=False),
    Column("audience", BigInteger, nullable=False),
    Column("readers", BigInteger, nullable=False),
    # The count of readers that the sender was told last, and when (ms).
    Column("told", BigInteger, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    Index("messages_in_order", "conversation_id", "number", unique=True),
    Index("messages_by_sender", "sender_id"),
    Index("messages_by_time", "sent_at"),
    *id_checks(("msg_id", 1, MSG_ID_MAX), ("sender_id", 1, USER_ID_MAX)),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

leavers = Table(
    "leavers",
    metadata,
    Column("conversation_id", String(CONVERSATION_ID_MAX), primary_key=True),
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

preferences = Table(
    "preferences",
    metadata,
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    # "": in general.
    Column("conversation_id", String(CONVERSATION_ID_MAX), primary_key=True),
    Column("send_receipts", SmallInteger, nullable=False),
    *id_checks(("user_id", 1, USER_ID_MAX), ("conversation_id", 0, CONVERSATION_ID_MAX)),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

pending_counts = Table(
    "pending_counts",
    metadata,
    Column("msg_id", String(MSG_ID_MAX), primary_key=True),
    Column("due", BigInteger, nullable=False),
    Index("pending_counts_by_due", "due"),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

erasures = Table(
    "erasures",
    metadata,
    Column("user_id", String(USER_ID_MAX), primary_key=True),
    Column("asked", BigInteger, nullable=False),
    # Which stage, and where in it: a text and a number that mean what the stage wants.
    Column("stage", SmallInteger, nullable=False),
    Column("place", String(CONVERSATION_ID_MAX), nullable=False),
    Column("number", BigInteger, nullable=False),
    *id_checks(("user_id", 1, USER_ID_MAX)),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)

nodes = Table(
    "nodes",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("role", String(16), primary_key=True),
    # Where other processes may ask this one, and what they show to be answered.
    Column("url", String(URL_MAX), nullable=False),
    Column("ticket", String(64), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    # What it counts, as JSON (``nodes.Numbers``).
    Column("numbers", Text, nullable=False),
    sqlite_with_rowid=False,
    **ON_MYSQL,
)
