"""The chat's topic when instances die and Kafka goes: every message is registered in the end."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from tests.contract.test_bus_kafka import put
from tests.contract.test_bus_messages import (
    PARTITIONS,
    Book,
    committed,
    is_committed,
    numbered,
    registering,
)
from tests.servers.wait import PATIENCE
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.kafka import Kafka


async def test_who_dies_between_registering_and_committing_loses_nothing(
    kafka_server: Kafka, kafka_brokers: str, topic: str, tmp_path: Path
) -> None:
    """All of it comes again, to another instance, once the group has noticed."""
    kafka_server.create_topic(topic, PARTITIONS)
    await asyncio.to_thread(put, kafka_brokers, topic, *numbered(100))
    database = tmp_path / "database"
    dying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.messages_instance"),
        *(kafka_brokers, topic, str(database)),
    )
    assert await asyncio.wait_for(dying.wait(), PATIENCE) == -signal.SIGKILL
    registered = set(database.read_text(encoding="utf-8").split())
    assert registered
    assert await asyncio.to_thread(committed, kafka_brokers, topic) == 0

    book = Book()
    async with registering(kafka_brokers, topic, book):
        await eventually(lambda: len(book.registered) == 100)
        await is_committed(kafka_brokers, topic, 100)
    assert registered <= book.registered


async def test_a_broker_goes_and_comes_back(restartable_kafka: Kafka, topic: str) -> None:
    """What was read while it was away is registered; it all goes on by itself."""
    kafka, book = restartable_kafka, Book()
    kafka.create_topic(topic, PARTITIONS)
    await asyncio.to_thread(put, kafka.brokers, topic, *numbered(50))
    async with registering(kafka.brokers, topic, book):
        await eventually(lambda: len(book.registered) == 50)
        kafka.kill()
        kafka.start()
        await asyncio.to_thread(put, kafka.brokers, topic, *numbered(100))
        await eventually(lambda: len(book.registered) == 100)
        await is_committed(kafka.brokers, topic, 150)
