"""`seenby topic create` on a real broker: what it makes, and what it says when it cannot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from seenby.bus import kafka_topics
from seenby.bus.kafka_topics import RETENTION_MS, create_topic
from seenby.errors import BusUnavailable, ConfigError
from tests.servers.ports import free_port
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from confluent_kafka.admin._metadata import ClusterMetadata

    from tests.servers.kafka import Kafka


def create(brokers: str, topic: str, *, partitions: int = 4, replication: int = 1) -> str:
    """Create a topic, and return the sentence."""
    return create_topic(
        brokers,
        topic,
        partitions=partitions,
        replication=replication,
        retention_ms=RETENTION_MS,
    )


def test_a_topic_is_made_as_asked(kafka_brokers: str, topic: str) -> None:
    """Number of partitions, replicas and retention are those of the contract or the settings."""
    said = create(kafka_brokers, topic, partitions=16)

    assert said == f"topic {topic} is created, with 16 partitions and 1 replica"
    admin = AdminClient({"bootstrap.servers": kafka_brokers})
    wait_until("it is shown", lambda: topic in admin.list_topics(timeout=PATIENCE).topics)
    found = admin.list_topics(timeout=PATIENCE).topics[topic].partitions
    assert len(found) == 16
    assert all(len(partition.replicas) == 1 for partition in found.values())
    resource = ConfigResource(ResourceType.TOPIC, topic)
    settings = admin.describe_configs([resource])[resource].result(PATIENCE)
    assert settings["retention.ms"].value == "3600000"


def test_a_topic_that_exists_is_no_error(kafka_brokers: str, topic: str) -> None:
    """The command may be run again, and says that there was nothing to do."""
    create(kafka_brokers, topic)
    assert create(kafka_brokers, topic) == f"topic {topic} exists already, with 4 partitions"


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch, topic: str) -> list[None]:
    """As often as it is long, the topic is not in what the broker shows."""
    ask = kafka_topics._cluster
    times: list[None] = []

    def late(*arguments: Any) -> ClusterMetadata:
        cluster = ask(*arguments)
        if times:
            times.pop()
            cluster.topics.pop(topic, None)
        return cluster

    monkeypatch.setattr(kafka_topics, "_cluster", late)
    return times


def test_a_topic_that_is_new_may_not_be_shown_yet(
    kafka_brokers: str, topic: str, hidden: list[None]
) -> None:
    """A broker that knows that it exists shows it a while later: that is waited for."""
    create(kafka_brokers, topic)
    hidden += [None] * 3
    assert create(kafka_brokers, topic) == f"topic {topic} exists already, with 4 partitions"


def test_a_topic_that_is_never_shown_is_not_waited_for_any_longer(
    monkeypatch: pytest.MonkeyPatch, kafka_brokers: str, topic: str, hidden: list[None]
) -> None:
    """What is wrong is said; the command may be run again."""
    create(kafka_brokers, topic)
    hidden += [None] * 10_000
    monkeypatch.setattr(kafka_topics, "SHOWN_WITHIN", 0.3)
    with pytest.raises(BusUnavailable, match=f"{topic} is made, and not shown yet"):
        create(kafka_brokers, topic)


def test_another_number_of_partitions_is_said_and_left(kafka_brokers: str, topic: str) -> None:
    """Growing a topic moves its keys: that is for a person to decide."""
    create(kafka_brokers, topic, partitions=1)
    assert create(kafka_brokers, topic, partitions=16, replication=3) == (
        f"topic {topic} exists already, with 1 partition, not 16; it is left so"
    )


def test_too_many_replicas_name_the_setting(kafka_server: Kafka, topic: str) -> None:
    """On a developer's single broker the default of 3 cannot work: the words say what to change."""
    with pytest.raises(
        ConfigError, match=r"SEENBY_TOPIC_REPLICATION is 99, and .* has \d+ brokers?:"
    ):
        create(kafka_server.brokers, topic, replication=99)
    admin = AdminClient({"bootstrap.servers": kafka_server.brokers})
    assert topic not in admin.list_topics(timeout=PATIENCE).topics


def test_a_name_that_kafka_refuses_is_a_wrong_setting(kafka_brokers: str) -> None:
    """What Kafka does not accept will not be accepted later: not an outage."""
    with pytest.raises(ConfigError, match="does not create topic a b"):
        create(kafka_brokers, "a b")


def test_no_broker_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens the command ends by itself, and names the address."""
    assert kafka_topics.ANSWER_WITHIN <= 5.0
    monkeypatch.setattr(kafka_topics, "ANSWER_WITHIN", 1.0)
    brokers = f"127.0.0.1:{free_port()}"
    start = time.monotonic()
    with pytest.raises(BusUnavailable, match=brokers):
        create(brokers, "any")
    # The library itself would take a minute.
    assert time.monotonic() - start < 30.0
