"""What the port of the bus promises, shown for every adapter: in-process, and a real Kafka."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from seenby.bus.kafka import KafkaFeed, KafkaPublisher
from seenby.bus.memory import PARTITION, MemoryBus
from seenby.bus.partitions import partition_of
from seenby.errors import BusUnavailable
from seenby.model import Event, Kind
from tests.servers.wait import PATIENCE
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sized

    from seenby.bus.base import Feed, FeedMetrics, Publisher
    from tests.servers.kafka import Kafka

PARTITIONS = 4
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT = 1_704_067_200_123


def create_topics(kafka: Kafka, topic: str, partitions: int = PARTITIONS) -> None:
    """The topic of receipts, and that of updates beside it."""
    for name in (topic, f"{topic}_updates"):
        kafka.create_topic(name, partitions)


def event(sender_id: str, seq: int, msg_id: str = "") -> Event:
    """An event with something in every field."""
    return Event(
        sender_id, seq, msg_id or f"m{seq}", "reader", "conv", AT + seq, AT + seq, "phone", TRACE
    )


def update(kind: Kind, user_id: str, seq: int) -> Event:
    """An event of any kind, with something in every field that it has."""
    receipt = event(user_id, seq)
    if kind == Kind.RECEIPT:
        return receipt
    if kind == Kind.COUNT:
        return replace(receipt, kind=kind, reader_id="", device_id="", count=5, of=10)
    if kind == Kind.WITHDRAWN:
        return replace(receipt, kind=kind, count=4, of=10)
    return replace(receipt, kind=kind, reader_id=user_id, count=3)


async def holds(things: Sized, count: int) -> None:
    """Return when there are so many things."""
    await eventually(lambda: len(things) >= count)


class Counted:
    """What a feed has counted."""

    def __init__(self) -> None:
        self.counts = {"ok": 0, "bad": 0, "lost": 0, "offline": 0}

    def consumed(self, status: str, records: int, /) -> None:
        """So many were read."""
        self.counts[status] += records

    def offline(self, records: int, /) -> None:
        """So many were for nobody here."""
        self.counts["offline"] += records

    def lag(self, records: int, /) -> None:
        """Not looked at here."""


class Here:
    """One gateway's end of the bus, and what it was given."""

    def __init__(
        self,
        feed: Feed,
        users: Collection[str],
        epoch: str,
        on_growth: Callable[[], None] | None = None,
    ) -> None:
        self.feed = feed
        self.users = set(users)
        self.got: list[Event] = []
        feed.start(epoch=epoch, wanted=self.users, deliver=self.got.extend, on_growth=on_growth)

    def seqs(self, user_id: str) -> list[int]:
        """What came for one user, in order."""
        return [event.seq for event in self.got if event.sender_id == user_id]

    async def join(self, *user_ids: str) -> None:
        """Join the partitions of users."""
        for user_id in user_ids:
            for partition in self.feed.partitions_of(user_id):
                await self.join_partition(partition)

    async def join_partition(self, partition: int) -> None:
        """Join one; a broker that is too busy to answer is asked again, as gateways do."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.feed.join(partition)
                except BusUnavailable:
                    await asyncio.sleep(0.05)


class Bus:
    """Makes publishers and feeds of one kind, and closes them."""

    def __init__(self, kafka: Kafka | None, topic: str) -> None:
        self.kafka = kafka
        self.topic = topic
        self.memory = MemoryBus()
        self.parts: list[Publisher | Feed] = []

    async def publisher(self) -> Publisher:
        """A publisher, ready."""
        made: Publisher = (
            self.memory.publisher()
            if self.kafka is None
            else KafkaPublisher(
                self.kafka.brokers, self.topic, updates_topic=f"{self.topic}_updates"
            )
        )
        self.parts.append(made)
        await eventually(lambda: made.healthy)
        return made

    async def here(
        self, *users: str, epoch: str = "e1", metrics: FeedMetrics | None = None
    ) -> Here:
        """A feed with some wanted users, ready to join."""
        feed: Feed = (
            self.memory.feed(metrics)
            if self.kafka is None
            else KafkaFeed(
                self.kafka.brokers,
                self.topic,
                "group",
                f"n{len(self.parts)}",
                updates_topic=f"{self.topic}_updates",
                metrics=metrics,
            )
        )
        made = Here(feed, users, epoch)
        self.parts.append(feed)
        await eventually(lambda: feed.healthy and feed.partitions_of("anyone"))
        return made

    async def settled(self, here: Here, user_id: str) -> None:
        """Return when a leave() for this user has been carried out."""
        if self.kafka is not None:
            # What is asked of a feed is done in turn.
            await here.join_partition((partition_of(user_id, PARTITIONS) + 1) % PARTITIONS)


@pytest.fixture(params=["memory", "kafka"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """Each adapter in turn."""
    kafka: Kafka | None = None
    topic = ""
    if request.param == "kafka":
        kafka = request.getfixturevalue("kafka_server")
        topic = kafka.topic()
        create_topics(kafka, topic)
    made = Bus(kafka, topic)
    yield made
    for part in made.parts:
        await part.close()


async def test_an_event_arrives_as_it_was_published(bus: Bus) -> None:
    """Every field, the milliseconds and the trace id included."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    sent = event("ann", 7)
    await publisher.publish([sent], epoch="e1")
    await eventually(lambda: here.got)
    assert here.got == [sent]


async def test_every_kind_of_event_arrives_as_it_was_published(bus: Bus) -> None:
    """Whichever way it takes: counts, names and whose stream it is are the same on both sides."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    sent = [
        event("ann", 1),
        replace(event("ann", 2), count=1, of=9),
        *(update(kind, "ann", 3 + kind) for kind in Kind if kind != Kind.RECEIPT),
    ]
    await publisher.publish(sent, epoch="e1")
    await holds(here.got, len(sent))
    assert sorted(here.got, key=lambda event: event.seq) == sent


async def test_an_update_of_another_epoch_has_no_seq(bus: Bus) -> None:
    """Kinds differ in what they tell, not in how far they are believed."""
    publisher, here = await bus.publisher(), await bus.here("ann", epoch="e1")
    await here.join("ann")
    await publisher.publish([update(Kind.COUNT, "ann", 5)], epoch="e0")
    await publisher.publish([update(Kind.COUNT, "ann", 6)], epoch="e1")
    await holds(here.got, 2)
    assert here.seqs("ann") == [0, 6]


async def test_a_join_is_for_every_kind_and_a_leave_too(bus: Bus) -> None:
    """Whoever is connected is told all of it, and who is not costs nothing."""
    publisher, here = await bus.publisher(), await bus.here("ann")

    async def publish(seq: int) -> None:
        events = [update(Kind.READ_SELF, "ann", seq), event("ann", seq + 1)]
        await publisher.publish(events, epoch="e1")

    await publish(1)
    await here.join("ann")
    await publish(3)
    await holds(here.got, 2)
    for partition in here.feed.partitions_of("ann"):
        here.feed.leave(partition)
    await bus.settled(here, "ann")
    await publish(5)
    await here.join("ann")
    await publish(7)
    await holds(here.got, 4)
    assert sorted(here.seqs("ann")) == [3, 4, 7, 8]


async def test_a_senders_events_keep_their_order(bus: Bus) -> None:
    """Also when nobody waits for the acknowledgement of one batch before the next."""
    publisher, here = await bus.publisher(), await bus.here("ann", "bob", "cid")
    await here.join("ann", "bob", "cid")
    batches = [
        [event(user, seq) for seq in range(first, first + 10) for user in ("ann", "bob", "cid")]
        for first in range(1, 401, 10)
    ]
    await asyncio.gather(*(publisher.publish(batch, epoch="e1") for batch in batches))
    await eventually(lambda: len(here.got) == 1200)
    for user in ("ann", "bob", "cid"):
        assert here.seqs(user) == list(range(1, 401))


async def test_nothing_arrives_before_the_join(bus: Bus) -> None:
    """What was published earlier is the store's to tell."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await publisher.publish([event("ann", 1)], epoch="e1")
    await here.join("ann")
    await publisher.publish([event("ann", 2)], epoch="e1")
    await eventually(lambda: here.got)
    assert here.seqs("ann") == [2]


async def test_everything_from_the_join_on_arrives(bus: Bus) -> None:
    """Joined while events flow: no event published after join() has returned is missing."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    sent, stop = 0, asyncio.Event()

    async def flow() -> None:
        nonlocal sent
        while not stop.is_set():
            await publisher.publish([event("ann", sent + 1)], epoch="e1")
            sent += 1
            await asyncio.sleep(0)

    flowing = asyncio.create_task(flow())
    await eventually(lambda: sent > 20)
    await here.join("ann")
    joined_at = sent
    await eventually(lambda: sent > joined_at + 50)
    stop.set()
    await flowing
    await eventually(lambda: here.got and here.got[-1].seq == sent)
    seqs = here.seqs("ann")
    # One that was on its way when join() returned may be among them.
    assert seqs[0] <= joined_at + 2
    assert seqs == list(range(seqs[0], sent + 1))


async def test_joining_twice_delivers_once(bus: Bus) -> None:
    """A join that was carried out already changes nothing."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann", "ann")
    await publisher.publish([event("ann", 1)], epoch="e1")
    await publisher.publish([event("ann", 2)], epoch="e1")
    await eventually(lambda: len(here.got) >= 2)
    assert here.seqs("ann") == [1, 2]


async def test_a_partition_that_was_left_is_not_read(bus: Bus) -> None:
    """Joined again, it goes on from then; what was between is the store's to tell."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    for partition in here.feed.partitions_of("ann"):
        here.feed.leave(partition)
    await bus.settled(here, "ann")
    await publisher.publish([event("ann", 1)], epoch="e1")
    await here.join("ann")
    await publisher.publish([event("ann", 2)], epoch="e1")
    await eventually(lambda: here.got)
    assert here.seqs("ann") == [2]


async def test_leaving_what_was_never_joined_does_nothing(bus: Bus) -> None:
    """The gateway need not keep book for the feed."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    for partition in (PARTITION, 3, 99):
        here.feed.leave(partition)
    await here.join("ann")
    await publisher.publish([event("ann", 1)], epoch="e1")
    await eventually(lambda: here.got)


async def test_a_partition_that_is_not_there_cannot_be_joined(bus: Bus) -> None:
    """And to try does no harm to the others."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    with pytest.raises(BusUnavailable, match="99"):
        await here.feed.join(99)
    assert here.feed.healthy
    await publisher.publish([event("ann", 1)], epoch="e1")
    await eventually(lambda: here.got)


async def test_only_wanted_users_are_delivered(bus: Bus) -> None:
    """Who is wanted is looked up for each event, so that users may come and go."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann", "bob")
    await publisher.publish([event("bob", 1), event("ann", 1)], epoch="e1")
    await eventually(lambda: here.got)
    here.users.add("bob")
    await publisher.publish([event("bob", 2), event("ann", 2)], epoch="e1")
    await eventually(lambda: len(here.got) == 3)
    assert (here.seqs("ann"), here.seqs("bob")) == ([1, 2], [2])


async def test_another_epoch_costs_the_seq(bus: Bus) -> None:
    """Such an event is delivered live and takes no part in the order."""
    publisher, here = await bus.publisher(), await bus.here("ann", epoch="e1")
    await here.join("ann")
    await publisher.publish([event("ann", 5)], epoch="e0")
    await publisher.publish([event("ann", 6)], epoch="e1")
    await eventually(lambda: len(here.got) == 2)
    here.feed.set_epoch("e2")
    await publisher.publish([event("ann", 7)], epoch="e1")
    await publisher.publish([event("ann", 8)], epoch="e2")
    await eventually(lambda: len(here.got) == 4)
    assert here.seqs("ann") == [0, 6, 0, 8]
    assert [event.msg_id for event in here.got] == ["m5", "m6", "m7", "m8"]


async def test_an_event_without_seq_arrives_with_seq_0(bus: Bus) -> None:
    """It is another producer's."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    await publisher.publish([event("ann", 0)], epoch="e1")
    await eventually(lambda: here.got)
    assert here.seqs("ann") == [0]


async def test_every_feed_gets_everything(bus: Bus) -> None:
    """Gateways do not share the events among them: a sender may be connected to several."""
    publisher = await bus.publisher()
    heres = [await bus.here("ann") for _ in range(3)]
    for here in heres:
        await here.join("ann")
    await publisher.publish([event("ann", seq) for seq in range(1, 51)], epoch="e1")
    for here in heres:
        await holds(here.got, 50)
        assert here.seqs("ann") == list(range(1, 51))


async def test_several_publishers_reach_one_feed(bus: Bus) -> None:
    """Two instances of the service may record for the same sender."""
    one, two, here = await bus.publisher(), await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    await one.publish([event("ann", 1)], epoch="e1")
    await two.publish([event("ann", 2)], epoch="e1")
    await one.publish([event("ann", 3)], epoch="e1")
    await eventually(lambda: len(here.got) == 3)
    assert here.seqs("ann") == [1, 2, 3]


async def test_an_erased_event_is_for_nobody(bus: Bus) -> None:
    """It keeps its place in the stream, and has nothing to tell."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    erased = Event("ann", 1, "", "", "", AT, AT)
    await publisher.publish([erased], epoch="e1")
    await publisher.publish([], epoch="e1")
    await publisher.publish([erased, event("ann", 2)], epoch="e1")
    await eventually(lambda: here.got)
    assert here.seqs("ann") == [2]


async def test_what_was_read_is_counted(bus: Bus) -> None:
    """By whether anybody here wanted it."""
    metrics = Counted()
    publisher, here = await bus.publisher(), await bus.here("ann", metrics=metrics)
    await here.join("ann", "bob")
    await publisher.publish([event("ann", 1), event("bob", 1), event("bob", 2)], epoch="e1")
    await eventually(lambda: metrics.counts["ok"] == 1 and metrics.counts["offline"] == 2)
    assert metrics.counts == {"ok": 1, "bad": 0, "lost": 0, "offline": 2}


async def test_a_failing_delivery_does_not_end_the_feed(bus: Bus) -> None:
    """What the gateway does with events is not the bus's trouble."""
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: troubles.append(what))
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")

    class Breaking(list[Event]):
        def extend(self, events: object) -> None:
            raise ValueError(events)

    good = here.got
    feed = here.feed
    feed._deliver = Breaking().extend  # type: ignore[attr-defined]
    for seq in range(1, 6):
        await publisher.publish([event("ann", seq)], epoch="e1")
        await holds(troubles, seq)
    feed._deliver = good.extend  # type: ignore[attr-defined]
    await publisher.publish([event("ann", 6)], epoch="e1")
    await eventually(lambda: here.got)
    assert here.seqs("ann") == [6]


async def test_a_closed_feed_delivers_nothing(bus: Bus) -> None:
    """Once close() has returned; it can be closed again, and joins nothing any more."""
    publisher, here, other = await bus.publisher(), await bus.here("ann"), await bus.here("ann")
    await here.join("ann")
    await other.join("ann")
    await publisher.publish([event("ann", 1)], epoch="e1")
    await here.feed.close()
    before = list(here.got)
    await publisher.publish([event("ann", 2)], epoch="e1")
    await eventually(lambda: len(other.got) == 2)
    assert here.got == before
    assert not here.feed.healthy
    with pytest.raises(BusUnavailable):
        await here.feed.join(PARTITION)
    here.feed.leave(PARTITION)
    await here.feed.close()


async def test_a_closed_publisher_takes_nothing(bus: Bus) -> None:
    """It says so at once, and is no longer healthy."""
    publisher = await bus.publisher()
    await publisher.close()
    assert not publisher.healthy
    with pytest.raises(BusUnavailable, match="closed"):
        await publisher.publish([event("ann", 1)], epoch="e1")
    await publisher.close()


async def test_close_lets_acknowledgements_arrive(bus: Bus) -> None:
    """Events handed over before the close are published, not dropped."""
    publisher, here = await bus.publisher(), await bus.here("ann")
    await here.join("ann")
    publishing = asyncio.create_task(publisher.publish([event("ann", 1)], epoch="e1"))
    await asyncio.sleep(0)
    await publisher.close()
    await publishing
    await eventually(lambda: here.got)
