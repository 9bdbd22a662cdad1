"""What each statement reads on MariaDB: by key, and no more rows than it was asked about.

Counted by the server itself (Handler_read_*), on tables of 50,000 rows: a statement that scans one
of them, or reads a stream from its start, is over its bound many times.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.model import Position, Receipt
from seenby.store.base import Ack, Want
from tests.contract.store_adapters import NOW, Adapter, change, filled, mark, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seenby.store.sql import SqlStore
    from tests.servers.mariadb import MariaDB

ROWS = 50_000
USERS = 100
"""So each stream has 500 events; ``big`` alone has as many as all of them."""

AT = 1_000_000
"""When the first was committed, in ms; one ms later the next."""

FILL = (
    "INSERT INTO streams SELECT CONCAT('u', seq), 500, 0 FROM seq_0_to_99",
    f"INSERT INTO streams VALUES ('big', {ROWS}, 0)",
    (
        "INSERT INTO events SELECT CONCAT('u', seq MOD 100), seq DIV 100 + 1, 0, CONCAT('m', seq),"
        f" CONCAT('r', seq), 'c', 'd', {AT} + seq, NULL, NULL FROM seq_0_to_49999"
    ),
    (
        "INSERT INTO events SELECT 'big', seq + 1, 0, CONCAT('b', seq), 'bob', 'c', 'd',"
        f" {AT} + seq, NULL, NULL FROM seq_0_to_49999"
    ),
    (
        "INSERT INTO receipts SELECT NULL, CONCAT('m', seq), CONCAT('r', seq),"
        f" CONCAT('u', seq MOD 100), 'c', 'private', 'd', {AT} + seq, 0 FROM seq_0_to_49999"
    ),
    (
        "INSERT INTO devices SELECT CONCAT('u', seq MOD 100), CONCAT('d', seq), m.value, 1,"
        f" {AT} + seq FROM seq_0_to_49999, meta AS m"
    ),
    (
        """INSERT INTO outbox SELECT NULL, '', 0, 0, CONCAT('[["big",', seq, ',""]]')"""
        " FROM seq_1_to_50000"
    ),
    "ANALYZE TABLE receipts, streams, events, outbox, devices",
)


@pytest.fixture(scope="module")
def full(mariadb_server: MariaDB) -> Iterator[SqlStore]:
    """A store with 50,000 rows and more in each table that grows."""
    with filled(mariadb_server, FILL) as store:
        yield store


def reads(store: SqlStore, call: Callable[[], object]) -> int:
    """How many rows of whatever kind the server read for *call*."""
    change(store, "FLUSH STATUS")
    call()
    return sum(int(count) for _, count in rows(store, "SHOW SESSION STATUS LIKE 'Handler_read%%'"))


EACH = 100
"""About how many users, marks or devices each question is for."""

MOST = 20 * EACH
"""Rows read for them: each takes part in several joins and a sort."""

QUESTIONS: dict[str, Callable[[SqlStore], object]] = {
    "known marks": lambda store: store.record(
        [mark(f"m{n}", f"r{n}", f"u{n % USERS}", "c") for n in range(0, ROWS, ROWS // EACH)],
        now=NOW,
        lease=0,
    ),
    "new marks": lambda store: store.record(
        [mark(f"n{n}", sender_id=f"u{n}") for n in range(EACH)], now=NOW, lease=0
    ),
    "heads": lambda store: store.heads([f"u{n}" for n in range(2 * EACH)]),
    "pages of many": lambda store: store.pages([Want(f"u{n}", 499, 10) for n in range(EACH)]),
    "a page of a long stream": lambda store: store.pages([Want("big", ROWS // 2, EACH)]),
    "a page at its end": lambda store: store.pages([Want("big", ROWS, EACH)]),
    "positions": lambda store: store.positions([(f"u{n}", f"d{n}") for n in range(EACH)]),
    "acknowledgements": lambda store: store.acknowledge(
        [Ack(f"u{n}", f"d{n}", Position(store.epoch(), 2)) for n in range(EACH)], now=NOW
    ),
    "forgetting one": lambda store: store.forget_device("u50", "d50"),
    "forgetting the unseen": lambda store: store.forget_devices(
        unseen_since=AT + ROWS // 2, limit=EACH
    ),
    "receipts": lambda store: store.receipts(
        [f"m{n}" for n in range(EACH)], sender_id=None, after_id=0, limit=10
    ),
    "receipts of a sender": lambda store: store.receipts(
        [f"m{n}" for n in range(EACH)], sender_id="u1", after_id=0, limit=10
    ),
    "a claim": lambda store: store.claim(owner="n", lease=0, limit=EACH),
    "a release": lambda store: store.release(range(1, EACH)),
    "a discard": lambda store: store.discard(range(1, EACH)),
    "a trim": lambda store: store.trim(before=AT + ROWS // 2, limit=EACH),
    "the epoch": lambda store: store.epoch(),
    "places of receipts": lambda store: store.inspecting.seqs(
        [
            Receipt(1, f"b{n}", "bob", "big", "c", "private", AT + n, "d")
            for n in range(0, ROWS, ROWS // EACH)
        ]
    ),
    "batches that wait": lambda store: store.inspecting.waiting(
        [("big", n, AT + n) for n in range(EACH)]
    ),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_no_more_is_read_than_was_asked_for(
    full: SqlStore, question: Callable[[SqlStore], object]
) -> None:
    """A few rows for each thing named, however many there are of the rest."""
    assert reads(full, lambda: question(full)) < MOST


def test_nothing_to_trim_is_seen_at_once(full: SqlStore) -> None:
    """Upkeep looks again and again, and mostly in vain."""
    assert reads(full, lambda: full.trim(before=AT, limit=1000)) < 10
    assert reads(full, lambda: full.forget_devices(unseen_since=AT, limit=1000)) < 10


def test_new_marks_without_returning_are_read_back_by_key(full: SqlStore) -> None:
    """MySQL 8 asks once more for heads and receipts."""
    url = str(full.connections._dialect.url.render_as_string(hide_password=False))
    with closing(Adapter("without_returning", url).open()) as store:
        marks = [mark(f"w{n}", sender_id=f"u{n}") for n in range(EACH)]
        assert reads(store, lambda: store.record(marks, now=NOW, lease=0)) < MOST


def test_the_outbox_is_counted_in_a_small_index(full: SqlStore) -> None:
    """Every instance asks once a second; the rows themselves hold whole batches."""
    [plan] = rows(full, f"EXPLAIN {full._statements.outbox_state}")
    assert "outbox_by_created" in plan
    assert any("Using index" in str(column) for column in plan)
