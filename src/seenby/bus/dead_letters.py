"""Where records go that nobody can decode: ``<topic>.dlq``, as they were, with the reason.

A dead letter that cannot be written is logged and counted; it holds nothing up. Every gateway
that reads the record writes its own, so one bad record may be there several times: its source
headers tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaException, Producer

from seenby.bus.kafka_security import IN_THE_CLEAR

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from seenby.bus.kafka_security import Security

SUFFIX = ".dlq"

QUEUE = 10_000
"""Dead letters that wait for a broker at most; more are lost, and counted."""

Headers = list[tuple[str, str | bytes | None]]

log = structlog.get_logger()


class DeadLetters:
    """Writes dead letters. The producer is built with the first one.

    Args:
        brokers: host:port, separated by commas.
        security: how they are spoken to (kafka_security.py).

    Attributes:
        written: how many the broker has acknowledged.
    """

    def __init__(self, brokers: str, security: Security = IN_THE_CLEAR) -> None:
        self.written = 0
        self._refused = 0
        self._failed = 0
        self._producer: Producer | None = None
        self._settings: dict[str, Any] = {
            **security,
            "bootstrap.servers": brokers,
            "client.id": "seenby-dead-letters",
            "acks": "all",
            "compression.type": "snappy",
            "message.timeout.ms": 30_000,
            "queue.buffering.max.messages": QUEUE,
            "allow.auto.create.topics": False,
            "log_level": 0,
            "error_cb": lambda _: None,
        }

    @property
    def lost(self) -> int:
        """How many could not be written."""
        return self._refused + self._failed

    def write(self, record: Message, reason: str) -> None:
        """Hand over *record* with the reason; never waits."""
        topic = f"{record.topic()}{SUFFIX}"
        headers: Headers = [
            ("reason", reason),
            ("source_topic", record.topic()),
            ("source_partition", str(record.partition())),
            ("source_offset", str(record.offset())),
        ]
        originals = record.headers()
        headers += originals if isinstance(originals, list) else ()
        if self._producer is None:
            self._producer = Producer(self._settings)
        try:
            self._producer.produce(
                topic,
                record.value(),
                record.key(),
                on_delivery=self._answered,
                timestamp=max(record.timestamp()[1], 0),
                headers=headers,
            )
        except (BufferError, KafkaException) as error:
            self._refused += 1
            self._complain(topic, str(error))

    def serve(self) -> None:
        """Take in what the broker has answered; call it now and then."""
        if self._producer is not None:
            self._producer.poll(0)

    def flush(self, within: float) -> None:
        """Wait until the broker has answered for all of them, for so many seconds at most."""
        if self._producer is not None:
            self._producer.flush(within)

    def close(self, within: float) -> None:
        """Flush for so many seconds."""
        if self._producer is not None:
            self._producer.flush(within)
            self._producer.purge()
            self._producer.flush(within)

    def _answered(self, error: KafkaError | None, letter: Message) -> None:
        if error is None:
            self.written += 1
        else:
            self._failed += 1
            self._complain(letter.topic(), str(error))

    def _complain(self, topic: str | None, why: str) -> None:
        log.error("dead_letter_lost", topic=topic, why=why)
