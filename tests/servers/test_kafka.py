"""The tests' Kafka does what the fault tests rely on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.servers import kafka
from tests.servers.kafka import Kafka
from tests.servers.ports import free_port
from tests.servers.process import ServerError
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def produce(brokers: str, topic: str, *values: str, timestamp: int = 0) -> None:
    """Produce values, of now or another time, and return when the broker has acknowledged all."""
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "log_level": 0})
    errors: list[KafkaError] = []
    for value in values:
        producer.produce(
            topic,
            value,
            key="k",
            timestamp=timestamp,
            on_delivery=lambda e, _: errors.append(e) if e else None,
        )
    assert producer.flush(30.0) == 0
    assert errors == []


def consume(brokers: str, topic: str, count: int) -> list[str]:
    """The first ``count`` values of a topic with one partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "t", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        messages = consumer.consume(count, 30.0)
        return [(message.value() or b"").decode() for message in messages]
    finally:
        consumer.close()


def test_a_record_goes_through(kafka_server: Kafka, kafka_brokers: str, topic: str) -> None:
    """What a producer sends, a consumer gets."""
    kafka_server.create_topic(topic, partitions=1)
    produce(kafka_brokers, topic, "one", "two")
    assert consume(kafka_brokers, topic, 2) == ["one", "two"]


def test_a_topic_has_the_partitions_asked_for(
    kafka_server: Kafka, kafka_brokers: str, topic: str
) -> None:
    """A topic is there with all its partitions when create_topic returns."""
    kafka_server.create_topic(topic)
    found = AdminClient({"bootstrap.servers": kafka_brokers}).list_topics(timeout=10.0)
    assert len(found.topics[topic].partitions) == 16


def test_a_topic_keeps_records_of_any_year() -> None:
    """However often the broker looks for old ones; else a test's records go before it reads them.

    Those of a topic with a retention do go, each time they are looked for.
    """
    often = {"log.initial.task.delay.ms": "0", "log.retention.check.interval.ms": "50"}
    broker = Kafka.launch(settings=often)
    try:
        broker.create_topic("kept", partitions=1)
        broker.create_topic("short", partitions=1, settings={"retention.ms": "60000"})
        consumer = Consumer({"bootstrap.servers": broker.brokers, "group.id": "t", "log_level": 0})

        def start_of(topic: str) -> int:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10.0)[0]

        def is_removed(count: int) -> bool:
            return start_of("short") == count

        produce(broker.brokers, "kept", "one", timestamp=1_704_067_200_000)
        # Between the first that goes and the third, all topics have been looked at once.
        for number in (1, 2, 3):
            produce(broker.brokers, "short", "one", timestamp=1_704_067_200_000)
            wait_until("it is removed", partial(is_removed, number))
        assert start_of("kept") == 0
        consumer.close()
    finally:
        broker.dispose()


def test_a_topic_is_not_made_by_asking(restartable_kafka: Kafka, topic: str) -> None:
    """Topics come from `seenby topic create` alone: our broker makes none by itself."""
    producer = Producer(
        {"bootstrap.servers": restartable_kafka.brokers, "message.timeout.ms": 2000, "log_level": 0}
    )
    failed: list[KafkaError | None] = []
    producer.produce(topic, "value", on_delivery=lambda error, _: failed.append(error))
    producer.flush(30.0)
    assert failed[0] is not None


@pytest.mark.parametrize("end", [Kafka.stop, Kafka.kill])
def test_a_restart_keeps_port_and_records(
    end: Callable[[Kafka], None], restartable_kafka: Kafka, topic: str
) -> None:
    """After an orderly end and after a kill the same address has the same records."""
    restartable_kafka.create_topic(topic, partitions=1)
    produce(restartable_kafka.brokers, topic, "before")

    end(restartable_kafka)
    admin = AdminClient({"bootstrap.servers": restartable_kafka.brokers, "log_level": 0})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1.0)
    restartable_kafka.start()

    produce(restartable_kafka.brokers, topic, "after")
    assert consume(restartable_kafka.brokers, topic, 2) == ["before", "after"]


def test_a_paused_broker_hangs_and_goes_on(restartable_kafka: Kafka, topic: str) -> None:
    """A pause is the stall that no client notices at once: no answer, then as if nothing was."""
    restartable_kafka.create_topic(topic, partitions=1)
    restartable_kafka.pause()
    admin = AdminClient({"bootstrap.servers": restartable_kafka.brokers, "log_level": 0})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1.0)
    restartable_kafka.resume()
    produce(restartable_kafka.brokers, topic, "value")
    assert consume(restartable_kafka.brokers, topic, 1) == ["value"]


def test_the_console_consumer_shows_a_topic(kafka_server: Kafka, topic: str) -> None:
    """kafka-console-consumer.sh, here by its class, prints the records from the beginning."""
    kafka_server.create_topic(topic, partitions=1)
    produce(kafka_server.brokers, topic, '{"a": 1}', '{"a": 2}')
    assert kafka_server.console_consumer(topic, count=2) == ['{"a": 1}', '{"a": 2}']


def test_the_console_consumer_gives_up(kafka_server: Kafka, topic: str) -> None:
    """Where less arrives than expected, it returns what came instead of waiting for ever."""
    kafka_server.create_topic(topic, partitions=1)
    produce(kafka_server.brokers, topic, "only")
    shown: list[str] = []
    for patience in (3.0, 30.0):
        # On a busy machine the first one may not even come before it is over.
        shown = shown or kafka_server.console_consumer(topic, count=2, patience=patience)
    assert shown == ["only"]


def test_a_taken_port_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, restartable_kafka: Kafka
) -> None:
    """A port that somebody takes between choice and use is replaced by another."""
    ports = [int(restartable_kafka.brokers.rpartition(":")[2])]
    monkeypatch.setattr(kafka, "free_port", lambda: ports.pop() if ports else free_port())

    other = Kafka.launch()
    try:
        assert other.brokers != restartable_kafka.brokers
    finally:
        other.dispose()


def test_missing_jars_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the jars are not installed, the failure names the command that installs them."""
    monkeypatch.setenv("SEENBY_TEST_CACHE", str(tmp_path))
    with pytest.raises(ServerError, match="make servers"):
        Kafka.launch()


def test_given_brokers_are_used_and_not_stopped(
    monkeypatch: pytest.MonkeyPatch, kafka_brokers: str, topic: str
) -> None:
    """The environment can name brokers: topics are made there, stopping them is refused."""
    monkeypatch.setenv(kafka.GIVEN_BROKERS, kafka_brokers)
    given = Kafka.given()
    assert given is not None
    given.create_topic(topic, partitions=1)
    with pytest.raises(ServerError, match=kafka.GIVEN_BROKERS):
        given.stop()
    given.dispose()
