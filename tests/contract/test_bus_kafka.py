"""The bus on a real Kafka: what is in the topic, and what a feed makes of what others put there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
import threading
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka._model import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from structlog.testing import capture_logs

from seenby.bus.kafka import KafkaFeed, KafkaPublisher
from seenby.bus.kafka_assignment import Place
from seenby.bus.kafka_feed import BATCH, IN_FLIGHT
from seenby.bus.partitions import partition_of
from seenby.errors import BusUnavailable
from seenby.events import encode, encode_update
from seenby.model import Event, Kind
from tests.contract.test_bus import TRACE, Counted, Here, create_topics, event, holds, update
from tests.servers.wait import PATIENCE, wait_until
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.servers.kafka import Kafka

PARTITIONS = 4
FOREIGN = {
    "msg_id": "m1",
    "sender_id": "ann",
    "reader_id": "bob",
    "conversation_id": "c1",
    "read_at": 1_704_067_200,
    "device_id": "phone",
}


@pytest.fixture
def made(kafka_server: Kafka, topic: str) -> str:
    """A topic that exists."""
    create_topics(kafka_server, topic)
    return topic


@contextlib.asynccontextmanager
async def publishing(brokers: str, topic: str) -> AsyncIterator[KafkaPublisher]:
    """A publisher, and its end."""
    publisher = KafkaPublisher(brokers, topic, updates_topic=f"{topic}_updates")
    try:
        yield publisher
    finally:
        await publisher.close()


@contextlib.asynccontextmanager
async def feeding(brokers: str, topic: str, *users: str, **options: Any) -> AsyncIterator[Here]:
    """A feed for some users of epoch e1, and its end."""
    feed = KafkaFeed(
        brokers,
        topic,
        "group",
        options.pop("node", "node"),
        updates_topic=f"{topic}_updates",
        **options,
    )
    here = Here(feed, users, "e1")
    try:
        yield here
    finally:
        await feed.close()


def put(brokers: str, topic: str, *records: tuple[str | None, bytes | None], **more: Any) -> None:
    """Another producer's records, acknowledged by the broker."""
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "fnv1a", "log_level": 0})
    for key, value in records:
        producer.produce(topic, value, key, **more)
    assert producer.flush(PATIENCE) == 0


def read(brokers: str, topic: str, count: int) -> list[Message]:
    """The first records of all partitions of a topic."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "log_level": 0})
    found: list[Message] = []
    try:
        partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])

        def more() -> bool:
            found.extend(consumer.consume(count - len(found), 0.2))
            return len(found) >= count

        wait_until(f"{topic} has {count} records", more)
    finally:
        consumer.close()
    return found


def text_of(headers: object) -> dict[str, str]:
    """Headers as words."""
    assert isinstance(headers, list)
    return {name: bytes(value).decode() for name, value in headers}


def test_partition_of_is_where_librdkafka_puts_a_key(kafka_server: Kafka, topic: str) -> None:
    """For 5,000 random keys of any length; else receipts would be late and nobody knew why."""
    kafka_server.create_topic(topic, 16)
    keys = [secrets.token_urlsafe(1 + number % 48)[:64] for number in range(5000)]
    landed: dict[str, int | None] = {}

    def note(error: KafkaError | None, record: Message) -> None:
        assert error is None
        landed[str(record.key() or b"", "utf-8")] = record.partition()

    producer = Producer(
        {"bootstrap.servers": kafka_server.brokers, "partitioner": "fnv1a", "log_level": 0}
    )
    for key in keys:
        producer.produce(topic, b"", key, on_delivery=note)
    assert producer.flush(PATIENCE) == 0
    assert landed == {key: partition_of(key, 16) for key in keys}


async def test_a_record_is_as_the_contract_says(kafka_brokers: str, made: str) -> None:
    """Section 2: value, key, partition, timestamp of the commit, epoch and trace context."""
    sent = Event("ann", 42, "m1", "bob", "c1", 1_704_067_200_987, 1_704_067_200_987, "d1", TRACE)
    async with publishing(kafka_brokers, made) as publisher:
        await publisher.publish([sent], epoch="e1")
    [record] = await asyncio.to_thread(read, kafka_brokers, made, 1)
    assert record.value() == (
        b'{"msg_id":"m1","sender_id":"ann","reader_id":"bob","conversation_id":"c1",'
        b'"read_at":1704067200,"device_id":"d1","seq":42}'
    )
    assert record.key() == b"ann"
    assert record.partition() == partition_of("ann", PARTITIONS)
    # 1: made by the producer, not stamped by the broker.
    assert record.timestamp() == (1, 1_704_067_200_987)
    headers = text_of(record.headers())
    assert headers.keys() == {"epoch", "traceparent"}
    assert headers["epoch"] == "e1"
    assert headers["traceparent"].split("-")[1] == TRACE


async def test_another_producers_record_is_delivered_live(kafka_brokers: str, made: str) -> None:
    """The original's own JSON, without seq, headers or milliseconds."""
    async with feeding(kafka_brokers, made, "ann") as here:
        await eventually(lambda: here.feed.healthy and here.feed.partitions_of("ann"))
        await here.join("ann")
        value = json.dumps(FOREIGN).encode()
        await asyncio.to_thread(put, kafka_brokers, made, ("ann", value))
        await holds(here.got, 1)
    [got] = here.got
    assert (got.seq, got.msg_id, got.read_at) == (0, "m1", 1_704_067_200_000)


async def test_what_nobody_can_decode_becomes_a_dead_letter(
    kafka_server: Kafka, kafka_brokers: str, made: str
) -> None:
    """As it was, with the reason and the place; counted; and what follows is delivered."""
    kafka_server.create_topic(f"{made}.dlq", 1)
    metrics = Counted()
    async with feeding(kafka_brokers, made, "ann", metrics=metrics) as here:
        await eventually(lambda: here.feed.healthy and here.feed.partitions_of("ann"))
        await here.join("ann")
        good = json.dumps(FOREIGN).encode()
        records = [("ann", b"garbage"), ("ann", None), ("bob", b"garbage"), ("ann", good)]
        await asyncio.to_thread(
            put, kafka_brokers, made, *records, headers=[("made_by", b"x")], timestamp=12345
        )
        await holds(here.got, 1)
        # What nobody here wants is not even decoded.
        beside = int(partition_of("bob", PARTITIONS) == partition_of("ann", PARTITIONS))
        counted = {"ok": 1, "bad": 2, "lost": 0, "offline": beside}
        await eventually(lambda: metrics.counts == counted)
    letters = await asyncio.to_thread(read, kafka_brokers, f"{made}.dlq", 2)
    assert [letter.value() for letter in letters] == [b"garbage", None]
    assert [letter.key() for letter in letters] == [b"ann", b"ann"]
    assert [letter.timestamp()[1] for letter in letters] == [12345, 12345]
    headers = [text_of(letter.headers()) for letter in letters]
    assert headers[0].pop("reason").startswith("the value is not a read receipt event")
    assert headers[0] == {
        "source_topic": made,
        "source_partition": str(partition_of("ann", PARTITIONS)),
        "source_offset": "0",
        "made_by": "x",
    }
    assert (headers[1]["reason"], headers[1]["source_offset"]) == ("the record has no value", "1")


async def test_a_dead_letter_that_cannot_be_written_is_counted(
    kafka_brokers: str, made: str
) -> None:
    """Without a topic for them they are lost, and hold nothing up."""
    metrics = Counted()
    async with feeding(kafka_brokers, made, "ann", metrics=metrics) as here:
        assert isinstance(here.feed, KafkaFeed)
        here.feed._dead_letters._settings["message.timeout.ms"] = 500
        await eventually(lambda: here.feed.healthy and here.feed.partitions_of("ann"))
        await here.join("ann")
        good = json.dumps(FOREIGN).encode()
        await asyncio.to_thread(put, kafka_brokers, made, ("ann", b"garbage"), ("ann", good))
        await holds(here.got, 1)
        await eventually(lambda: metrics.counts["lost"] == 1)
    assert metrics.counts["bad"] == 0


async def test_a_missing_topic_is_waited_for(kafka_server: Kafka, topic: str) -> None:
    """Nothing is published or joined, nothing makes the topic, and all begins once it is there."""
    brokers = kafka_server.brokers
    async with publishing(brokers, topic) as publisher, feeding(brokers, topic, "ann") as here:
        assert isinstance(here.feed, KafkaFeed)
        feed = here.feed
        both = {topic, f"{topic}_updates"}
        await eventually(lambda: feed._survey._missing == publisher._missing == both)
        assert not feed.healthy
        assert not publisher.healthy
        assert feed.partitions_of("ann") == frozenset()
        with pytest.raises(BusUnavailable, match="not there"):
            await feed.join(0)
        found = await asyncio.to_thread(kafka_server._admin().list_topics, timeout=PATIENCE)
        assert topic not in found.topics

        await asyncio.to_thread(create_topics, kafka_server, topic)
        await eventually(lambda: feed.healthy and publisher.healthy)
        await eventually(lambda: feed.partitions_of("ann"))
        await here.join("ann")
        await publisher.publish([event("ann", 1)], epoch="e1")
        await holds(here.got, 1)


async def test_growth_loses_nothing_of_a_joined_user(
    kafka_server: Kafka, kafka_brokers: str, made: str
) -> None:
    """4 partitions become 8 while a producer that has noticed and one that has not publish on."""
    users = [f"user{number}" for number in range(24)]
    async with publishing(kafka_brokers, made) as slow:
        feed = KafkaFeed(kafka_brokers, made, "group", "grown", updates_topic=f"{made}_updates")
        joins: set[asyncio.Task[None]] = set()
        here = Here(feed, users, "e1", on_growth=lambda: joins.add(asyncio.create_task(join())))
        sent = 0
        quick = Producer(
            {
                "bootstrap.servers": kafka_brokers,
                "partitioner": "fnv1a",
                "topic.metadata.refresh.interval.ms": 200,
                "log_level": 0,
            }
        )
        used: set[int | None] = set()

        async def join() -> None:
            await here.join(*users)

        async def publish() -> None:
            nonlocal sent
            sent += 1
            for user in users:
                quick.produce(
                    made,
                    encode(event(user, sent * 2 - 1)),
                    user,
                    headers=[("epoch", b"e1")],
                    on_delivery=lambda _, record: used.add(record.partition()),
                )
            await slow.publish([event(user, sent * 2) for user in users], epoch="e1")
            quick.poll(0)

        await eventually(lambda: feed.healthy and feed.partitions_of("user0") and joins)
        await asyncio.gather(*joins)
        await publish()
        admin = kafka_server._admin()
        admin.create_partitions([NewPartitions(made, 8)])[made].result(PATIENCE)
        while len(used) < 8 or feed._layouts[made].count < 8:
            await publish()
            await asyncio.sleep(0.01)
        await asyncio.gather(*joins)
        for _ in range(5):
            await publish()
        assert quick.flush(PATIENCE) == 0
        await eventually(lambda: len({(e.sender_id, e.seq) for e in here.got}) >= sent * 48)
        for user in users:
            assert set(here.seqs(user)) == set(range(1, sent * 2 + 1))
        await feed.close()


async def test_a_topic_made_anew_is_read_again(kafka_server: Kafka, made: str) -> None:
    """Deleted and created while a user is joined: nobody has to restart anything."""
    brokers = kafka_server.brokers
    async with publishing(brokers, made) as publisher, feeding(brokers, made, "ann") as here:
        await eventually(lambda: publisher.healthy and here.feed.partitions_of("ann"))
        await here.join("ann")
        await publisher.publish([event("ann", seq) for seq in range(1, 6)], epoch="e1")
        await holds(here.got, 5)
        admin = kafka_server._admin()
        admin.delete_topics([made])[made].result(PATIENCE)
        await eventually(lambda: not here.feed.healthy)
        await asyncio.to_thread(kafka_server.create_topic, made, PARTITIONS)
        await eventually(lambda: here.feed.healthy)

        async def publish_until_one_arrives() -> None:
            for seq in itertools.count(6):
                with contextlib.suppress(BusUnavailable):
                    await publisher.publish([event("ann", seq)], epoch="e1")
                await asyncio.sleep(0.02)
                if any(event.seq > 5 for event in here.got):
                    return

        await asyncio.wait_for(publish_until_one_arrives(), PATIENCE)
        await eventually(lambda: here.feed.healthy and publisher.healthy)


async def test_an_update_is_in_its_own_topic(kafka_brokers: str, made: str) -> None:
    """Keyed, placed, stamped and traced as a receipt; who knows only receipts never meets one."""
    sent = update(Kind.WITHDRAWN, "ann", 42)
    async with publishing(kafka_brokers, made) as publisher:
        await publisher.publish([event("ann", 41), sent], epoch="e1")
    [receipt] = await asyncio.to_thread(read, kafka_brokers, made, 1)
    [record] = await asyncio.to_thread(read, kafka_brokers, f"{made}_updates", 1)
    assert receipt.value() == encode(event("ann", 41))
    assert record.value() == encode_update(sent)
    assert (record.key(), record.partition()) == (b"ann", partition_of("ann", PARTITIONS))
    assert record.timestamp() == (1, sent.at)
    headers = text_of(record.headers())
    assert headers["epoch"] == "e1"
    assert headers["traceparent"].split("-")[1] == TRACE


async def test_an_update_of_no_known_type_becomes_a_dead_letter(
    kafka_server: Kafka, kafka_brokers: str, made: str
) -> None:
    """Of its own topic, with the reason."""
    updates = f"{made}_updates"
    kafka_server.create_topic(f"{updates}.dlq", 1)
    async with feeding(kafka_brokers, made, "ann") as here:
        await eventually(lambda: here.feed.healthy and here.feed.partitions_of("ann"))
        await here.join("ann")
        good = encode_update(update(Kind.COUNT, "ann", 7))
        bad = good.replace(b"read_count", b"read_reaction")
        await asyncio.to_thread(put, kafka_brokers, updates, ("ann", bad), ("ann", good))
        await holds(here.got, 1)
    [letter] = await asyncio.to_thread(read, kafka_brokers, f"{updates}.dlq", 1)
    headers = text_of(letter.headers())
    assert headers["source_topic"] == updates
    assert headers["reason"].startswith("the type is none of")


async def test_without_the_topic_of_updates_receipts_are_live(
    kafka_server: Kafka, kafka_brokers: str, topic: str
) -> None:
    """Both sides say that something is missing, and which; once it is there, nothing is missed."""
    kafka_server.create_topic(topic, PARTITIONS)
    updates = f"{topic}_updates"
    with capture_logs() as logged:
        async with (
            publishing(kafka_brokers, topic) as publisher,
            feeding(kafka_brokers, topic, "ann") as here,
        ):
            await eventually(lambda: here.feed.partitions_of("ann") and publisher._missing)
            await here.join("ann")
            await publisher.publish([event("ann", 1)], epoch="e1")
            await holds(here.got, 1)
            assert not publisher.healthy
            assert not here.feed.healthy
            assert isinstance(here.feed, KafkaFeed)
            # The feed does not notice that the topic is there before something is in it.
            asks, published = threading.Event(), threading.Event()

            def hold() -> None:
                asks.set()
                published.wait()

            here.feed._questions.put(hold)
            await asyncio.to_thread(asks.wait)
            await asyncio.to_thread(kafka_server.create_topic, updates, PARTITIONS)
            await publisher.publish([update(Kind.COUNT, "ann", 2)], epoch="e1")
            published.set()
            await eventually(lambda: publisher.healthy and here.feed.healthy)
            await publisher.publish([update(Kind.COUNT, "ann", 3)], epoch="e1")
            await holds(here.got, 3)
    assert here.seqs("ann") == [1, 2, 3]
    missing = [line["topic"] for line in logged if line["event"] == "topic_missing"]
    assert missing == [updates, updates]


async def test_topics_of_different_sizes_are_told_once_and_both_read(
    kafka_server: Kafka, kafka_brokers: str, topic: str
) -> None:
    """A user has a partition in each; gateways read more than they would have to."""
    kafka_server.create_topic(topic, PARTITIONS)
    kafka_server.create_topic(f"{topic}_updates", 7)
    users = [f"user{number}" for number in range(20)]
    with capture_logs() as logged:
        async with (
            publishing(kafka_brokers, topic) as publisher,
            feeding(kafka_brokers, topic, *users) as here,
        ):
            await eventually(lambda: publisher.healthy and here.feed.healthy)
            publisher._away("said by the test")
            await eventually(lambda: publisher.healthy and here.feed.partitions_of("user1"))
            for user in users:
                both = {partition_of(user, PARTITIONS), partition_of(user, 7)}
                assert here.feed.partitions_of(user) == both
            await here.join(*users)
            for seq, kind in enumerate((Kind.RECEIPT, Kind.READ_SELF), 1):
                await publisher.publish([update(kind, user, seq) for user in users], epoch="e1")
            await holds(here.got, 40)
    assert len({(event.sender_id, event.seq) for event in here.got}) == len(here.got) == 40
    [line] = [line for line in logged if line["event"] == "partitions_differ"]
    assert line["partitions"] == {topic: PARTITIONS, f"{topic}_updates": 7}


@pytest.mark.parametrize("deleted", ["receipts", "updates"])
async def test_one_topic_that_goes_takes_the_other_not_along(
    deleted: str, kafka_server: Kafka, kafka_brokers: str, made: str
) -> None:
    """What is published to the one that is left is still delivered."""
    updates = f"{made}_updates"
    gone, left = (made, updates) if deleted == "receipts" else (updates, made)
    value = (
        encode_update(update(Kind.COUNT, "ann", 7)) if left == updates else encode(event("ann", 7))
    )
    async with feeding(kafka_brokers, made, "ann") as here:
        await eventually(lambda: here.feed.healthy and here.feed.partitions_of("ann"))
        await here.join("ann")
        admin = kafka_server._admin()
        admin.delete_topics([gone])[gone].result(PATIENCE)
        await eventually(lambda: not here.feed.healthy)
        await asyncio.to_thread(put, kafka_brokers, left, ("ann", value))
        await holds(here.got, 1)


@pytest.mark.parametrize("topic_of", ["{}", "{}_updates"])
@pytest.mark.parametrize(("stood", "expected"), [(None, [1, 2, 3, 4]), (99, [1, 2, 1, 2, 3, 4])])
async def test_a_refused_offset_skips_nothing(
    stood: int | None, expected: list[int], topic_of: str, kafka_brokers: str, made: str
) -> None:
    """Read on where it stood when that is there after all; else from the start of what is there."""
    kind = Kind.RECEIPT if topic_of == "{}" else Kind.COUNT
    place = Place(topic_of.format(made), partition_of("ann", PARTITIONS))
    async with (
        publishing(kafka_brokers, made) as publisher,
        feeding(kafka_brokers, made, "ann") as here,
    ):
        assert isinstance(here.feed, KafkaFeed)
        feed = here.feed
        await eventually(lambda: publisher.healthy and feed.partitions_of("ann"))
        await here.join("ann")
        await publisher.publish([update(kind, "ann", seq) for seq in (1, 2)], epoch="e1")
        await holds(here.got, 2)

        def refuse() -> None:
            # As the library says it, in the thread in which it does.
            if stood is None:
                error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
                feed._complain([Message(topic=place.topic, partition=place.partition, error=error)])
            else:
                feed._assignment.leave(place)
                feed._assignment.join(place, stood)
            refused.set()

        refused = threading.Event()
        feed._orders.put(refuse)
        await asyncio.to_thread(refused.wait)
        await publisher.publish([update(kind, "ann", 3)], epoch="e1")
        await publisher.publish([update(kind, "ann", 4)], epoch="e1")
        await holds(here.got, len(expected))
        assert here.seqs("ann") == expected


@pytest.mark.parametrize("looked", [False, True], ids=["", "with a look at the layout between"])
async def test_an_offset_may_be_refused_again_and_again(
    looked: bool, kafka_server: Kafka, kafka_brokers: str, made: str
) -> None:
    """Whenever records are removed between the question where they begin and their reading."""
    place = Place(made, partition_of("ann", PARTITIONS))
    with capture_logs() as logged:
        async with (
            publishing(kafka_brokers, made) as publisher,
            feeding(kafka_brokers, made, "ann") as here,
        ):
            assert isinstance(here.feed, KafkaFeed)
            feed = here.feed
            await eventually(lambda: publisher.healthy and feed.partitions_of("ann"))
            await here.join("ann")
            await publisher.publish([event("ann", seq) for seq in (1, 2)], epoch="e1")
            await holds(here.got, 2)
            admin = kafka_server._admin()
            removed = admin.delete_records([place.at(2)])
            await asyncio.to_thread(removed[place.at(2)].result, PATIENCE)
            ends = feed._survey.ends

            def refusals() -> list[Any]:
                return [line["offset"] for line in logged if line["event"] == "partition_trouble"]

            def ends_before(topic: str, partition: int) -> tuple[int, int]:
                late = topic == made and len(refusals()) < 4
                return (0, 2) if late else ends(topic, partition)

            def stand_at_the_start() -> None:
                feed._assignment.leave(place)
                feed._assignment.join(place, 0)

            join, offset, joining = feed._join, feed._offset, threading.Event()

            def join_behind_a_look(partition: int, answer: asyncio.Future[str] | None) -> None:
                feed._refresh()
                joining.set()
                join(partition, answer)
                joining.clear()

            def offset_from_before_a_refusal(place: Place, *, new: bool = False) -> int:
                before = len(refusals())
                found = offset(place, new=new)
                if joining.is_set():
                    wait_until("it is refused", lambda: not before < 4 or len(refusals()) > before)
                return found

            if looked:
                feed._join = join_behind_a_look  # type: ignore[method-assign]
                feed._offset = offset_from_before_a_refusal  # type: ignore[method-assign]
            feed._survey.ends = ends_before  # type: ignore[method-assign]
            feed._orders.put(stand_at_the_start)
            await eventually(lambda: len(refusals()) == 4)
            await publisher.publish([event("ann", 3)], epoch="e1")
            await holds(here.got, 3)
    assert here.seqs("ann") == [1, 2, 3]
    assert refusals() == [0, 0, 0, 0]


async def test_the_lag_of_a_node_is_visible_in_kafka(kafka_brokers: str, made: str) -> None:
    """Offsets are committed under <group>.<node>, where Kafka's own tools look for them."""
    async with (
        publishing(kafka_brokers, made) as publisher,
        feeding(kafka_brokers, made, "ann", node="here") as here,
    ):
        await eventually(lambda: publisher.healthy and here.feed.partitions_of("ann"))
        await publisher.publish([event("ann", seq) for seq in range(1, 4)], epoch="e1")
        await here.join("ann")
        await publisher.publish([event("ann", 4), update(Kind.COUNT, "ann", 5)], epoch="e1")
        await holds(here.got, 2)
        admin = AdminClient({"bootstrap.servers": kafka_brokers, "log_level": 0})
        partition = partition_of("ann", PARTITIONS)

        def committed() -> list[int]:
            places = [TopicPartition(topic, partition) for topic in (made, f"{made}_updates")]
            asked = ConsumerGroupTopicPartitions("group.here", places)
            [answer] = admin.list_consumer_group_offsets([asked]).values()
            return [place.offset for place in answer.result(PATIENCE).topic_partitions]

        await asyncio.to_thread(wait_until, "both are committed", lambda: committed() == [4, 1])
        await publisher.publish([event("ann", 6), update(Kind.COUNT, "ann", 7)], epoch="e1")
        await holds(here.got, 4)
    assert await asyncio.to_thread(committed) == [5, 2]


async def test_a_busy_loop_is_given_two_batches_at_most(kafka_brokers: str, made: str) -> None:
    """What waits in memory is bounded: the rest stays in Kafka until the loop has time."""
    count = 4 * BATCH
    async with feeding(kafka_brokers, made, "ann") as here:
        assert isinstance(here.feed, KafkaFeed)
        feed = here.feed
        await eventually(lambda: feed.healthy and feed.partitions_of("ann"))
        await here.join("ann")
        decoded: list[int] = []
        decode = feed._records.events

        def counted(records: Sequence[Message]) -> list[Event]:
            decoded.append(len(records))
            return decode(records)

        feed._records.events = counted  # type: ignore[method-assign]
        value = json.dumps(FOREIGN).encode()
        # The loop is busy from here on: nothing is awaited.
        put(kafka_brokers, made, *[("ann", value)] * count)
        wait_until("two batches wait", lambda: len(decoded) > IN_FLIGHT)
        assert len(read(kafka_brokers, made, count)) == count
        # Two in flight, and one that waits for its turn.
        assert len(decoded) == IN_FLIGHT + 1
        assert here.got == []
        await holds(here.got, count)
    assert max(decoded) <= BATCH


async def test_a_producer_that_failed_for_good_is_replaced(kafka_brokers: str, made: str) -> None:
    """A fatal error ends a producer, not the service."""
    async with publishing(kafka_brokers, made) as publisher:
        await eventually(lambda: publisher.healthy)
        broken = publisher._producer
        publisher._fail(KafkaError(KafkaError._FATAL, "as the library says it", fatal=True))
        assert not publisher.healthy
        await eventually(lambda: publisher.healthy)
        assert publisher._producer is not broken
        await publisher.publish([event("ann", 1)], epoch="e1")


async def test_all_partitions_are_read_where_producers_choose_them(
    kafka_brokers: str, made: str
) -> None:
    """For topics partitioned otherwise: there is nothing to join, and everything arrives."""
    async with feeding(kafka_brokers, made, "ann", all_partitions=True) as here:
        assert not here.feed.healthy
        await eventually(lambda: here.feed.healthy)
        assert here.feed.partitions_of("ann") == frozenset()
        value = json.dumps(FOREIGN).encode()
        for partition in range(PARTITIONS):
            await asyncio.to_thread(put, kafka_brokers, made, ("ann", value), partition=partition)
        await holds(here.got, PARTITIONS)
