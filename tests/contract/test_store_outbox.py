"""The outbox on every adapter of the store: what is committed is published, by one at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.store.base import OutboxState
from tests.contract.store_adapters import NOW, change, counts, mark, numbered, rows
from tests.servers.wait import PATIENCE

if TYPE_CHECKING:
    from seenby.store.base import OutboxBatch
    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

TRACES = [f"{number:032x}" for number in range(3)]


def put_out(store: SqlStore, number: int = 1, *, lease: float = 0.0, size: int = 1) -> int:
    """Record a batch with an outbox row; the row's id."""
    outbox_id = store.record(
        [mark(f"m{number}-{place}", sender_id=f"s{number}") for place in range(size)],
        now=NOW,
        lease=lease,
    ).outbox_id
    assert outbox_id is not None
    return outbox_id


def claim(store: SqlStore, *, lease: float = 60.0, limit: int = 10) -> list[OutboxBatch]:
    """Claim as some instance."""
    return store.claim(owner="node-1", lease=lease, limit=limit)


def let_leases_run_out(store: SqlStore) -> None:
    """As if a day had gone by on the database's clock."""
    change(store, "UPDATE outbox SET lease_until = lease_until - 86400000")


class TestRecord:
    def test_a_batch_is_one_row(self, store: SqlStore) -> None:
        """However many events and senders it has."""
        recorded = store.record([*numbered(3, "ann"), *numbered(2, "zoe")], now=NOW, lease=30.0)
        assert recorded.outbox_id is not None
        assert store.outbox().rows == 1

    def test_rows_are_numbered_upwards_and_never_twice(self, store: SqlStore) -> None:
        """Also when the newest was deleted: a late deletion must not hit another batch."""
        first = put_out(store, 1)
        store.discard([first])
        assert put_out(store, 2) > first

    def test_no_lease_is_no_row(self, store: SqlStore) -> None:
        """Where there is no bus, nothing waits to be published."""
        recorded = store.record([mark()], now=NOW, lease=None)
        assert (recorded.outbox_id, len(recorded.events)) == (None, 1)
        assert store.outbox().rows == 0

    def test_nothing_new_is_no_row(self, store: SqlStore) -> None:
        """Repeats and refused marks tell nobody."""
        put_out(store)
        repeated = store.record(
            [mark("m1-0", sender_id="s1"), mark("own", "ann", "ann")], now=NOW, lease=30.0
        )
        assert repeated.outbox_id is None
        assert store.outbox().rows == 1

    @pytest.mark.parametrize("marks", [[mark("new")], [mark("m1-0", sender_id="s1")], []])
    def test_published_rows_go_along(self, store: SqlStore, marks: list[object]) -> None:
        """With new marks, with repeats only, with none: exactly the rows named."""
        first, second, third = (put_out(store, number, lease=30.0) for number in (1, 2, 3))

        recorded = store.record(
            marks,  # type: ignore[arg-type]
            now=NOW,
            lease=None,
            published=[first, third, third + 1000],
        )

        assert rows(store, "SELECT id FROM outbox") == [(second,)]
        assert len(recorded.outcomes) == len(marks)
        assert recorded.epoch == store.epoch()


class TestClaim:
    def test_a_batch_under_lease_is_its_instances_own(self, store: SqlStore) -> None:
        """Until the lease has run out, on the database's clock."""
        outbox_id = put_out(store, lease=30.0)
        assert claim(store) == []
        let_leases_run_out(store)
        assert [batch.id for batch in claim(store)] == [outbox_id]

    def test_a_batch_without_lease_is_anybodys(self, store: SqlStore) -> None:
        """A lease of 0 seconds: the bus was away at the commit."""
        outbox_id = put_out(store, lease=0)
        assert [batch.id for batch in claim(store)] == [outbox_id]

    def test_a_claimed_batch_is_what_was_recorded(self, store: SqlStore) -> None:
        """Every event with its trace, in the order of the commit."""
        marks = [
            mark("b", sender_id="zoe", trace=TRACES[0]),
            mark("a", sender_id="ann", trace=TRACES[1]),
            mark("c", sender_id="zoe", trace=TRACES[2]),
            *numbered(12, "ann"),
        ]
        recorded = store.record(marks, now=NOW, lease=0)
        [batch] = claim(store)
        assert (batch.id, batch.events) == (recorded.outbox_id, recorded.events)

    def test_the_oldest_come_first(self, store: SqlStore) -> None:
        """At most so many at once, and each only once while its new lease lasts."""
        ids = [put_out(store, number) for number in range(5)]
        assert [batch.id for batch in claim(store, limit=2)] == ids[:2]
        assert [batch.id for batch in claim(store, limit=2)] == ids[2:4]
        assert [batch.id for batch in claim(store, limit=2)] == ids[4:]
        assert claim(store, limit=2) == []

    def test_rows_under_lease_in_between_stay(self, store: SqlStore) -> None:
        """A claim takes what has run out, not all that lies between."""
        first, leased, third = put_out(store, 1), put_out(store, 2, lease=30), put_out(store, 3)
        assert [batch.id for batch in claim(store)] == [first, third]
        let_leases_run_out(store)
        assert [batch.id for batch in claim(store, limit=10)] == [first, leased, third]

    def test_a_claim_runs_out_too(self, store: SqlStore) -> None:
        """When the sweeper dies, the next takes over; also of the same name."""
        outbox_id = put_out(store)
        claim(store, lease=30)
        assert claim(store) == []
        let_leases_run_out(store)
        assert [batch.id for batch in claim(store)] == [outbox_id]

    def test_events_trimmed_meanwhile_are_left_out(self, store: SqlStore) -> None:
        """The batch is still handed out, so that its row can be deleted."""
        outbox_id = put_out(store, size=2)
        store.trim(before=NOW + 1, limit=1)
        [batch] = claim(store)
        assert (batch.id, [event.seq for event in batch.events]) == (outbox_id, [2])
        store.trim(before=NOW + 1, limit=1)
        let_leases_run_out(store)
        [batch] = claim(store)
        assert (batch.id, batch.events) == (outbox_id, [])

    def test_an_erased_event_is_published_without_its_body(self, store: SqlStore) -> None:
        """It keeps its place, so no gateway sees a hole."""
        put_out(store)
        change(
            store,
            "UPDATE events SET msg_id = NULL, reader_id = NULL, conversation_id = NULL,"
            " device_id = NULL",
        )
        [batch] = claim(store)
        assert [(event.seq, event.msg_id) for event in batch.events] == [(1, "")]

    def test_an_owner_may_have_any_name(self, store: SqlStore) -> None:
        """A long host name is cut, and nobody else's claims are taken for ours."""
        put_out(store, 1)
        put_out(store, 2)
        first = store.claim(owner="n" * 300, lease=60, limit=1)
        second = store.claim(owner="n" * 300, lease=60, limit=1)
        assert [len(first), len(second)] == [1, 1]
        assert first != second

    def test_ids_come_through_the_outbox_as_they_are(self, store: SqlStore) -> None:
        """Quotes, backslashes and all the rest, in ids and traces."""
        low = "".join(map(chr, range(0x21, 0x50)))
        high = "".join(map(chr, range(0x50, 0x7F)))
        recorded = store.record(
            [mark(low, high, low, low + high, trace=low), mark(high, low, high, high, trace=high)],
            now=NOW,
            lease=0,
        )
        assert claim(store)[0].events == recorded.events

    def test_two_sweepers_never_take_the_same_batch(
        self, adapter: Adapter, store: SqlStore
    ) -> None:
        """However they meet, each batch is handed out once, and none is left."""
        ids = [put_out(store, number) for number in range(40)]
        start = threading.Barrier(4)

        def sweep(name: str) -> list[int]:
            with closing(adapter.open()) as sweeper:
                start.wait(PATIENCE)
                taken: list[int] = []
                # A sweeper that finds nothing may have lost a race; what is left shows below.
                while batches := sweeper.claim(owner=name, lease=60.0, limit=3):
                    taken += [batch.id for batch in batches]
                return taken

        with ThreadPoolExecutor(4) as sweepers:
            taken = list(sweepers.map(sweep, ["same", "same", "other", "another"]))
        taken.append([batch.id for batch in claim(store, limit=100)])

        assert sorted(outbox_id for each in taken for outbox_id in each) == ids


class TestReleaseAndDiscard:
    def test_a_released_batch_is_anybodys(self, store: SqlStore) -> None:
        """Its lease ends at once; others keep theirs."""
        first, second = put_out(store, 1, lease=30), put_out(store, 2, lease=30)
        store.release([first, second + 1000])
        assert [batch.id for batch in claim(store)] == [first]
        assert store.outbox().rows == 2

    def test_a_discarded_batch_is_gone(self, store: SqlStore) -> None:
        """Only those named; their events stay in the streams."""
        first, second = put_out(store, 1), put_out(store, 2)
        store.discard([first, first, second + 1000])
        assert [batch.id for batch in claim(store)] == [second]
        assert counts(store)["events"] == 2

    def test_no_ids_are_no_work(self, store: SqlStore) -> None:
        """Nothing is released or deleted by an empty list."""
        put_out(store, lease=30)
        store.discard([])
        store.release([])
        assert (store.outbox().rows, claim(store)) == (1, [])


class TestState:
    def test_an_empty_outbox_has_no_age(self, store: SqlStore) -> None:
        """No rows, 0 seconds."""
        assert store.outbox() == OutboxState(0, 0.0)

    def test_the_age_is_that_of_the_oldest_row(self, store: SqlStore) -> None:
        """In seconds, by the database's clock, whatever the marks' own time."""
        oldest = put_out(store, 1)
        put_out(store, 2)
        change(store, f"UPDATE outbox SET created = created - 90000 WHERE id = {oldest}")
        state = store.outbox()
        assert state.rows == 2
        assert 90.0 <= state.oldest < 120.0

    def test_a_clock_set_back_makes_no_negative_age(self, store: SqlStore) -> None:
        """An age is never below 0."""
        put_out(store)
        change(store, "UPDATE outbox SET created = created + 90000")
        assert store.outbox() == OutboxState(1, 0.0)
