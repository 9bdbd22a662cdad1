"""Making topics, as `seenby topic create` does: once, before anything is published."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from seenby.bus.kafka_security import IN_THE_CLEAR, Trouble
from seenby.errors import BusUnavailable, ConfigError

if TYPE_CHECKING:
    from confluent_kafka.admin._metadata import ClusterMetadata

    from seenby.bus.kafka_security import Security

RETENTION_MS = 3_600_000
"""For how many ms records are kept (contract, section 2): the stream is in the database."""

DEAD_LETTER_RETENTION_MS = 7 * 86_400_000
"""For how many ms dead letters are kept: a person has to find the time for them."""

ANSWER_WITHIN = 5.0
"""Seconds that Kafka has for an answer."""

SHOWN_WITHIN = 5.0
ASK_AGAIN = 0.1
"""Seconds in which a broker shows a topic that exists, and between questions for it."""

AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 -- librdkafka's own names
        KafkaError._RESOLVE,  # noqa: SLF001 -- as above
        KafkaError._TIMED_OUT,  # noqa: SLF001 -- as above
        KafkaError._TRANSPORT,  # noqa: SLF001 -- as above
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
    }
)
"""Errors that say: nobody is there who could answer. Any other is a refusal."""


def create_topic(
    brokers: str,
    topic: str,
    *,
    partitions: int,
    replication: int,
    retention_ms: int,
    security: Security = IN_THE_CLEAR,
) -> str:
    """Create *topic*, or find it; what was done or found, as a sentence for a person.

    A topic that exists is left as it is.

    Args:
        brokers: host:port, separated by commas.
        topic: the topic.
        partitions: how many partitions it gets.
        replication: on how many brokers each of them is kept.
        retention_ms: for how long its records are kept.
        security: how the brokers are spoken to (kafka_security.py).

    Raises:
        BusUnavailable: no broker answered within some seconds.
        ConfigError: there are fewer brokers than replicas, or Kafka refuses the topic.
    """
    trouble = Trouble()
    client: dict[str, Any] = {
        **security,
        "bootstrap.servers": brokers,
        "client.id": "seenby-topics",
        "log_level": 0,
        "error_cb": trouble.heard,
    }
    admin = AdminClient(client)
    cluster = _cluster(admin, brokers, trouble)
    if topic not in cluster.topics:
        if replication > len(cluster.brokers):
            raise ConfigError(
                f"SEENBY_TOPIC_REPLICATION is {replication}, and Kafka at {brokers} has "
                f"{_counted(len(cluster.brokers), 'broker')}: every replica needs one of its own"
            )
        wanted = NewTopic(
            topic,
            partitions,
            replication_factor=replication,
            config={"retention.ms": str(retention_ms)},
        )
        if _create(admin, wanted, brokers):
            size = f"{_counted(partitions, 'partition')} and {_counted(replication, 'replica')}"
            return f"topic {topic} is created, with {size}"
        cluster = _cluster_with(topic, admin, brokers, trouble)
    found = len(cluster.topics[topic].partitions)
    but = "" if found == partitions else f", not {partitions}; it is left so"
    return f"topic {topic} exists already, with {_counted(found, 'partition')}{but}"


def _create(admin: AdminClient, topic: NewTopic, brokers: str) -> bool:
    """Whether it was made now; False when somebody else was faster."""
    made = admin.create_topics(
        [topic], operation_timeout=ANSWER_WITHIN, request_timeout=ANSWER_WITHIN
    )[topic.topic]
    try:
        made.result(ANSWER_WITHIN * 2)
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        if reason.code() in AWAY:
            raise _no_answer(brokers, reason.str()) from error
        raise ConfigError(f"Kafka does not create topic {topic.topic}: {reason.str()}") from error
    return True


def _cluster(admin: AdminClient, brokers: str, trouble: Trouble) -> ClusterMetadata:
    """Who and what is there. Asks for all topics: asked for one, some brokers would make it."""
    try:
        return admin.list_topics(timeout=ANSWER_WITHIN)
    except KafkaException as error:
        admin.poll(0)  # What went wrong with the connections is told only now.
        raise _no_answer(brokers, trouble.why or error.args[0].str()) from error


def _cluster_with(
    topic: str, admin: AdminClient, brokers: str, trouble: Trouble
) -> ClusterMetadata:
    """The same with *topic* in it: brokers learn of a new one a while after it was made."""
    patience = time.monotonic() + SHOWN_WITHIN
    while topic not in (cluster := _cluster(admin, brokers, trouble)).topics:
        if time.monotonic() > patience:
            raise _no_answer(brokers, f"topic {topic} is made, and not shown yet")
        time.sleep(ASK_AGAIN)
    return cluster


def _no_answer(brokers: str, why: str) -> BusUnavailable:
    return BusUnavailable(f"Kafka at {brokers} did not answer: {why}")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
