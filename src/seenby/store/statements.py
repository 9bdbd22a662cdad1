"""What the databases are told, once for all of them.

Recording is what costs, and is said in the words that each database understands fastest: lists of
tuples (``Words.insert``, ``Words.among``), several statements at once (``Connection.together``).

Everywhere else a batch goes to the database as one JSON document per statement, a list of lists
that is unfolded there into a table ``j`` (``Words.rows``): one parameter instead of thousands, and
a text that never changes. Every such statement starts at ``j`` and looks the other tables up by
key; ``Words.join`` keeps the optimiser from turning that around.

What differs between databases is in ``Words``. Values are written ``:name``, as SQLite wants them;
``Words.text`` rewrites them for the others.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from seenby.errors import SchemaError
from seenby.rules import Shown
from seenby.store.connections import Returned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seenby.store.connections import Row

ID = "id"
NUMBER = "number"

EPOCH = "(SELECT value FROM meta WHERE name = 'epoch')"

RECEIPT = (
    "r.id, r.msg_id, r.reader_id, r.sender_id, r.conversation_id, r.conversation_type,"
    " r.read_at, r.device_id"
)
"""A receipt's columns in the order of ``model.Receipt``."""

EVENT = (
    "e.user_id, e.seq, e.msg_id, e.reader_id, e.conversation_id, e.at, e.at, e.device_id,"
    " e.kind, e.amount, e.audience"
)
"""An event's columns in the order of ``model.Event``, without its trace."""

RECEIPT_ROW = (
    "msg_id, reader_id, sender_id, conversation_id, conversation_type, device_id, read_at, hidden"
)
EVENT_ROW = (
    "user_id, seq, msg_id, reader_id, conversation_id, device_id, at, kind, amount, audience"
)


def document(rows: Sequence[object]) -> str:
    """Rows as one JSON document.

    Raises:
        UnicodeError: an id is not ASCII; MariaDB would make question marks of it, without a word.
    """
    return msgspec.json.encode(rows).decode("ascii")


def singles(values: Iterable[object]) -> list[tuple[object]]:
    """Values as rows of one column."""
    return [(value,) for value in values]


def the_epoch(rows: Sequence[Row]) -> str:
    """The epoch, from what was read.

    Raises:
        SchemaError: there is none.
    """
    if not rows:
        raise SchemaError("the database has no epoch; run: seenby migrate")
    epoch: str = rows[0][0]
    return epoch


def milliseconds(seconds: float) -> int:
    """Whole milliseconds."""
    return round(seconds * 1000)


class Words(Protocol):
    """How a database says what the databases say differently."""

    @property
    def join(self) -> str:
        """An inner join that is done in the order it is written in."""
        ...

    @property
    def now(self) -> str:
        """The database's clock in ms."""
        ...

    @property
    def for_update(self) -> str:
        """Keeps the rows that a SELECT returns locked until the transaction ends."""
        ...

    @property
    def new(self) -> str:
        """In the changes of an upsert: the row that was to be inserted."""
        ...

    @property
    def page(self) -> str:
        """Joins to wants ``j`` (after, most) and streams ``s`` the events ``e`` of each page."""
        ...

    @property
    def unfolded_outbox(self) -> str:
        """The outbox as a table ``j``: id, owner, place, user_id, seq, trace, by event."""
        ...

    def rows(self, name: str, columns: dict[str, str]) -> str:
        """The document *name* as a table ``j``; *columns* in order, each ID or NUMBER."""
        ...

    @property
    def begin(self) -> str:
        """The statement that starts a writing transaction."""
        ...

    @property
    def snapshot(self) -> Sequence[str]:
        """The statements that start a transaction which locks nothing and sees one moment."""
        ...

    @property
    def last_number(self) -> str:
        """The number that the database gave to the row inserted last."""
        ...

    def insert(self, table: str, columns: str) -> str:
        """Insert the list of tuples ``rows``."""
        ...

    def add(self, table: str, columns: str, key: str, number: str) -> str:
        """The same; where a row's *key* is there already, add its *number* to that there."""
        ...

    def among(self, columns: str, name: str) -> str:
        """Whether *columns* are one of the list of tuples *name*."""
        ...

    def upsert(self, keys: str) -> str:
        """After INSERT ... SELECT: begins the changes to rows that are there already."""
        ...

    def update(self, table: str, rows: str, match: str, changes: dict[str, str]) -> str:
        """Change the rows of *table* that *match* joins to *rows*."""
        ...

    def delete(self, table: str, keys: str, rows: str, condition: str) -> str:
        """Delete the rows of *table* whose *keys* are in *rows*, under a condition on *table*."""
        ...

    def text(self, statement: str) -> str:
        """The statement as the driver wants it."""
        ...


class Statements:
    """Every statement of the store.

    Args:
        words: those of the database.
    """

    def __init__(self, words: Words) -> None:
        """Put the statements together."""
        text, join = words.text, words.join
        users = words.rows("users", {"user_id": ID})
        outbox_ids = words.rows("ids", {"id": NUMBER})

        # Recording: lists, and several statements at once. The heads are sorted by the caller and
        # raised in their order, which is the order of locks; by 0, they are locked.
        self.begin = words.begin
        self.commit = "COMMIT"
        this_receipt = words.among("r.msg_id, r.reader_id", "keys")
        self.find_receipts = text(f"SELECT {RECEIPT} FROM receipts AS r WHERE {this_receipt}")
        self.raise_heads = Returned(
            insert=text(words.add("streams", "user_id, head, floor", "user_id", "head")),
            returning=" RETURNING user_id, head",
            read=text(
                "SELECT s.user_id, s.head FROM streams AS s"
                f" WHERE {words.among('s.user_id', 'users')}"
            ),
        )
        self.insert_receipts = Returned(
            insert=text(words.insert("receipts", RECEIPT_ROW)),
            returning=" RETURNING id, msg_id, reader_id",
            read=text(
                f"SELECT r.id, r.msg_id, r.reader_id FROM receipts AS r WHERE {this_receipt}"
            ),
        )
        self.insert_events = text(words.insert("events", EVENT_ROW))

        # The outbox.
        self.insert_outbox = Returned(
            insert=text(
                "INSERT INTO outbox (owner, lease_until, created, events)"
                f" VALUES ('', {words.now} + :lease, {words.now}, :events)"
            ),
            returning=" RETURNING id",
            read=f"SELECT {words.last_number}",
        )
        self.discard = text(f"DELETE FROM outbox WHERE {words.among('id', 'ids')}")
        self.release = text(
            words.update("outbox", outbox_ids, "outbox.id = j.id", {"lease_until": "0"})
        )
        self.find_expired = text(
            f"SELECT id FROM outbox WHERE lease_until <= {words.now} ORDER BY id LIMIT :most"
        )
        self.claim = text(
            words.update(
                "outbox",
                outbox_ids,
                f"outbox.id = j.id AND outbox.lease_until <= {words.now}",
                {"owner": ":owner", "lease_until": f"{words.now} + :lease"},
            )
        )
        self.read_claimed = text(
            f"SELECT j.id, j.trace, {EVENT} FROM {words.unfolded_outbox} LEFT JOIN events AS e"
            " ON e.user_id = j.user_id AND e.seq = j.seq"
            " WHERE j.id BETWEEN :first AND :last AND j.owner = :owner ORDER BY j.id, j.place"
        )
        self.outbox_state = text(
            f"SELECT COUNT(*), COALESCE({words.now} - MIN(created), 0) FROM outbox"
        )

        # Streams.
        self.heads = text(
            f"SELECT j.user_id, s.head, s.floor, e.at, {EPOCH} FROM {users}"
            " LEFT JOIN streams AS s ON s.user_id = j.user_id"
            " LEFT JOIN events AS e ON e.user_id = s.user_id AND e.seq = s.head"
        )
        wants = words.rows(
            "wants", {"place": NUMBER, "user_id": ID, "after": NUMBER, "most": NUMBER}
        )
        self.pages = text(
            f"SELECT j.place, s.head, s.floor, {EVENT} FROM {wants}"
            f" LEFT JOIN streams AS s ON s.user_id = j.user_id {words.page}"
            " ORDER BY j.place, e.seq"
        )

        # Devices.
        pairs = words.rows("devices", {"user_id": ID, "device_id": ID})
        self.positions = text(
            f"SELECT d.user_id, d.device_id, d.epoch, d.seq FROM {pairs} {join} devices AS d"
            " ON d.user_id = j.user_id AND d.device_id = j.device_id"
        )
        acks = words.rows("acks", {"user_id": ID, "device_id": ID, "epoch": ID, "seq": NUMBER})
        new = words.new
        # MySQL carries the changes out one after the other: seq must come before epoch.
        self.acknowledge = text(
            "INSERT INTO devices (user_id, device_id, epoch, seq, last_seen)"
            f" SELECT j.user_id, j.device_id, j.epoch, j.seq, :now FROM {acks}"
            f" {join} meta AS m ON m.name = 'epoch' AND m.value = j.epoch"
            f" {words.upsert('user_id, device_id')}"
            f" seq = CASE WHEN devices.epoch = {new}.epoch AND devices.seq > {new}.seq"
            f" THEN devices.seq ELSE {new}.seq END, epoch = {new}.epoch,"
            " last_seen = CASE WHEN devices.last_seen > :now THEN devices.last_seen ELSE :now END"
        )
        self.devices = text(
            "SELECT device_id, epoch, seq, last_seen FROM devices WHERE user_id = :user_id"
            " ORDER BY device_id"
        )
        self.forget_device = text(
            "DELETE FROM devices WHERE user_id = :user_id AND device_id = :device_id"
        )
        self.find_unseen = text(
            "SELECT user_id, device_id FROM devices WHERE last_seen < :since"
            " ORDER BY last_seen LIMIT :most"
        )
        self.forget_unseen = text(
            words.delete("devices", "user_id, device_id", pairs, "devices.last_seen < :since")
        )

        # Receipts of messages: counts of many, and pages one by one.
        self.count_receipts = text(_count_receipts(words, ""))
        self.count_receipts_of_sender = text(
            _count_receipts(words, " AND r.sender_id = :sender_id")
        )
        # + 0: not in the order of the key, in which other messages' would be passed over.
        page = (
            f"SELECT {RECEIPT} FROM receipts AS r WHERE r.msg_id = :msg_id"
            f" AND r.id + 0 > :after AND r.hidden = {Shown.NAMED:d}"
        )
        in_order = " ORDER BY r.id + 0 LIMIT :most"
        self.receipts = text(page + in_order)
        self.receipts_of_sender = text(f"{page} AND r.sender_id = :sender_id{in_order}")

        # Trimming: whose the oldest events are; what of those streams must stay; what goes. What
        # must stay is read when the locks are held: a statement that waits for them may not see
        # what was committed meanwhile.
        self.find_old = text(
            "SELECT o.user_id, COUNT(*) FROM (SELECT user_id FROM events WHERE at < :before"
            " ORDER BY at LIMIT :most) AS o GROUP BY o.user_id"
        )
        self.lock_streams = text(
            f"SELECT s.user_id FROM {users} {join} streams AS s ON s.user_id = j.user_id"
            f"{words.for_update}"
        )
        old = words.rows("streams", {"user_id": ID, "old": NUMBER})
        self.find_staying = text(
            "SELECT s.user_id, s.head, s.floor, (SELECT e.seq FROM events AS e"
            " WHERE e.user_id = s.user_id AND e.seq > s.floor"
            " AND (e.at >= :before OR e.seq > s.floor + j.old) ORDER BY e.seq LIMIT 1)"
            f" FROM {old} {join} streams AS s ON s.user_id = j.user_id"
        )
        floors = words.rows("floors", {"user_id": ID, "floor": NUMBER})
        self.raise_floors = text(
            words.update("streams", floors, "streams.user_id = j.user_id", {"floor": "j.floor"})
        )
        gone = words.rows("events", {"user_id": ID, "seq": NUMBER})
        self.delete_events = text(words.delete("events", "user_id, seq", gone, "1 = 1"))

        # The epoch.
        self.epoch = text("SELECT value FROM meta WHERE name = 'epoch'")
        self.set_epoch = text("UPDATE meta SET value = :epoch WHERE name = 'epoch'")
        self.ping = text("SELECT 1")


def _count_receipts(words: Words, condition: str) -> str:
    """How many have read each message; a registered message knows it, and of how many."""
    mine = condition.replace("r.sender_id", "m.sender_id")
    return (
        "SELECT j.msg_id, m.audience, CASE WHEN m.msg_id IS NULL THEN"
        " (SELECT COUNT(*) FROM receipts AS r WHERE r.msg_id = j.msg_id"
        f" AND r.hidden <> {Shown.UNCOUNTED:d}{condition}) ELSE m.readers END"
        f" FROM {words.rows('messages', {'msg_id': ID})}"
        f" LEFT JOIN messages AS m ON m.msg_id = j.msg_id{mine}"
    )
