"""Many writers, readers and sweepers on one database: once each, no gap, and never a late hole.

The guarantee under test is that "everything after seq" is exact: whoever has read a stream up to
its head has read all that will ever have those seqs.
"""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from seenby.model import Position
from seenby.store.base import Ack, Want
from tests.contract.store_adapters import ADAPTERS, NOW, change, mark, rows
from tests.contract.store_writers import (
    MESSAGES,
    SENDERS,
    Written,
    combined,
    write,
    write_apart,
)
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seenby.model import Event
    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

ON_MARIADB = [name for name in ADAPTERS if name != "sqlite"]


class Followed:
    """Streams as a gateway follows them: read again and again from where it stands."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {sender: [] for sender in SENDERS}
        self.positions = dict.fromkeys(SENDERS, 0)
        self.skipped = 0

    def read_on(self, store: SqlStore) -> None:
        """One round; fails where a page is no exact continuation."""
        epoch, heads = store.heads(SENDERS)
        pages = store.pages([Want(sender, self.positions[sender], 1000) for sender in SENDERS])
        assert epoch
        for sender, page in zip(SENDERS, pages, strict=True):
            assert page.head >= heads[sender].head >= self.positions[sender]
            start = max(self.positions[sender], page.floor)
            assert [event.seq for event in page.events] == list(range(start + 1, page.head + 1))
            self.skipped += start - self.positions[sender]
            self.events[sender] += page.events
            self.positions[sender] = page.head

    def follow(self, store: SqlStore, futures: Iterable[Future[Any]]) -> None:
        """Read until all of them are done, and once more."""
        while not all(future.done() for future in futures):
            self.read_on(store)
        self.read_on(store)

    def as_list(self) -> list[Event]:
        """All events, by sender and seq."""
        return [event for events in self.events.values() for event in events]


def by_place(events: Iterable[Event]) -> list[Event]:
    """Sorted by sender and seq."""
    return sorted(events, key=lambda event: (event.sender_id, event.seq))


def check(store: SqlStore, written: Sequence[Written]) -> None:
    """Every receipt once, every event once, seqs without a gap, and all three agree."""
    receipts = combined(written)
    told = by_place(event for each in written for event in each.events)
    pages = store.pages([Want(sender, 0, 1000) for sender in SENDERS])
    kept = [event for page in pages for event in page.events]

    assert told == kept
    assert len(kept) == MESSAGES
    for page in pages:
        assert [event.seq for event in page.events] == list(range(1, page.head + 1))
    assert {(event.msg_id, event.sender_id, event.at) for event in kept} == {
        (receipt.msg_id, receipt.sender_id, receipt.read_at) for receipt in receipts.values()
    }
    published = [
        event for batch in store.claim(owner="n", lease=60, limit=1000) for event in batch.events
    ]
    assert by_place(published) == kept
    # One writer's later events have higher seqs: it saw its earlier commit.
    for each in written:
        for sender in SENDERS:
            seqs = [event.seq for event in each.events if event.sender_id == sender]
            assert seqs == sorted(seqs)


def test_threads_of_two_stores_record_each_mark_once(adapter: Adapter, store: SqlStore) -> None:
    """Overlapping senders, contested receipts and conflicts; a reader never sees a late hole."""
    followed = Followed()
    with closing(adapter.open()) as other, ThreadPoolExecutor(4) as writers:
        writing = [
            writers.submit(write, each, seed)
            for seed, each in enumerate((store, store, other, other))
        ]
        followed.follow(store, writing)
        written = [future.result() for future in writing]

    check(store, written)
    assert by_place(followed.as_list()) == by_place(
        event for each in written for event in each.events
    )


@pytest.mark.parametrize("adapter", ["sqlite", "mysqlclient"], indirect=True)
def test_processes_record_each_mark_once(adapter: Adapter, store: SqlStore) -> None:
    """The same with processes that share nothing but the database."""
    followed = Followed()
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as writers:
        writing = [writers.submit(write_apart, adapter, seed) for seed in range(3)]
        followed.follow(store, writing)
        written = [msgspec.json.decode(future.result(), type=Written) for future in writing]

    check(store, written)
    assert by_place(followed.as_list()) == by_place(
        event for each in written for event in each.events
    )


def until(stop: threading.Event, work: Callable[[], object]) -> None:
    """Do *work* again and again until told to stop."""
    while not stop.is_set():
        work()


def test_trimming_and_sweeping_do_not_disturb(adapter: Adapter, store: SqlStore) -> None:
    """While two trim, two sweep and one acknowledges, no page has a hole, no batch is lost."""
    followed, stop = Followed(), threading.Event()
    swept: list[Event] = []
    epoch = store.epoch()
    seq = iter(range(1, 10**9))

    def sweep() -> None:
        for batch in store.claim(owner="n", lease=60.0, limit=2):
            swept.extend(batch.events)
            store.discard([batch.id])

    def acknowledge() -> None:
        at = Position(epoch, next(seq))
        store.acknowledge([Ack(sender, "d", at) for sender in SENDERS], now=NOW)

    with closing(adapter.open()) as other, ThreadPoolExecutor(7) as threads:
        writing = [threads.submit(write, each, seed) for seed, each in enumerate((store, other))]
        besides = [
            threads.submit(until, stop, work)
            for work in (
                # What writer 0 wrote is old, what writer 1 wrote is not: prefixes only.
                lambda: store.trim(before=NOW + 1, limit=3),
                lambda: other.trim(before=NOW + 1, limit=50),
                sweep,
                sweep,
                acknowledge,
            )
        ]
        try:
            followed.follow(store, writing)
            written = [future.result() for future in writing]
        finally:
            stop.set()
        for beside in besides:
            beside.result()
        sweep_up = store.claim(owner="n", lease=60.0, limit=1000)

    while store.trim(before=NOW + 1, limit=1000):
        pass
    combined(written)
    told = by_place(event for each in written for event in each.events)
    assert len(followed.as_list()) + followed.skipped == len(told) == MESSAGES
    assert set(followed.as_list()) <= set(told)
    # Trimmed before they were swept: old ones only.
    unswept = set(told) - {*swept, *[event for batch in sweep_up for event in batch.events]}
    assert {event.at for event in unswept} <= {NOW}
    floors = dict(rows(store, "SELECT user_id, floor FROM streams"))
    for sender in SENDERS:
        old = [event.at == NOW for event in told if event.sender_id == sender]
        assert floors[sender] == (old.index(False) if False in old else len(old))


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
def test_a_lost_race_for_a_receipt_answers_the_winners(adapter: Adapter, store: SqlStore) -> None:
    """Two name different senders, so no stream keeps them apart: the key does."""
    with closing(adapter.open()) as winner, ThreadPoolExecutor(1) as losing:
        change(winner, "START TRANSACTION")
        change(
            winner,
            "INSERT INTO receipts (msg_id, reader_id, sender_id, conversation_id,"
            " conversation_type, device_id, read_at)"
            f" VALUES ('m1', 'bob', 'eve', 'c1', 'private', '', {NOW})",
        )
        lost = losing.submit(store.record, [mark("m0"), mark("m1"), mark("m2")], now=NOW, lease=0.0)
        wait_until("the other waits for the key", lambda: somebody_waits(winner))
        change(winner, "COMMIT")
        recorded = lost.result(PATIENCE)

    assert [type(outcome).__name__ for outcome in recorded.outcomes] == [
        "Receipt",
        "Conflict",
        "Receipt",
    ]
    assert [(event.seq, event.msg_id) for event in recorded.events] == [(1, "m0"), (2, "m2")]


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
def test_streams_are_locked_in_one_order(adapter: Adapter, store: SqlStore) -> None:
    """By name, whatever the order of the marks: so two batches do not lock each other out."""
    batch = [mark("m1", sender_id="zoe"), mark("m2", sender_id="ann"), mark("m3", sender_id="bea")]
    store.record(batch, now=NOW, lease=None)
    again = [mark(f"{each.msg_id}-2", sender_id=each.sender_id) for each in batch]
    with closing(adapter.open()) as other, ThreadPoolExecutor(1) as recording:
        change(other, "START TRANSACTION")
        change(other, "SELECT head FROM streams WHERE user_id = 'bea' FOR UPDATE")
        recorded = recording.submit(store.record, again, now=NOW, lease=None)
        wait_until("the recorder waits for bea", lambda: somebody_waits(other))
        free = "SELECT user_id FROM streams WHERE user_id <> 'bea' FOR UPDATE SKIP LOCKED"
        assert rows(other, free) == [("zoe",)]
        change(other, "ROLLBACK")
        assert len(recorded.result(PATIENCE).events) == 3


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
def test_a_deadlock_is_nobodys_error(adapter: Adapter, store: SqlStore) -> None:
    """The database picks a victim; if it is ours, the whole transaction runs again."""
    store.record(
        [mark("first", sender_id="ann"), mark("last", sender_id="zoe")], now=NOW, lease=None
    )
    with closing(adapter.open()) as other, ThreadPoolExecutor(1) as recording:
        change(other, "START TRANSACTION")
        # Far more rows changed than the recorder will have: InnoDB rolls the smaller one back.
        change(other, "INSERT INTO meta (name, value) SELECT CONCAT('x', seq), '' FROM seq_1_to_99")
        change(other, "SELECT head FROM streams WHERE user_id = 'zoe' FOR UPDATE")
        recorded = recording.submit(
            store.record,
            [mark("m1", sender_id="ann"), mark("m2", sender_id="zoe")],
            now=NOW,
            lease=None,
        )
        wait_until("the recorder waits for the stream", lambda: somebody_waits(other))
        change(other, "SELECT head FROM streams WHERE user_id = 'ann' FOR UPDATE")
        assert rows(other, "SELECT COUNT(*) FROM meta") == [(100,)], "the other was the victim"
        change(other, "ROLLBACK")
        assert [event.seq for event in recorded.result(PATIENCE).events] == [2, 2]


def somebody_waits(store: SqlStore) -> bool:
    """Whether a transaction on the MariaDB server waits for a lock."""
    [(_, waits)] = rows(store, "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
    return int(waits) > 0
