"""Which partitions are read: those of the users who are here, and no others for long."""

from __future__ import annotations

import asyncio

from seenby.gateway.partitions import JOIN_WITHIN, LINGER, Partitions
from seenby.testing import HandFeed


class Spread(HandFeed):
    """A feed whose users are in the partitions that their names begin with."""

    def partitions_of(self, user_id: str) -> frozenset[int]:
        """The first digit of the name; while grown, the second too."""
        return frozenset(int(digit) for digit in user_id if digit.isdigit())


async def test_a_partition_is_joined_for_its_first_user_and_left_after_its_last() -> None:
    """A minute later, so that a reconnect costs nothing."""
    feed = Spread()
    partitions = Partitions(feed)
    for user in ("a1", "b1", "c2"):
        partitions.enter(user)
    assert not partitions.complete
    await partitions.ready(["a1", "b1", "c2"])
    assert (feed.joined, partitions.complete) == ({1, 2}, True)
    partitions.leave("a1", 100.0)
    partitions.leave("c2", 100.0)
    partitions.tick(100.0 + LINGER - 1)
    assert feed.joined == {1, 2}
    partitions.tick(100.0 + LINGER)
    assert feed.joined == {1}


async def test_a_user_who_comes_back_in_time_keeps_the_partition() -> None:
    """The wait begins anew with the next last one."""
    feed = Spread()
    partitions = Partitions(feed)
    partitions.enter("a1")
    await partitions.ready(["a1"])
    partitions.leave("a1", 0.0)
    partitions.enter("b1")
    partitions.tick(LINGER)
    assert feed.joined == {1}
    partitions.leave("b1", LINGER)
    partitions.tick(2 * LINGER)
    assert feed.joined == set()


async def test_a_join_that_fails_is_tried_again() -> None:
    """On every tick; until then what is read is not complete."""
    feed = Spread()
    feed.failing = True
    partitions = Partitions(feed)
    partitions.enter("a1")
    await partitions.ready(["a1"])
    incomplete = partitions.complete
    feed.failing = False
    partitions.tick(0.0)
    await partitions.ready(["a1"])
    assert (incomplete, partitions.complete, feed.joined) == (False, True, {1})


async def test_a_join_that_hangs_is_not_waited_for_for_long() -> None:
    """Nor at all where the bus is known to be away."""
    feed = Spread()
    feed.answering.clear()
    partitions = Partitions(feed)
    partitions.enter("a1")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await partitions.ready(["a1"])
    assert loop.time() - began == JOIN_WITHIN
    feed.healthy = False
    began = loop.time()
    await partitions.ready(["a1"])
    assert loop.time() == began
    await partitions.close()


async def test_only_the_partitions_of_these_users_are_waited_for() -> None:
    """Those of others may take longer."""
    feed = Spread()
    partitions = Partitions(feed)
    partitions.enter("a1")
    await partitions.ready(["a1"])
    feed.answering.clear()
    partitions.enter("b2")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await partitions.ready(["a1"])
    assert loop.time() == began
    await partitions.close()


async def test_users_are_counted_anew_when_the_topic_has_grown() -> None:
    """New partitions are joined at once, old ones left a minute later."""
    feed = HandFeed([1])
    partitions = Partitions(feed)
    partitions.enter("a")
    partitions.enter("b")
    await partitions.ready(["a", "b"])
    feed.layout = frozenset([1, 5])
    partitions.recount(["a", "b"], 0.0)
    await partitions.ready(["a", "b"])
    assert feed.joined == {1, 5}
    feed.layout = frozenset([5])
    partitions.recount(["a", "b"], 10.0)
    partitions.leave("a", 20.0)
    partitions.tick(10.0 + LINGER)
    assert feed.joined == {5}
    partitions.leave("b", 100.0)
    partitions.tick(100.0 + LINGER)
    assert feed.joined == set()


async def test_a_partition_that_nobody_needs_any_more_when_it_is_joined_is_left() -> None:
    """However long the join took."""
    feed = Spread()
    feed.answering.clear()
    partitions = Partitions(feed)
    partitions.enter("a1")
    partitions.tick(0.0)
    await asyncio.sleep(0)
    partitions.leave("a1", 0.0)
    partitions.tick(LINGER)
    feed.answering.set()
    await asyncio.sleep(1)
    partitions.tick(2 * LINGER + 1)
    assert feed.joined == set()
