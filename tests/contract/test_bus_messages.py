"""The chat's own topic on a real Kafka: each record registers a message, once at least."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka._model import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from seenby.bus import kafka_messages
from seenby.bus.kafka_messages import GroupMessages
from seenby.errors import Conflict, NotFound, SeenbyError, StoreRefused, StoreUnavailable
from seenby.model import NewMessage
from tests.contract.test_bus_kafka import put, read, text_of
from tests.servers.wait import PATIENCE, wait_until
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.servers.kafka import Kafka

PARTITIONS = 4


def record(msg_id: str, **changes: Any) -> tuple[str, bytes]:
    """A message of the chat, keyed by its group."""
    fields = {"msg_id": msg_id, "group_id": "g1", "sender_id": "ann", "timestamp": 1_704_067_200}
    return "g1", json.dumps(fields | changes).encode()


def numbered(count: int) -> list[tuple[str | None, bytes | None]]:
    """That many messages of many groups, in every partition."""
    return [(f"g{n % 50}", record(f"m{n}", group_id=f"g{n % 50}")[1]) for n in range(count)]


class Book:
    """Registers messages as the service would.

    Attributes:
        batches: what was asked for, in order.
        away: while True the store is not available.
        refusals: what the store says to some messages.
        poison: a message because of which the store refuses its whole batch.
    """

    def __init__(self) -> None:
        self.batches: list[list[NewMessage]] = []
        self.registered: set[str] = set()
        self.tries = 0
        self.away = False
        self.refusals: dict[str, SeenbyError] = {}
        self.poison = ""

    async def register(self, messages: list[NewMessage]) -> Sequence[object]:
        """One result for each."""
        self.tries += 1
        if self.away:
            raise StoreUnavailable("the database was told to be away")
        if self.poison in {message.msg_id for message in messages}:
            raise StoreRefused("one of them does not fit")
        self.batches.append(messages)
        results = [self.refusals.get(message.msg_id, message) for message in messages]
        self.registered |= {done.msg_id for done in results if isinstance(done, NewMessage)}
        return results


class Counts:
    """What was counted, by status."""

    def __init__(self) -> None:
        self.counts = {"ok": 0, "bad": 0, "lost": 0}

    def registered(self, status: str, messages: int, /) -> None:
        """So many more."""
        self.counts[status] += messages


@contextlib.asynccontextmanager
async def registering(
    brokers: str, topic: str, book: Book, *, node: str = "node", **options: Any
) -> AsyncIterator[GroupMessages]:
    """An instance that reads *topic*, and its end."""
    messages = GroupMessages(brokers, topic, f"{topic}-group", node, book.register, **options)
    messages.start()
    try:
        yield messages
    finally:
        await messages.close()


def committed(brokers: str, topic: str) -> int:
    """How many records the group has behind it, in all partitions."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    asked = ConsumerGroupTopicPartitions(f"{topic}-group", places)
    [answer] = admin.list_consumer_group_offsets([asked]).values()
    return sum(max(place.offset, 0) for place in answer.result(PATIENCE).topic_partitions)


async def is_committed(brokers: str, topic: str, count: int) -> None:
    """Return when the group has so many records behind it."""
    await asyncio.to_thread(
        wait_until, f"{count} are committed", lambda: committed(brokers, topic) == count
    )


@pytest.fixture
def made(kafka_server: Kafka, topic: str) -> str:
    """The chat's topic, and the one for its dead letters."""
    kafka_server.create_topic(topic, PARTITIONS)
    kafka_server.create_topic(f"{topic}.dlq", 1)
    return topic


async def test_a_message_is_registered_from_its_record(kafka_brokers: str, made: str) -> None:
    """Also one that was there before anybody read; its offset is committed afterwards."""
    book, counts = Book(), Counts()
    await asyncio.to_thread(put, kafka_brokers, made, record("m1"))
    async with registering(kafka_brokers, made, book, metrics=counts):
        await eventually(lambda: book.registered)
        await is_committed(kafka_brokers, made, 1)
    assert book.batches == [[NewMessage("m1", "g1", "ann", 1_704_067_200_000)]]
    assert counts.counts == {"ok": 1, "bad": 0, "lost": 0}


async def test_what_waits_comes_in_batches(kafka_brokers: str, made: str) -> None:
    """Of a thousand at most, in the order of each conversation."""
    book = Book()
    await asyncio.to_thread(put, kafka_brokers, made, *numbered(2500))
    async with registering(kafka_brokers, made, book):
        await eventually(lambda: len(book.registered) == 2500)
    assert max(map(len, book.batches)) <= kafka_messages.BATCH
    assert len(book.batches) < 50
    for group in range(50):
        ids = [
            m.msg_id for batch in book.batches for m in batch if m.conversation_id == f"g{group}"
        ]
        assert ids == [f"m{n}" for n in range(group, 2500, 50)]


async def test_a_restart_goes_on_where_it_stood(kafka_brokers: str, made: str) -> None:
    """What was registered before the close is committed with it, and does not come again."""
    first, second = Book(), Book()
    await asyncio.to_thread(put, kafka_brokers, made, *numbered(100))
    async with registering(kafka_brokers, made, first):
        await eventually(lambda: len(first.registered) == 100)
    await asyncio.to_thread(put, kafka_brokers, made, record("later"))
    async with registering(kafka_brokers, made, second):
        await eventually(lambda: second.registered)
    assert second.registered == {"later"}


async def test_what_cannot_be_registered_becomes_a_dead_letter(
    kafka_brokers: str, made: str
) -> None:
    """No JSON, wrong ids, and what the store refuses: each with its reason; the rest goes on."""
    book, counts = Book(), Counts()
    book.refusals = {
        "unknown": NotFound("there is no conversation of that id"),
        "other": Conflict("the message is registered with another sender"),
    }
    bad = [
        ("g1", b"garbage"),
        record("two words"),
        record("unknown"),
        record("other"),
        ("g1", None),
    ]
    await asyncio.to_thread(put, kafka_brokers, made, record("m1"), *bad, record("m2"))
    async with registering(kafka_brokers, made, book, metrics=counts):
        await eventually(lambda: len(book.registered) == 2)
        await is_committed(kafka_brokers, made, 7)
        await eventually(lambda: counts.counts["bad"] == 5)
    letters = await asyncio.to_thread(read, kafka_brokers, f"{made}.dlq", 5)
    reasons = {letter.value(): text_of(letter.headers())["reason"] for letter in letters}
    assert reasons[b"garbage"].startswith("the value is not a message")
    assert reasons[bad[1][1]].startswith("msg_id must be")
    assert reasons[bad[2][1]] == "there is no conversation of that id"
    assert reasons[bad[3][1]] == "the message is registered with another sender"
    assert reasons[None] == "the record has no value"
    assert {letter.key() for letter in letters} == {b"g1"}
    assert counts.counts == {"ok": 2, "bad": 5, "lost": 0}


async def test_a_batch_that_is_refused_whole_loses_only_the_one(
    kafka_brokers: str, made: str
) -> None:
    """It is halved until what the database does not take stands alone."""
    book = Book()
    book.poison = "m37"
    await asyncio.to_thread(put, kafka_brokers, made, *numbered(100))
    async with registering(kafka_brokers, made, book):
        await eventually(lambda: len(book.registered) == 99)
        await is_committed(kafka_brokers, made, 100)
    [letter] = await asyncio.to_thread(read, kafka_brokers, f"{made}.dlq", 1)
    assert json.loads(letter.value() or b"")["msg_id"] == "m37"


async def test_without_a_topic_for_dead_letters_they_are_counted_as_lost(
    kafka_server: Kafka, kafka_brokers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And hold nothing up."""
    monkeypatch.setattr(kafka_messages, "LETTERS_WITHIN", 0.1)
    kafka_server.create_topic(topic, PARTITIONS)
    book, counts = Book(), Counts()
    await asyncio.to_thread(put, kafka_brokers, topic, ("g1", b"garbage"), record("m1"))
    async with registering(kafka_brokers, topic, book, metrics=counts) as messages:
        messages._dead_letters._settings["message.timeout.ms"] = 500
        await is_committed(kafka_brokers, topic, 2)
        await eventually(lambda: counts.counts["lost"] == 1)
    assert book.registered == {"m1"}


async def test_nothing_is_committed_while_the_store_is_away(kafka_brokers: str, made: str) -> None:
    """The same batch is tried again, told once, and nothing is skipped."""
    book = Book()
    book.away = True
    await asyncio.to_thread(put, kafka_brokers, made, *numbered(100))
    with capture_logs() as logged:
        async with registering(kafka_brokers, made, book):
            await eventually(lambda: book.tries >= 4)
            assert await asyncio.to_thread(committed, kafka_brokers, made) == 0
            book.away = False
            await eventually(lambda: len(book.registered) == 100)
            await is_committed(kafka_brokers, made, 100)
    assert [m.msg_id for batch in book.batches for m in batch].count("m0") == 1
    assert [line["event"] for line in logged].count("messages_wait") == 1


async def test_a_close_does_not_wait_for_the_store(kafka_brokers: str, made: str) -> None:
    """What could not be registered is not committed: another instance gets it at once."""
    away, there = Book(), Book()
    away.away = True
    await asyncio.to_thread(put, kafka_brokers, made, *numbered(10))
    async with registering(kafka_brokers, made, away):
        await eventually(lambda: away.tries)
    async with registering(kafka_brokers, made, there):
        await eventually(lambda: len(there.registered) == 10)


async def test_a_failure_that_nobody_foresaw_skips_nothing(
    kafka_brokers: str, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read and not committed is read again."""
    monkeypatch.setattr(kafka_messages, "PAUSE_MAX", 0.1)
    book = Book()
    failures = iter([ValueError("a bug"), ValueError("a bug")])

    async def register(messages: list[NewMessage]) -> Sequence[object]:
        for failure in failures:
            raise failure
        return await book.register(messages)

    await asyncio.to_thread(put, kafka_brokers, made, *numbered(100))
    messages = GroupMessages(kafka_brokers, made, f"{made}-group", "node", register)
    messages.start()
    try:
        await eventually(lambda: len(book.registered) == 100)
        await is_committed(kafka_brokers, made, 100)
    finally:
        await messages.close()


async def test_a_missing_topic_is_told_once_and_waited_for(
    kafka_server: Kafka, kafka_brokers: str, topic: str
) -> None:
    """It is the chat's to create; nothing here makes it."""
    book = Book()
    with capture_logs() as logged:
        async with registering(kafka_brokers, topic, book):
            await eventually(lambda: logged)
            found = await asyncio.to_thread(kafka_server._admin().list_topics, timeout=PATIENCE)
            assert topic not in found.topics
            await asyncio.to_thread(kafka_server.create_topic, topic, PARTITIONS)
            await asyncio.to_thread(put, kafka_brokers, topic, record("m1"))
            await eventually(lambda: book.registered)
    [line] = [line for line in logged if line["log_level"] != "debug"]
    assert (line["event"], line["topic"]) == ("topic_missing", topic)


async def test_two_instances_share_the_work(kafka_brokers: str, made: str) -> None:
    """They come, go and come back while messages flow: each message is registered."""
    one, two = Book(), Book()
    sent = 0

    async def send(count: int) -> None:
        nonlocal sent
        records = [
            (f"g{n % 50}", record(f"m{n}", group_id=f"g{n % 50}")[1])
            for n in range(sent, sent + count)
        ]
        sent += count
        await asyncio.to_thread(put, kafka_brokers, made, *records)

    async with registering(kafka_brokers, made, one, node="one"):
        await send(200)
        await eventually(lambda: one.registered)
        for _ in range(2):
            before = len(two.batches)
            async with asyncio.timeout(PATIENCE), registering(kafka_brokers, made, two, node="two"):
                while len(two.batches) == before:
                    await send(50)
                await send(200)
            await send(200)
        await eventually(lambda: len(one.registered | two.registered) == sent)
        await is_committed(kafka_brokers, made, sent)
    assert one.registered | two.registered == {f"m{n}" for n in range(sent)}
