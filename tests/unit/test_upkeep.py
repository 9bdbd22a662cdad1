"""What is too old goes, and what was begun is finished, whatever happens in between."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from seenby import upkeep as module
from seenby.errors import StoreRefused
from seenby.model import Mark, Position
from seenby.store.base import Ack, Want
from seenby.store.threads import StoreThreads
from seenby.testing import FailingStore, ManualClock
from seenby.upkeep import DAY_MS, Upkeep
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from seenby.store.sql import SqlStore

NOW_MS = 1_704_067_200_000


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces follow each other at once, and so do the looks."""
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "EVERY", 0.0)
    monkeypatch.setattr(module, "BEGUN_EVERY", 0.0)
    monkeypatch.setattr(module, "PIECE", 3)


class Begun:
    """Leavings, erasures and old receipts: how many pieces are left of each.

    It fails when the store does.
    """

    def __init__(self, store: FailingStore) -> None:
        self._store = store
        self.leavings = 0
        self.people: dict[str, int] = {}
        self.failing: set[str] = set()
        self.old = 0
        self.before: set[int] = set()
        self.lost = 0

    def forget(self, *, unseen_ms: int) -> int:
        """Forget processes that have gone without a word."""
        assert unseen_ms == DAY_MS
        self._store.ping()
        gone, self.lost = self.lost, 0
        return gone

    def settle(self) -> bool:
        """Settle a piece."""
        self._store.ping()
        settled = self.leavings > 0
        self.leavings -= settled
        return settled

    def asked(self) -> list[str]:
        """Those who are to be erased."""
        self._store.ping()
        return list(self.people)

    def step(self, user_id: str, *, limit: int) -> bool:
        """Do one piece of a person."""
        assert limit == module.PIECE
        self._store.ping()
        if user_id in self.failing:
            raise StoreRefused("this person cannot be erased")
        self.people[user_id] -= 1
        if self.people[user_id]:
            return False
        del self.people[user_id]
        return True

    def expire(self, *, before: int, limit: int) -> int:
        """Delete some of the old receipts."""
        self._store.ping()
        self.before.add(before)
        gone = min(limit, self.old)
        self.old -= gone
        return gone


class KeptStore(FailingStore):
    """A store in memory of which some was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = Begun(self)
        self.conversations = self.erasing = self.retention = self.inspecting = self.begun


@asynccontextmanager
async def upkeep_of(store: KeptStore, receipt_days: int | None = None) -> AsyncIterator[Upkeep]:
    """An upkeep that keeps events for 30 days and devices for 90; closed with the block."""
    threads = StoreThreads(store)
    upkeep = Upkeep(
        # All that upkeep asks of a store.
        cast("StoreThreads[SqlStore]", threads),
        event_days=30,
        device_days=90,
        receipt_days=receipt_days,
        clock=ManualClock(NOW_MS / 1000),
    )
    try:
        yield upkeep
    finally:
        await upkeep.close()
        await threads.close()


def record(store: FailingStore, number: int, at: int) -> None:
    """One event of user123's stream."""
    marks = [Mark(f"m{number}", "user456", "user123", "c1")]
    store.record(marks, now=at, lease=None)


def seqs(store: FailingStore) -> list[int]:
    """What is left of user123's stream."""
    [page] = store.pages([Want("user123", 0, 100)])
    return [event.seq for event in page.events]


async def test_events_and_devices_go_when_their_time_is_over() -> None:
    """To the millisecond, and not before."""
    store = KeptStore()
    record(store, 1, NOW_MS - 30 * DAY_MS - 1)
    record(store, 2, NOW_MS - 30 * DAY_MS)
    for device, days, more in (("old", 90, 1), ("kept", 90, 0)):
        ack = Ack("user123", device, Position(store.epoch(), 1))
        store.acknowledge([ack], now=NOW_MS - days * DAY_MS - more)
    async with upkeep_of(store) as upkeep:
        assert await upkeep.sweep() == (1, 1, 0)
        assert await upkeep.sweep() == (0, 0, 0)
    assert seqs(store) == [2]
    assert [device.device_id for device in store.devices("user123")] == ["kept"]


async def test_processes_that_are_gone_for_a_day_are_forgotten() -> None:
    """They are shown as lost for so long."""
    store = KeptStore()
    store.begun.lost = 2
    async with upkeep_of(store) as upkeep:
        await upkeep.sweep()
    assert store.begun.lost == 0


async def test_all_that_is_too_old_goes_however_much_it_is() -> None:
    """Piece by piece, so that marks get their turn in between."""
    store = KeptStore()
    for number in range(10):
        record(store, number, NOW_MS - 31 * DAY_MS)
    async with upkeep_of(store) as upkeep:
        assert await upkeep.sweep() == (10, 0, 0)
    assert seqs(store) == []


async def test_it_goes_on_by_itself() -> None:
    """What grows old later is found later."""
    store = KeptStore()
    async with upkeep_of(store) as upkeep:
        upkeep.start()
        for number in range(3):
            record(store, number, NOW_MS - 31 * DAY_MS)
            await eventually(lambda: seqs(store) == [])


async def test_a_store_that_is_away_is_waited_for() -> None:
    """The next look finds what this one could not."""
    store = KeptStore()
    async with upkeep_of(store) as upkeep:
        store.failing = True
        upkeep.start()
        await eventually(lambda: store.failures > 1)
        store.failing = False
        record(store, 1, NOW_MS - 31 * DAY_MS)
        await eventually(lambda: seqs(store) == [])


async def test_a_fault_of_ours_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the database would grow until somebody looks."""
    store = KeptStore()
    looked = 0

    def fault(**_: int) -> int:
        nonlocal looked
        looked += 1
        raise RuntimeError

    async with upkeep_of(store) as upkeep:
        with monkeypatch.context() as patched:
            patched.setattr(store, "trim", fault)
            upkeep.start()
            await eventually(lambda: looked > 1)
        record(store, 1, NOW_MS - 31 * DAY_MS)
        await eventually(lambda: seqs(store) == [])


async def test_receipts_stay_unless_an_operator_wants_them_to_go() -> None:
    """For ever by default; otherwise all that is older goes, piece by piece."""
    store = KeptStore()
    store.begun.old = 10
    async with upkeep_of(store) as upkeep:
        assert await upkeep.sweep() == (0, 0, 0)
    async with upkeep_of(store, receipt_days=365) as upkeep:
        assert await upkeep.sweep() == (0, 0, 10)
    assert store.begun.old == 0
    assert store.begun.before == {NOW_MS - 365 * DAY_MS}


async def test_what_was_begun_is_finished_by_itself() -> None:
    """Leavings and erasures that someone left half done, in pieces; again when there are more."""
    store = KeptStore()
    async with upkeep_of(store) as upkeep:
        upkeep.start()
        for _ in range(2):
            store.begun.people = {"user1": 3, "user2": 1}
            store.begun.leavings = 5
            await eventually(lambda: not store.begun.people and not store.begun.leavings)


async def test_one_who_cannot_be_erased_keeps_nobody_else_waiting() -> None:
    """The others are erased, and that one is tried again."""
    store = KeptStore()
    store.begun.people = {"first": 2, "second": 2, "third": 2}
    store.begun.failing = {"first", "second"}
    async with upkeep_of(store) as upkeep:
        upkeep.start()
        await eventually(lambda: list(store.begun.people) == ["first", "second"])
        store.begun.failing.clear()
        await eventually(lambda: not store.begun.people)


async def test_what_is_begun_does_not_wait_for_what_is_old() -> None:
    """A long sweep and an erasure take turns."""
    store = KeptStore()
    store.begun.people = {"user1": 3}
    async with upkeep_of(store, receipt_days=1) as upkeep:
        store.begun.old = 1_000_000_000
        upkeep.start()
        await eventually(lambda: not store.begun.people)
        assert store.begun.old > 0


async def test_it_ends_when_told_to() -> None:
    """Before it began, while it waits for the store, and twice."""
    store = KeptStore()
    async with upkeep_of(store) as upkeep:
        await upkeep.close()
        store.answering.clear()
        upkeep.start()
        await asyncio.sleep(0)
        await upkeep.close()
        await upkeep.close()
        store.answering.set()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("upkeep")]
