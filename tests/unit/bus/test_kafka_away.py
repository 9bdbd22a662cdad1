"""Publisher and feed where no Kafka is: nothing waits for it, and nothing is left behind."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from seenby.bus.kafka import KafkaFeed, KafkaPublisher
from seenby.errors import BusUnavailable
from seenby.model import Event
from tests.unit.eventually import eventually

NOWHERE = "127.0.0.1:1"
EVENT = Event("ann", 1, "m1", "bob", "c1", 1_704_067_200_123, 1_704_067_200_123)


def threads() -> set[threading.Thread]:
    """The bus's threads that are running."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("kafka-")}


async def test_what_waits_for_an_acknowledgement_fails_with_the_close() -> None:
    """The outbox has it; the service need not wait for a bus that is away."""
    before = threads()
    publisher = KafkaPublisher(NOWHERE, "any", updates_topic="other")
    publishing = asyncio.create_task(publisher.publish([EVENT], epoch="e1"))
    await asyncio.sleep(0)
    await publisher.close()
    with pytest.raises(BusUnavailable, match="did not acknowledge"):
        await publishing
    assert threads() - before == set()


async def test_that_kafka_is_not_there_is_logged_once() -> None:
    """Whoever starts seenby with a wrong address learns of it from its log."""
    with capture_logs() as logged:
        publisher = KafkaPublisher(NOWHERE, "any", updates_topic="other")
        await eventually(lambda: any(line["log_level"] == "warning" for line in logged))
        publisher._away("said again")
        await publisher.close()
    [line] = [line for line in logged if line["log_level"] != "debug"]

    assert (line["event"], line["log_level"]) == ("publisher_unhealthy", "warning")
    assert "Connection refused" in line["why"]


async def test_a_full_queue_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in memory is bounded; the outbox holds the rest."""
    publisher = KafkaPublisher(NOWHERE, "any", updates_topic="other")
    # As the library says it.
    monkeypatch.setattr(publisher, "_producer", FullProducer(publisher._producer))
    with pytest.raises(BusUnavailable, match="too many records"):
        await publisher.publish([EVENT], epoch="e1")
    await publisher.close()


class FullProducer:
    """A producer whose queue is full."""

    def __init__(self, real: object) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def __len__(self) -> int:
        return 0

    def produce(self, *_: object, **__: object) -> None:
        """Refuse."""
        raise BufferError("Local: Queue full")


async def test_a_feed_that_was_never_started_joins_nothing() -> None:
    """It says so instead of waiting, and may be closed."""
    feed = KafkaFeed(NOWHERE, "any", "group", "node", updates_topic="other")
    with pytest.raises(BusUnavailable, match="not running"):
        await feed.join(0)
    feed.leave(0)
    assert not feed.healthy
    await feed.close()
