"""Kafka: is it there, and are the topics what the contract promises to others.

Two things Kafka does not tell to whoever only looks. Its version: no setting of a broker shows it
since 4.0, and of the versions of its calls librdkafka speaks in its debugging log alone. Its clock:
it gives the time to records only, and nothing is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from seenby.bus.dead_letters import SUFFIX
from seenby.bus.kafka_security import Trouble, security_of
from seenby.bus.kafka_topics import RETENTION_MS
from seenby.doctor.finding import Finding, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

    from seenby.settings import Settings

CHECK = "Kafka"

ANSWER_WITHIN = 5.0
"""Seconds that Kafka has for an answer."""

CREATE = "seenby topic create"

WAITING_MS = 86_400_000
"""For how many ms Kafka may be away before a topic may refuse what waited: a day at the least."""

AGE_LIMITS = ("message.timestamp.before.max.ms", "message.timestamp.difference.max.ms")
"""How old a record may be: as Kafka calls it since 3.6, and before."""


class Topic(NamedTuple):
    """What Kafka says of a topic.

    Attributes:
        name: of the topic.
        partitions: how many.
        replicas: on how many brokers each partition is kept, at the least.
        in_sync: how many of those are up to date, at the least.
        led: whether each partition has a broker that takes records.
        settings: its configuration; empty where seenby may not see it.
    """

    name: str
    partitions: int
    replicas: int
    in_sync: int
    led: bool
    settings: Mapping[str, str]


def look(settings: Settings) -> Iterator[Finding]:
    """The brokers and the topics."""
    if not settings.kafka:
        why = "KAFKA_BROKERS is not set"
        if settings.kafka_brokers:
            why = "READ_RECEIPT_KAFKA_ENABLED is false"
        yield ok(CHECK, f"is not used: {why}. API and gateway then belong in one: seenby serve")
        return
    trouble = Trouble()
    client: dict[str, Any] = {
        **security_of(settings),
        "bootstrap.servers": settings.kafka_brokers,
        "client.id": "seenby-doctor",
        "log_level": 0,
        "error_cb": trouble.heard,
    }
    admin = AdminClient(client)
    try:
        # All topics: asked for one, some brokers would make it.
        cluster = admin.list_topics(timeout=ANSWER_WITHIN)
    except KafkaException as problem:
        admin.poll(0)
        yield error(
            CHECK,
            f"{settings.kafka_brokers} does not answer: {trouble.why or problem.args[0].str()}",
            "start it, or put right KAFKA_BROKERS and KAFKA_SECURITY_PROTOCOL",
        )
        return
    yield ok(CHECK, f"{settings.kafka_brokers} answers: {_counted(len(cluster.brokers), 'broker')}")
    yield from _topics(settings, admin, cluster)


def _topics(settings: Settings, admin: AdminClient, cluster: ClusterMetadata) -> Iterator[Finding]:
    ours = list(dict.fromkeys((settings.topic, settings.gateway_topic, settings.updates_topic)))
    there = [name for name in ours if name in cluster.topics]
    configured = _configured(admin, there)
    found = {name: _topic(cluster.topics[name], configured.get(name, {})) for name in there}
    for name in ours:
        if name not in found:
            yield error(f"topic {name}", "is not there", CREATE)
        else:
            yield from about_topic(found[name], settings)
    yield from about_partitions(found, settings)
    for name in (settings.topic, settings.updates_topic, settings.messages_topic):
        if name + SUFFIX not in cluster.topics:
            why = "is not there: what cannot be decoded would go to it, and is lost instead"
            yield warning(f"topic {name}{SUFFIX}", why, CREATE)
    if settings.messages_topic in cluster.topics:
        yield ok(f"topic {settings.messages_topic}", "is there: messages are registered from it")
    else:
        why = "is not there: messages are registered over HTTP only"
        yield ok(f"topic {settings.messages_topic}", why)


def _topic(found: TopicMetadata, settings: Mapping[str, str]) -> Topic:
    parts = found.partitions.values()
    return Topic(
        str(found.topic),
        len(parts),
        min((len(part.replicas) for part in parts), default=0),
        min((len(part.isrs) for part in parts), default=0),
        all(part.leader >= 0 for part in parts),
        settings,
    )


def _configured(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """The configuration of each topic that seenby may see it of."""
    if not names:
        return {}
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for resource, answer in admin.describe_configs(asked, request_timeout=ANSWER_WITHIN).items():
        try:
            entries = answer.result(ANSWER_WITHIN)
        except (KafkaException, TimeoutError):
            continue
        found[str(resource.name)] = {name: str(entry.value) for name, entry in entries.items()}
    return found


def about_topic(topic: Topic, settings: Settings) -> Iterator[Finding]:
    """Whether a topic is as the contract has it (docs/kafka.md)."""
    check = f"topic {topic.name}"
    wrong = [*_availability(check, topic, settings), *_configuration(check, topic, settings)]
    yield from wrong
    if not wrong:
        size = f"{_counted(topic.partitions, 'partition')}, {_counted(topic.replicas, 'replica')}"
        yield ok(check, size)


def _availability(check: str, topic: Topic, settings: Settings) -> Iterator[Finding]:
    if not topic.led:
        todo = "start the brokers that are down: kafka-topics.sh --describe names them"
        yield error(check, "has a partition that no broker leads: nothing can be published", todo)
    least = int(topic.settings.get("min.insync.replicas", "1"))
    if topic.in_sync < least:
        found = f"has {topic.in_sync} replicas in step and needs {least} to take a record"
        yield error(check, found, "start the brokers that are down, or lower min.insync.replicas")
    elif topic.in_sync < topic.replicas:
        found = f"has {topic.in_sync} of {topic.replicas} replicas in step"
        yield warning(check, found, "start the brokers that are down")
    if topic.replicas < settings.topic_replication:
        found = f"has {_counted(topic.replicas, 'replica')}, SEENBY_TOPIC_REPLICATION is "
        yield warning(
            check,
            f"{found}{settings.topic_replication}: fewer brokers may fail than was meant",
            f"kafka-reassign-partitions.sh, or set SEENBY_TOPIC_REPLICATION={topic.replicas}",
        )
    if topic.settings and topic.replicas > 2 > least:  # noqa: PLR2004 -- one more than one
        found = "takes records that one broker alone has (min.insync.replicas is 1)"
        yield warning(check, found, _alter(settings, topic, "min.insync.replicas=2"))


def _configuration(check: str, topic: Topic, settings: Settings) -> Iterator[Finding]:
    if not topic.settings:
        todo = "allow DescribeConfigs to whoever seenby is to Kafka, or look for yourself"
        yield warning(check, "does not show its configuration", todo)
        return
    policy = topic.settings.get("cleanup.policy", "delete")
    if policy != "delete":
        found = f"keeps the last record of each sender only (cleanup.policy is {policy})"
        yield error(check, found, _alter(settings, topic, "cleanup.policy=delete"))
    retention = int(topic.settings.get("retention.ms", RETENTION_MS))
    if retention != RETENTION_MS:
        much = "for ever" if retention < 0 else f"for {_minutes(retention)}"
        found = f"keeps records {much} (retention.ms is {retention}, {RETENTION_MS} was promised)"
        yield warning(check, found, _alter(settings, topic, f"retention.ms={RETENTION_MS}"))
    if topic.settings.get("message.timestamp.type", "CreateTime") != "CreateTime":
        found = "gives records its own time: that of the commit is lost, and latencies are wrong"
        yield warning(check, found, _alter(settings, topic, "message.timestamp.type=CreateTime"))
    for name in AGE_LIMITS:
        age = int(topic.settings.get(name, WAITING_MS))
        if age < WAITING_MS:
            found = f"refuses records older than {_minutes(age)}, such as wait while Kafka is away"
            yield warning(
                check, f"{found} ({name})", _alter(settings, topic, f"{name}={2**63 - 1}")
            )


def about_partitions(found: Mapping[str, Topic], settings: Settings) -> Iterator[Finding]:
    """Whether both topics have as many partitions, and as many as is said."""
    counts = {name: topic.partitions for name, topic in found.items()}
    if len(set(counts.values())) > 1:
        most = max(counts.values())
        fewer = min(counts, key=lambda name: counts[name])
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        yield warning(
            "partitions",
            f"differ ({told}): each gateway reads more of them than it has to",
            f"kafka-topics.sh --bootstrap-server {settings.kafka_brokers} --alter --topic {fewer}"
            f" --partitions {most}",
        )
    elif counts and settings.topic_partitions not in counts.values():
        count = next(iter(counts.values()))
        yield warning(
            "partitions",
            f"of the topics are {count}, SEENBY_TOPIC_PARTITIONS is {settings.topic_partitions}: "
            "while Kafka is away, users are sent to other gateways than those that read for them",
            f"set SEENBY_TOPIC_PARTITIONS={count}",
        )


def _alter(settings: Settings, topic: Topic, change: str) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {settings.kafka_brokers} --alter"
        f" --entity-type topics --entity-name {topic.name} --add-config {change}"
    )


def _minutes(ms: int) -> str:
    number = f"{ms / 60_000:,.0f}"
    return f"{number} minute" if number == "1" else f"{number} minutes"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
