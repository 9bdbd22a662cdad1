"""Where there is no bus."""

from __future__ import annotations

from seenby.bus.absent import NoFeed


async def test_it_brings_nothing_and_says_so() -> None:
    """Whoever asks is told to look in the database; nothing fails, nothing waits."""
    feed = NoFeed()
    feed.start(epoch="e1", wanted={"ann"}, deliver=lambda _: None)
    feed.set_epoch("e2")
    assert feed.partitions_of("ann") == frozenset()
    await feed.join(0)
    feed.leave(0)
    assert not feed.healthy
    await feed.close()
