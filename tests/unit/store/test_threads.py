"""The store's threads: one writer, few readers, and an end that waits for what is under way."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, cast

import pytest

from seenby.errors import StoreUnavailable
from seenby.store.threads import StoreThreads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from seenby.store.base import Store


class Watched:
    """A store whose calls wait until they are let go, and which counts them."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.inside = 0
        self.most = 0
        self.done: list[str] = []
        self.closed_after: list[list[str]] = []
        self._changed = threading.Condition()

    def work(self, name: str) -> str:
        """Wait at the gate."""
        with self._changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._changed.notify_all()
        assert self.gate.wait(60)
        with self._changed:
            self.inside -= 1
            self.done.append(name)
        return name

    def wait_for(self, count: int) -> bool:
        """Wait until so many calls are at the gate."""
        with self._changed:
            return self._changed.wait_for(lambda: self.inside >= count, 60)

    def fail(self) -> None:
        """Fail as a store does."""
        raise StoreUnavailable("away")

    def close(self) -> None:
        """Note what was done before."""
        self.closed_after.append(sorted(self.done))


@pytest.fixture
def store() -> Watched:
    """The store under the threads."""
    return Watched()


@pytest.fixture
async def threads(store: Watched) -> AsyncIterator[StoreThreads[Store]]:
    """Its threads, with two readers."""
    made = StoreThreads(cast("Store", store), readers=2)
    yield made
    store.gate.set()
    await made.close()


async def until_inside(store: Watched, count: int) -> None:
    """Wait until so many calls are at the gate."""
    assert await asyncio.to_thread(store.wait_for, count)


async def test_writes_take_turns_in_their_order(
    store: Watched, threads: StoreThreads[Store]
) -> None:
    """One at a time, whoever calls."""
    calls = [asyncio.create_task(threads.write(store.work, f"{n}")) for n in range(5)]
    await until_inside(store, 1)
    store.gate.set()
    assert await asyncio.gather(*calls) == ["0", "1", "2", "3", "4"]
    assert (store.most, store.done) == (1, ["0", "1", "2", "3", "4"])


async def test_reads_do_not_wait_for_a_write(store: Watched, threads: StoreThreads[Store]) -> None:
    """They have threads of their own, as many as were asked for."""
    calls = [asyncio.create_task(threads.write(store.work, "w"))]
    calls += [asyncio.create_task(threads.read(store.work, f"r{n}")) for n in range(4)]
    await until_inside(store, 3)
    store.gate.set()
    await asyncio.gather(*calls)
    assert store.most == 3


async def test_the_loop_goes_on_meanwhile(store: Watched, threads: StoreThreads[Store]) -> None:
    """A call that blocks its thread blocks nothing else."""
    call = asyncio.create_task(threads.write(store.work, "w"))
    await until_inside(store, 1)
    assert not call.done()
    store.gate.set()
    assert await call == "w"


async def test_an_error_comes_back_to_the_caller(
    store: Watched, threads: StoreThreads[Store]
) -> None:
    """And the thread serves the next."""
    store.gate.set()
    for way in (threads.write, threads.read):
        with pytest.raises(StoreUnavailable, match="away"):
            await way(store.fail)
        assert await way(store.work, "next") == "next"


async def test_a_call_that_has_begun_runs_to_its_end(
    store: Watched, threads: StoreThreads[Store]
) -> None:
    """Though its caller was cancelled: no transaction is torn."""
    call = asyncio.create_task(threads.write(store.work, "begun"))
    await until_inside(store, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    store.gate.set()
    assert await threads.write(store.work, "next") == "next"
    assert store.done == ["begun", "next"]


async def test_closing_waits_for_calls_under_way(
    store: Watched, threads: StoreThreads[Store]
) -> None:
    """Those queued too; then the store is closed, and the loop goes on all the while."""
    calls = [
        asyncio.create_task(way(store.work, name))
        for way, name in ((threads.write, "a"), (threads.write, "b"), (threads.read, "c"))
    ]
    await until_inside(store, 2)
    closing = asyncio.create_task(threads.close())
    await asyncio.sleep(0)
    assert store.closed_after == []
    store.gate.set()
    await closing
    assert store.closed_after == [["a", "b", "c"]]
    await asyncio.gather(*calls)
