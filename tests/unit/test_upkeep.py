"""What is too old goes, in small pieces, again and again, whatever happens in between."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from seenby import upkeep as module
from seenby.model import Mark, Position
from seenby.store.base import Ack, Want
from seenby.store.threads import StoreThreads
from seenby.testing import FailingStore, ManualClock
from seenby.upkeep import DAY_MS, Upkeep
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW_MS = 1_704_067_200_000


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces follow each other at once, and so do the looks."""
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "EVERY", 0.0)
    monkeypatch.setattr(module, "PIECE", 3)


@asynccontextmanager
async def upkeep_of(store: FailingStore) -> AsyncIterator[Upkeep]:
    """An upkeep that keeps events for 30 days and devices for 90; closed with the block."""
    threads = StoreThreads(store)
    upkeep = Upkeep(threads, event_days=30, device_days=90, clock=ManualClock(NOW_MS / 1000))
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
    store = FailingStore()
    record(store, 1, NOW_MS - 30 * DAY_MS - 1)
    record(store, 2, NOW_MS - 30 * DAY_MS)
    for device, days, more in (("old", 90, 1), ("kept", 90, 0)):
        ack = Ack("user123", device, Position(store.epoch(), 1))
        store.acknowledge([ack], now=NOW_MS - days * DAY_MS - more)
    async with upkeep_of(store) as upkeep:
        assert await upkeep.sweep() == (1, 1)
        assert await upkeep.sweep() == (0, 0)
    assert seqs(store) == [2]
    assert [device.device_id for device in store.devices("user123")] == ["kept"]


async def test_all_that_is_too_old_goes_however_much_it_is() -> None:
    """Piece by piece, so that marks get their turn in between."""
    store = FailingStore()
    for number in range(10):
        record(store, number, NOW_MS - 31 * DAY_MS)
    async with upkeep_of(store) as upkeep:
        assert await upkeep.sweep() == (10, 0)
    assert seqs(store) == []


async def test_it_goes_on_by_itself() -> None:
    """What grows old later is found later."""
    store = FailingStore()
    async with upkeep_of(store) as upkeep:
        upkeep.start()
        for number in range(3):
            record(store, number, NOW_MS - 31 * DAY_MS)
            await eventually(lambda: seqs(store) == [])


async def test_a_store_that_is_away_is_waited_for() -> None:
    """The next look finds what this one could not."""
    store = FailingStore()
    async with upkeep_of(store) as upkeep:
        store.failing = True
        upkeep.start()
        await eventually(lambda: store.failures > 1)
        store.failing = False
        record(store, 1, NOW_MS - 31 * DAY_MS)
        await eventually(lambda: seqs(store) == [])


async def test_a_fault_of_ours_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the database would grow until somebody looks."""
    store = FailingStore()
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


async def test_it_ends_when_told_to() -> None:
    """Before it began, while it waits for the store, and twice."""
    store = FailingStore()
    async with upkeep_of(store) as upkeep:
        await upkeep.close()
        store.answering.clear()
        upkeep.start()
        await asyncio.sleep(0)
        await upkeep.close()
        await upkeep.close()
        store.answering.set()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "upkeep"]
