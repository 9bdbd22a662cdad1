"""The bus inside one process, where it differs from others; the port's rules are in contract/."""

from __future__ import annotations

import asyncio

import pytest

from seenby.bus.memory import PARTITION, MemoryBus
from seenby.errors import BusUnavailable
from seenby.model import Event
from tests.unit.eventually import all_waiting

EVENT = Event("ann", 1, "m1", "bob", "c1", 1_704_067_200_123, 1_704_067_200_123)


async def test_a_publisher_never_runs_what_it_delivers_to() -> None:
    """Delivery is the loop's next turn: a gateway's trouble is not the recorder's."""
    bus = MemoryBus()
    feed, publisher, got = bus.feed(), bus.publisher(), list[Event]()
    feed.start(epoch="e1", wanted={"ann"}, deliver=got.extend)
    await feed.join(PARTITION)
    await publisher.publish([EVENT], epoch="e1")
    assert got == []
    await all_waiting()
    assert got == [EVENT]


async def test_a_feed_closed_in_between_delivers_nothing() -> None:
    """Also not what was published before, and was on its way."""
    bus = MemoryBus()
    feed, publisher, got = bus.feed(), bus.publisher(), list[Event]()
    feed.start(epoch="e1", wanted={"ann"}, deliver=got.extend)
    await feed.join(PARTITION)
    await publisher.publish([EVENT], epoch="e1")
    await feed.close()
    await all_waiting()
    assert got == []
    assert bus.feeds == []


async def test_a_feed_that_was_never_started_is_not_there() -> None:
    """It is not healthy, joins nothing, and may be closed."""
    feed = MemoryBus().feed()
    assert not feed.healthy
    with pytest.raises(BusUnavailable):
        await feed.join(PARTITION)
    await feed.close()


async def test_everybody_is_in_the_one_partition() -> None:
    """Before and after the start; on_growth never has anything to say."""
    feed = MemoryBus().feed()
    assert feed.partitions_of("ann") == {PARTITION}
    grown: list[None] = []
    feed.start(epoch="e1", wanted=(), deliver=lambda _: None, on_growth=lambda: grown.append(None))
    await feed.join(PARTITION)
    await asyncio.sleep(0)
    assert feed.partitions_of("bob") == {PARTITION}
    assert grown == []


async def test_without_feeds_publishing_is_nothing() -> None:
    """An embedded service without a gateway's feed still answers its marks."""
    await MemoryBus().publisher().publish([EVENT], epoch="e1")
