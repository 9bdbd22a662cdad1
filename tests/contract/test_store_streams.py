"""Streams on every adapter of the store: heads, pages, trimming, the epoch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.model import Event
from seenby.store.base import Head, Page, Want
from tests.contract.store_adapters import ADAPTERS, NOW, change, mark, numbered, rows
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

MOST = 2**63 - 1


def fill(store: SqlStore, sender_id: str, ats: Sequence[int]) -> None:
    """One event per time, in this order."""
    for number, at in enumerate(ats, 1):
        store.record(numbered(1, sender_id, start=number), now=at, lease=None)


def page(store: SqlStore, user_id: str, after: int = 0, limit: int = 1000) -> Page:
    """One page of one stream."""
    [found] = store.pages([Want(user_id, after, limit)])
    return found


def somebody_waits(store: SqlStore) -> bool:
    """Whether a transaction on the MariaDB server waits for a lock."""
    [(_, waits)] = rows(store, "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
    return int(waits) > 0


def seqs(store: SqlStore, user_id: str, after: int = 0, limit: int = 1000) -> list[int]:
    """The seqs on one page."""
    return [event.seq for event in page(store, user_id, after, limit).events]


class TestHeads:
    def test_a_head_is_the_last_seq_and_its_time(self, store: SqlStore) -> None:
        """The time is that of the commit, in ms."""
        fill(store, "ann", [NOW, NOW + 1, NOW + 7])
        assert store.heads(["ann"]) == (store.epoch(), {"ann": Head(3, 0, NOW + 7)})

    def test_a_user_without_a_stream_stands_at_zero(self, store: SqlStore) -> None:
        """Unknown users are answered too, beside known ones."""
        fill(store, "ann", [NOW])
        _, heads = store.heads(["nobody", "ann", "ANN"])
        assert heads == {"nobody": Head(0, 0), "ann": Head(1, 0, NOW), "ANN": Head(0, 0)}

    def test_nobody_is_asked_for(self, store: SqlStore) -> None:
        """The epoch alone is an answer."""
        assert store.heads([]) == (store.epoch(), {})

    def test_a_user_may_be_asked_for_twice(self, store: SqlStore) -> None:
        """Once in the answer."""
        fill(store, "ann", [NOW])
        assert store.heads(["ann", "ann"])[1] == {"ann": Head(1, 0, NOW)}

    def test_thousands_of_users_are_one_question(self, store: SqlStore) -> None:
        """Anti-entropy asks for a thousand users at a time."""
        store.record([mark(f"m{n}", sender_id=f"s{n}") for n in range(500)], now=NOW, lease=None)
        _, heads = store.heads([f"s{n}" for n in range(3000)])
        assert len(heads) == 3000
        assert sum(head.head for head in heads.values()) == 500

    def test_the_time_of_a_trimmed_head_is_unknown(self, store: SqlStore) -> None:
        """The head stays when its event is gone."""
        fill(store, "ann", [NOW, NOW])
        store.trim(before=NOW + 1, limit=10)
        assert store.heads(["ann"])[1] == {"ann": Head(2, 2, 0)}


class TestPages:
    def test_a_page_begins_after_the_position(self, store: SqlStore) -> None:
        """Contiguous from the next seq, as long as asked for, with both ends of the stream."""
        fill(store, "ann", [NOW] * 5)
        found = page(store, "ann", after=1, limit=3)
        assert (found.head, found.floor) == (5, 0)
        assert [event.seq for event in found.events] == [2, 3, 4]

    @pytest.mark.parametrize(
        ("after", "limit", "found"),
        [
            (0, 5, [1, 2, 3, 4, 5]),
            (0, 1000, [1, 2, 3, 4, 5]),
            (0, 1, [1]),
            (0, 0, []),
            (4, 10, [5]),
            (5, 10, []),
            (6, 10, []),
            (MOST, 10, []),
            (0, 100_000, [1, 2, 3, 4, 5]),
        ],
    )
    def test_a_page_ends_where_it_must(
        self, store: SqlStore, after: int, limit: int, found: list[int]
    ) -> None:
        """At its limit or at the head; after the head there is nothing."""
        fill(store, "ann", [NOW] * 5)
        assert seqs(store, "ann", after, limit) == found

    def test_many_users_are_one_question(self, store: SqlStore) -> None:
        """One page per want, in their order; a user twice, an unknown one and an empty one too."""
        fill(store, "ann", [NOW] * 3)
        fill(store, "zoe", [NOW + 9] * 2)

        pages = store.pages(
            [
                Want("zoe", 1, 10),
                Want("nobody", 0, 10),
                Want("ann", 0, 2),
                Want("zoe", 2, 10),
                Want("ann", 2, 10),
            ]
        )

        assert [(each.head, [(e.sender_id, e.seq) for e in each.events]) for each in pages] == [
            (2, [("zoe", 2)]),
            (0, []),
            (3, [("ann", 1), ("ann", 2)]),
            (2, []),
            (3, [("ann", 3)]),
        ]

    def test_more_wants_than_ten_keep_their_order(self, store: SqlStore) -> None:
        """Places are numbers, not words: the tenth does not come after the first."""
        store.record([mark(f"m{n}", sender_id=f"s{n}") for n in range(25)], now=NOW, lease=None)
        pages = store.pages([Want(f"s{n}", 0, 10) for n in range(25)])
        assert [each.events[0].sender_id for each in pages] == [f"s{n}" for n in range(25)]

    def test_no_wants_are_no_pages(self, store: SqlStore) -> None:
        """An empty question has an empty answer."""
        assert store.pages([]) == []

    def test_an_erased_event_keeps_its_place(self, store: SqlStore) -> None:
        """Its body is gone; a page stays contiguous, and the head keeps its time."""
        fill(store, "ann", [NOW] * 3)
        change(
            store,
            "UPDATE events SET msg_id = NULL, reader_id = NULL, conversation_id = NULL,"
            " device_id = NULL WHERE user_id = 'ann' AND seq = 2",
        )
        events = page(store, "ann").events
        assert [event.seq for event in events] == [1, 2, 3]
        assert events[1] == Event("ann", 2, "", "", "", NOW, NOW)


class TestTrim:
    def test_old_events_go_and_the_floor_rises(self, store: SqlStore) -> None:
        """Committed before the time given; the head stays, and other streams with it."""
        fill(store, "ann", [NOW, NOW + 1, NOW + 2, NOW + 3])
        fill(store, "zoe", [NOW + 2])

        assert store.trim(before=NOW + 2, limit=100) == 2

        _, heads = store.heads(["ann", "zoe"])
        assert heads == {"ann": Head(4, 2, NOW + 3), "zoe": Head(1, 0, NOW + 2)}
        assert rows(store, "SELECT user_id, seq FROM events ORDER BY user_id, seq") == [
            ("ann", 3),
            ("ann", 4),
            ("zoe", 1),
        ]
        assert store.trim(before=NOW + 2, limit=100) == 0

    def test_a_page_behind_the_floor_starts_above_it(self, store: SqlStore) -> None:
        """And says so: its floor is above the position. Its limit is still kept."""
        fill(store, "ann", [NOW, NOW, NOW + 5, NOW + 5, NOW + 5])
        store.trim(before=NOW + 1, limit=100)

        behind = page(store, "ann", after=1, limit=2)

        assert (behind.floor, [event.seq for event in behind.events]) == (2, [3, 4])
        assert seqs(store, "ann", after=2) == [3, 4, 5]

    def test_nothing_old_is_nothing_to_do(self, store: SqlStore) -> None:
        """At the time itself an event is not yet old."""
        fill(store, "ann", [NOW])
        assert store.trim(before=NOW, limit=10) == 0
        assert store.trim(before=0, limit=10) == 0
        assert store.trim(before=NOW + 1, limit=0) == 0

    def test_a_limit_makes_pieces(self, store: SqlStore) -> None:
        """At most so many at once, until all are gone; every step leaves a prefix missing."""
        fill(store, "ann", [NOW] * 5)
        fill(store, "zoe", [NOW] * 4)
        gone = []
        while piece := store.trim(before=NOW + 1, limit=2):
            gone.append(piece)
            for user_id in ("ann", "zoe"):
                found = page(store, user_id)
                assert [e.seq for e in found.events] == list(range(found.floor + 1, found.head + 1))
        assert max(gone) <= 2
        assert sum(gone) == 9

    def test_only_a_prefix_goes(self, store: SqlStore) -> None:
        """An event with an older time behind a newer one (clocks differ) stays until that goes."""
        fill(store, "ann", [NOW, NOW + 9, NOW, NOW])
        assert store.trim(before=NOW + 5, limit=100) == 1
        assert seqs(store, "ann") == [2, 3, 4]
        assert store.trim(before=NOW + 10, limit=100) == 3
        assert store.heads(["ann"])[1] == {"ann": Head(4, 4, 0)}

    def test_a_stream_that_must_wait_does_not_hold_up_the_others(self, store: SqlStore) -> None:
        """However many old events stand behind one from a clock that ran ahead."""
        fill(store, "ann", [NOW + 10**12, *[NOW] * 7])
        fill(store, "bea", [NOW + 1] * 3)
        fill(store, "zoe", [NOW + 1] * 2)
        assert [store.trim(before=NOW + 5, limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert seqs(store, "ann") == list(range(1, 9))
        assert (seqs(store, "bea"), seqs(store, "zoe")) == ([], [])

    def test_a_stream_goes_on_after_its_last_event_is_trimmed(self, store: SqlStore) -> None:
        """Seqs are never given twice."""
        fill(store, "ann", [NOW, NOW])
        store.trim(before=NOW + 1, limit=10)
        recorded = store.record([mark("next")], now=NOW + 2, lease=None)
        assert [event.seq for event in recorded.events] == [3]
        found = page(store, "ann", after=0)
        assert (found.head, found.floor, [e.seq for e in found.events]) == (3, 2, [3])

    def test_receipts_outlive_their_events(self, store: SqlStore) -> None:
        """A repeat of a mark whose event is gone answers the first receipt."""
        [first] = store.record([mark()], now=NOW, lease=None).outcomes
        store.trim(before=NOW + 1, limit=10)
        again = store.record([mark()], now=NOW + 2, lease=None)
        assert (again.outcomes, again.events) == ([first], [])

    @pytest.mark.parametrize(
        "adapter", [name for name in ADAPTERS if name != "sqlite"], indirect=True
    )
    def test_an_event_of_this_moment_is_never_trimmed(
        self, adapter: Adapter, store: SqlStore
    ) -> None:
        """Not even one that is committed while the trim waits for the lock on its stream."""
        for user_id in ("ann", "bea", "zoe"):
            fill(store, user_id, [NOW] * 3)
        with closing(adapter.open()) as marking, ThreadPoolExecutor(1) as trimming:
            change(marking, "START TRANSACTION")
            change(marking, "UPDATE streams SET head = 4 WHERE user_id = 'zoe'")
            change(marking, f"INSERT INTO events (user_id, seq, at) VALUES ('zoe', 4, {NOW + 1})")
            trimmed = trimming.submit(store.trim, before=NOW + 1, limit=100)
            wait_until("the trim waits for the stream", lambda: somebody_waits(marking))
            change(marking, "COMMIT")
            assert trimmed.result(PATIENCE) == 9
            assert {user: seqs(marking, user) for user in ("ann", "bea", "zoe")} == {
                "ann": [],
                "bea": [],
                "zoe": [4],
            }

    @pytest.mark.parametrize(
        "adapter", [name for name in ADAPTERS if name != "sqlite"], indirect=True
    )
    def test_a_floor_is_never_lowered(self, adapter: Adapter, store: SqlStore) -> None:
        """Who waits while another trims the same stream goes on from the other's floor."""
        fill(store, "ann", [NOW] * 6)
        with closing(adapter.open()) as first, ThreadPoolExecutor(1) as trimming:
            change(first, "START TRANSACTION")
            change(first, "UPDATE streams SET floor = 5 WHERE user_id = 'ann'")
            change(first, "DELETE FROM events WHERE user_id = 'ann' AND seq <= 5")
            trimmed = trimming.submit(store.trim, before=NOW + 1, limit=3)
            wait_until("the second waits for the stream", lambda: somebody_waits(first))
            change(first, "COMMIT")
            assert trimmed.result(PATIENCE) == 1
            assert first.heads(["ann"])[1] == {"ann": Head(6, 6)}


class TestEpoch:
    def test_an_epoch_comes_with_the_database(self, store: SqlStore) -> None:
        """A random word, the same each time it is asked for."""
        assert len(store.epoch()) == 16
        assert store.epoch() == store.epoch()

    def test_a_new_epoch_is_in_force_at_once(self, adapter: Adapter, store: SqlStore) -> None:
        """Everywhere, and in everything that names it; heads and events stay."""
        fill(store, "ann", [NOW])
        old = store.epoch()
        with closing(adapter.open()) as other:
            assert other.epoch() == old
            new = other.new_epoch()
            assert new not in {old, other.new_epoch()}
            new = other.epoch()
        assert store.epoch() == new
        assert store.heads(["ann"]) == (new, {"ann": Head(1, 0, NOW)})
        recorded = store.record([mark("next")], now=NOW, lease=None)
        assert (recorded.epoch, recorded.events[0].seq) == (new, 2)


class TestTheDatabaseItself:
    def test_it_answers(self, store: SqlStore) -> None:
        """A ping returns when the database can be asked."""
        store.ping()

    def test_it_keeps_what_it_is_told(self, store: SqlStore) -> None:
        """The servers of the tests, and SQLite as it is set up here, flush every commit."""
        assert store.durability_warnings() == []
