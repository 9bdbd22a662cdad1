"""What Kafka says of a topic, beside the contract."""

from __future__ import annotations

from typing import Any

import pytest

from seenby import config
from seenby.doctor.kafka import Topic, about_partitions, about_topic, look

GOOD = Topic(
    "read_receipt_events",
    partitions=16,
    replicas=3,
    in_sync=3,
    led=True,
    settings={
        "cleanup.policy": "delete",
        "retention.ms": "3600000",
        "min.insync.replicas": "2",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.before.max.ms": "9223372036854775807",
    },
)
SETTINGS = config.load({"KAFKA_BROKERS": "broker:9092"})


def configured(**changes: str) -> Topic:
    """The good topic, but for some of its configuration (with _ for .)."""
    return GOOD._replace(
        settings={
            **GOOD.settings,
            **{name.replace("_", "."): text for name, text in changes.items()},
        }
    )


def test_a_topic_as_the_contract_has_it() -> None:
    """There is nothing to say but its size."""
    [found] = about_topic(GOOD, SETTINGS)
    assert (found.level, found.found) == ("ok", "16 partitions, 3 replicas")


@pytest.mark.parametrize(
    ("topic", "level", "found", "todo"),
    [
        (configured(cleanup_policy="compact"), "error", "cleanup.policy", "=delete"),
        (configured(cleanup_policy="compact,delete"), "error", "cleanup.policy", "=delete"),
        (configured(retention_ms="60000"), "warning", "for 1 minute ", "retention.ms=3600000"),
        (configured(retention_ms="-1"), "warning", "for ever", "retention.ms=3600000"),
        (configured(min_insync_replicas="1"), "warning", "one broker", "min.insync.replicas=2"),
        (
            configured(message_timestamp_type="LogAppendTime"),
            "warning",
            "its own time",
            "CreateTime",
        ),
        (
            configured(message_timestamp_before_max_ms="600000"),
            "warning",
            "older than 10 minutes",
            "message.timestamp.before.max.ms=9223372036854775807",
        ),
        (
            configured(message_timestamp_difference_max_ms="3600000"),
            "warning",
            "older than 60 minutes",
            "message.timestamp.difference.max.ms=9223372036854775807",
        ),
        (GOOD._replace(in_sync=1), "error", "1 replicas in step and needs 2", "start the brokers"),
        (GOOD._replace(in_sync=2), "warning", "2 of 3 replicas in step", "start the brokers"),
        (GOOD._replace(led=False), "error", "no broker leads", "start the brokers"),
        (GOOD._replace(settings={}), "warning", "does not show", "DescribeConfigs"),
    ],
)
def test_one_thing_that_is_wrong(topic: Topic, level: str, found: str, todo: str) -> None:
    """It is the only one told, with the command that puts it right."""
    [told] = about_topic(topic, SETTINGS)
    assert told.level == level
    assert found in told.found
    assert todo in told.todo
    assert not told.todo.startswith("kafka-configs") or "broker:9092" in told.todo


def test_fewer_replicas_than_were_meant() -> None:
    """Told by the setting; where one was meant, one is well."""
    lone = GOOD._replace(
        replicas=1, in_sync=1, settings={**GOOD.settings, "min.insync.replicas": "1"}
    )
    [told] = about_topic(lone, SETTINGS)
    assert "SEENBY_TOPIC_REPLICATION is 3" in told.found
    meant = config.load({"KAFKA_BROKERS": "broker:9092", "SEENBY_TOPIC_REPLICATION": "1"})
    assert [found.level for found in about_topic(lone, meant)] == ["ok"]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"a": 16, "b": 16}, ""),
        ({"a": 16, "b": 8}, "--alter --topic b --partitions 16"),
        ({"a": 8, "b": 8}, "set SEENBY_TOPIC_PARTITIONS=8"),
        ({}, ""),
    ],
)
def test_partitions_are_the_same_everywhere(counts: dict[str, int], told: str) -> None:
    """In both topics, and in the setting."""
    topics: dict[str, Any] = {
        name: GOOD._replace(name=name, partitions=count) for name, count in counts.items()
    }
    found = list(about_partitions(topics, SETTINGS))
    assert [item.level for item in found] == (["warning"] if told else [])
    assert all(told in item.todo for item in found)


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "KAFKA_BROKERS is not set"),
        (
            {"KAFKA_BROKERS": "broker:9092", "READ_RECEIPT_KAFKA_ENABLED": "false"},
            "READ_RECEIPT_KAFKA_ENABLED is false",
        ),
    ],
)
def test_without_kafka_nobody_is_asked(environ: dict[str, str], why: str) -> None:
    """Which is well, and the setting that says so is named."""
    [found] = look(config.load(environ))
    assert found.level == "ok"
    assert why in found.found
