"""Kafka stops, is killed, or hangs: what the bus says of it, for how long, and how it goes on.

The limits are far above what it takes on a machine that has time, and below what it would take if
nobody had seen to it: a minute, or for ever. The broker is started from the main thread, whose loop
stands still meanwhile: it ends with the thread that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from seenby.bus import kafka_publisher
from seenby.bus.kafka import KafkaFeed, KafkaPublisher
from seenby.bus.partitions import partition_of
from seenby.errors import BusUnavailable
from tests.contract.test_bus import Here, create_topics, event, holds
from tests.faults.kafka_link import Link
from tests.servers.kafka import Kafka
from tests.servers.ports import free_port
from tests.servers.wait import PATIENCE
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PARTITIONS = 4

MESSAGE_TIMEOUT = 4.0
"""Shorter than in service, so that the tests are: more than a broker needs to be noticed."""

NOTICED_WITHIN = 30.0
"""Seconds until a broker that hangs is known to be away: the feed asks every 3 s, and waits 2."""

BACK_WITHIN = 45.0
"""Seconds until all is well again once the broker answers: one or two, if there is a core free."""

CLOSED_WITHIN = 30.0
"""Seconds that an end takes: it waits 3 s for the feed, and in these tests 1 for the publisher."""


class Node:
    """A publisher and a feed with one user, as a node has them."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.publisher = KafkaPublisher(brokers, topic, updates_topic=f"{topic}_updates")
        self.feed = KafkaFeed(brokers, topic, "group", "node", updates_topic=f"{topic}_updates")
        self.here = Here(self.feed, ["ann"], "e1")
        self.seq = 0
        self.acknowledged: list[int] = []

    @property
    def healthy(self) -> bool:
        """Both say that Kafka is there."""
        return self.publisher.healthy and self.feed.healthy

    @property
    def unhealthy(self) -> bool:
        """Both say that Kafka is away."""
        return not (self.publisher.healthy or self.feed.healthy)

    async def publish(self) -> None:
        """Publish one more event."""
        self.seq += 1
        seq = self.seq
        await self.publisher.publish([event("ann", seq)], epoch="e1")
        self.acknowledged.append(seq)

    async def flows(self) -> None:
        """Return when something published now has arrived."""
        async with asyncio.timeout(PATIENCE):
            acknowledged = len(self.acknowledged)
            while len(self.acknowledged) == acknowledged:
                # A broker that has just started may be busy: the relay, too, tries again.
                with contextlib.suppress(BusUnavailable):
                    await self.publish()
        await eventually(lambda: self.acknowledged[-1] in self.here.seqs("ann"))

    @property
    def threads_alive(self) -> bool:
        """Whether every thread is still there."""
        return all(thread.is_alive() for thread in (self.publisher._thread, *self.feed._threads))

    async def close(self) -> None:
        """End both."""
        await self.publisher.close()
        await self.feed.close()


@contextlib.asynccontextmanager
async def started(brokers: str, topic: str) -> AsyncIterator[Node]:
    """A node, and its end."""
    node = Node(brokers, topic)
    try:
        yield node
    finally:
        await node.close()


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Fails when the block took longer."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@pytest.mark.parametrize(
    ("down", "up"),
    [(Kafka.stop, Kafka.start), (Kafka.kill, Kafka.start), (Kafka.pause, Kafka.resume)],
    ids=["stop", "kill", "pause"],
)
async def test_a_broker_goes_and_comes_back(
    down: Callable[[Kafka], None],
    up: Callable[[Kafka], None],
    restartable_kafka: Kafka,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Noticed within seconds, also when it hangs; every call ends; all goes on by itself."""
    monkeypatch.setattr(kafka_publisher, "MESSAGE_TIMEOUT", MESSAGE_TIMEOUT)
    kafka = restartable_kafka
    create_topics(kafka, topic)
    async with started(kafka.brokers, topic) as node:
        await eventually(lambda: node.healthy and node.feed.partitions_of("ann"))
        await node.here.join("ann")
        await node.flows()

        down(kafka)
        async with within(MESSAGE_TIMEOUT + NOTICED_WITHIN):
            publishing = asyncio.create_task(node.publish())
            async with within(NOTICED_WITHIN):
                await eventually(lambda: node.unhealthy)
            other = (partition_of("ann", PARTITIONS) + 1) % PARTITIONS
            async with within(NOTICED_WITHIN):
                with pytest.raises(BusUnavailable, match="not there"):
                    await node.feed.join(other)
            with pytest.raises(BusUnavailable, match="did not acknowledge"):
                await publishing
        assert node.unhealthy
        assert node.threads_alive

        up(kafka)
        async with within(BACK_WITHIN):
            await eventually(lambda: node.healthy)
            await node.flows()
            await node.here.join_partition(other)
        assert node.threads_alive
        # The second was lost or came late; what was acknowledged came, and none came twice.
        seqs = node.here.seqs("ann")
        assert 2 not in node.acknowledged
        assert [seq for seq in seqs if seq in node.acknowledged] == node.acknowledged
        assert len(set(seqs)) == len(seqs)


async def test_a_broker_that_hangs_holds_up_no_end(
    restartable_kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed before anybody noticed, with a commit to do and a record without acknowledgement."""
    monkeypatch.setattr(kafka_publisher, "DRAIN_WITHIN", 1.0)
    create_topics(restartable_kafka, topic)
    async with started(restartable_kafka.brokers, topic) as node:
        await eventually(lambda: node.healthy and node.feed.partitions_of("ann"))
        await node.here.join("ann")
        await node.flows()
        restartable_kafka.pause()
        publishing = asyncio.create_task(node.publish())
        joining = asyncio.create_task(node.feed.join(0))
        await asyncio.sleep(0)
        async with within(CLOSED_WITHIN):
            await node.close()
        # The close ends what waits, one way or the other.
        with pytest.raises(BusUnavailable):
            await publishing
        with pytest.raises(BusUnavailable):
            await joining


async def test_a_start_without_kafka(restartable_kafka: Kafka, topic: str) -> None:
    """Everything starts, says that Kafka is away, and begins once it is there."""
    create_topics(restartable_kafka, topic)
    restartable_kafka.stop()
    async with started(restartable_kafka.brokers, topic) as node:
        async with within(NOTICED_WITHIN):
            with pytest.raises(BusUnavailable, match="not there"):
                await node.feed.join(0)
        assert node.unhealthy
        assert node.feed.partitions_of("ann") == frozenset()
        restartable_kafka.start()
        async with within(BACK_WITHIN):
            await eventually(lambda: node.healthy and node.feed.partitions_of("ann"))
            await node.here.join("ann")
            await node.flows()


async def test_an_end_without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody ever answered, closing waits for no acknowledgement."""
    monkeypatch.setattr(kafka_publisher, "DRAIN_WITHIN", 2 * CLOSED_WITHIN)
    async with started(f"127.0.0.1:{free_port()}", "any") as node:
        publishing = asyncio.create_task(node.publish())
        await asyncio.sleep(0)
        async with within(CLOSED_WITHIN):
            await node.close()
        with pytest.raises(BusUnavailable):
            await publishing


async def test_records_of_an_outage_arrive_late_not_never(
    restartable_kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short hang, over before a record's time is: the same publish() succeeds, in order."""
    monkeypatch.setattr(kafka_publisher, "MESSAGE_TIMEOUT", PATIENCE)
    create_topics(restartable_kafka, topic)
    async with started(restartable_kafka.brokers, topic) as node:
        await eventually(lambda: node.healthy and node.feed.partitions_of("ann"))
        await node.here.join("ann")
        await node.flows()
        restartable_kafka.pause()
        waiting = [asyncio.create_task(node.publish()) for _ in range(20)]
        await eventually(lambda: not node.publisher.healthy)
        restartable_kafka.resume()
        await asyncio.gather(*waiting)
        await holds(node.here.got, 21)
        assert node.here.seqs("ann") == list(range(1, 22))
        await eventually(lambda: node.healthy)


async def test_an_acknowledgement_without_a_place_is_none(
    restartable_kafka: Kafka, topic: str
) -> None:
    """The library takes a record for published that the broker refused, if the next one was not.

    A broker takes any first record of a producer that it does not know, so the next one says
    nothing of those before it.
    """
    create_topics(restartable_kafka, topic, partitions=1)
    with Link(restartable_kafka.brokers) as link:
        async with started(link.broker, topic) as node:
            await eventually(lambda: node.healthy and node.feed.partitions_of("ann"))
            await node.here.join("ann")

            link.refuse(topic)
            first = asyncio.create_task(node.publish())
            await eventually(link.refused.is_set)
            await node.publish()
            with pytest.raises(BusUnavailable, match="1 of 1 records has no place"):
                await first
            assert node.publisher.healthy
            await holds(node.here.got, 1)
            assert node.here.seqs("ann") == [2]

            await node.publisher.publish([event("ann", 1)], epoch="e1")
            await holds(node.here.got, 2)
            assert node.here.seqs("ann") == [2, 1]
