"""Fixtures of the acceptance tests: processes that end with their test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.store.schema import migrate
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.kafka import Kafka

    Launch = Callable[..., Seenby]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """``launch(role, name=..., **settings)`` starts a process that ends with the test."""
    started: list[Seenby] = []

    def start(role: str, name: str = "", **settings: str) -> Seenby:
        process = Seenby(role, tmp_path, settings, name)
        started.append(process)
        return process.start()

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def servers(mariadb_url: str, kafka_server: Kafka, topic: str) -> dict[str, str]:
    """Settings for seenby on the run's MariaDB and Kafka, with topics of 16 partitions."""
    updates_topic = f"{topic}_updates"
    for name in (topic, updates_topic):
        kafka_server.create_topic(name, partitions=16)
    return {
        "SEENBY_DATABASE_URL": mariadb_url,
        "KAFKA_BROKERS": kafka_server.brokers,
        "READ_RECEIPT_TOPIC": topic,
        "READ_RECEIPT_UPDATES_TOPIC": updates_topic,
    }


@pytest.fixture
def migrated(servers: dict[str, str]) -> None:
    """The run's database has the current schema."""
    migrate(servers["SEENBY_DATABASE_URL"])
