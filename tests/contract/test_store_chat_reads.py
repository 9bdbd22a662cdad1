"""What is read on MariaDB for questions about conversations: by key, whatever lies beside it.

Counted by the server itself, as in ``test_store_reads``, on one conversation of 50,000 messages
and on a user who is in 500 others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.model import NewMessage
from seenby.store.conversations import MembersChange, NewConversation
from seenby.store.recording import CHUNK
from seenby.store.settling import LOOKUPS
from tests.contract.store_adapters import NOW, change, filled, rows
from tests.contract.test_store_reads import reads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seenby.store.sql import SqlStore
    from tests.servers.mariadb import MariaDB

LAST = 50_000
"""Messages in ``big``, all sent by ann; bob has read all but the last ten."""

FILL = (
    f"INSERT INTO conversations VALUES ('big', 'group', 1002, {LAST})",
    "INSERT INTO conversations SELECT CONCAT('c', seq), 'group', 2, 100 FROM seq_1_to_500",
    ("INSERT INTO members SELECT 'big', CONCAT('u', seq), 0, NULL, 0, 0, 0 FROM seq_1_to_1000"),
    (
        f"INSERT INTO members VALUES ('big', 'ann', 0, NULL, 0, 0, {LAST}),"
        f" ('big', 'bob', 0, NULL, 0, {LAST - 10}, 0)"
    ),
    (
        "INSERT INTO members SELECT CONCAT('c', seq), 'eve', 0, NULL, 0, IF(seq MOD 50, 100, 90), 0"
        " FROM seq_1_to_500"
    ),
    ("INSERT INTO members SELECT CONCAT('c', seq), 'dan', 0, NULL, 0, 0, 100 FROM seq_1_to_500"),
    (
        "INSERT INTO messages SELECT CONCAT('m', seq), 'big', seq, 'ann', seq, 1001, 1001, 0, 0, 0"
        f" FROM seq_1_to_{LAST}"
    ),
    (
        "INSERT INTO messages SELECT CONCAT('x', seq), CONCAT('c', seq MOD 500 + 1),"
        " seq DIV 500 + 1, 'dan', seq, 1, 1, 0, 0, 0 FROM seq_0_to_49999"
    ),
    (
        "INSERT INTO receipts SELECT NULL, CONCAT('m', seq), 'bob', 'ann', 'big', 'group', 'd',"
        f" 5, 0 FROM seq_1_to_{LAST - 10}"
    ),
    "ANALYZE TABLE conversations, members, messages, receipts",
)


@pytest.fixture(scope="module")
def full(mariadb_server: MariaDB) -> Iterator[SqlStore]:
    """A store with much in it."""
    with filled(mariadb_server, FILL) as store:
        yield store


QUESTIONS: dict[str, tuple[int, Callable[[SqlStore], object]]] = {
    "a conversation": (5, lambda store: store.conversations.get("big")),
    "a page of members": (
        30,
        lambda store: store.conversations.members("big", after="u500", limit=10),
    ),
    "an unchanged conversation": (
        20,
        lambda store: store.conversations.put([NewConversation("c7", "group", ["eve", "dan"])]),
    ),
    "members who come and leave": (
        100,
        lambda store: store.conversations.change(
            [MembersChange("big", ["new1", "new2"], []), MembersChange("big", [], ["new1", "new2"])]
        ),
    ),
    "registrations": (
        600,
        lambda store: store.conversations.register(
            [NewMessage(f"new{number}", "c9", "dan") for number in range(50)], now=NOW
        ),
    ),
    "nobody to settle": (10, lambda store: store.conversations.settle()),
    "messages": (60, lambda store: store.reading.messages([f"m{n}" for n in range(50)])),
    "whom it was sent to": (
        200,
        lambda store: store.reading.sent_to("bob", [f"m{n}" for n in range(50)]),
    ),
    "who has not read": (60, lambda store: store.reading.not_read("m7", after="u500", limit=10)),
    "unread counts": (6 * 500, lambda store: store.reading.unread_counts("eve")),
    "unread at the end of a long conversation": (
        80,
        lambda store: store.reading.unread("bob", conversation_id="big", limit=50, offset=0),
    ),
    "the first unread of a long conversation": (
        200,
        lambda store: store.reading.unread("u500", conversation_id=None, limit=50, offset=0),
    ),
    "reading a piece of a long conversation": (
        20 * CHUNK,
        lambda store: store.recording.read_conversation("u501", "big", None, now=NOW, lease=0.0),
    ),
    "unread in some of many conversations": (
        6 * 500 + 10 * 50,
        lambda store: store.reading.unread("eve", conversation_id=None, limit=50, offset=0),
    ),
    "receipts of registered messages": (
        20 * 50,
        lambda store: store.receipts(
            [f"m{n}" for n in range(50)], sender_id="ann", after_id=0, limit=10
        ),
    ),
    "a page of conversations": (20, lambda store: store.verifying.conversations("c3", 10)),
}


@pytest.mark.parametrize(("most", "question"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_no_more_is_read_than_was_asked_for(
    full: SqlStore, most: int, question: Callable[[SqlStore], object]
) -> None:
    """A few rows for each thing named, and for each conversation of the user."""
    assert reads(full, lambda: question(full)) < most


def test_unread_counts_look_at_no_message(full: SqlStore) -> None:
    """The user's memberships and their conversations say it."""
    plan = rows(full, "EXPLAIN " + full.reading._unread_counts, user_id="eve")
    assert [row[2] for row in plan] == ["i", "c"]


def test_a_piece_of_settling_reads_a_few_rows_for_each_lookup(full: SqlStore) -> None:
    """Wherever in a long conversation it is, and however many have left it."""
    for leavers in (["u1"], [f"u{number}" for number in range(100, 300)]):
        full.conversations.change([MembersChange("big", [], leavers)])
        for _ in range(3):
            assert reads(full, lambda: full.conversations.settle(["big"])) < 8 * LOOKUPS
        change(full, "DELETE FROM leavers")
