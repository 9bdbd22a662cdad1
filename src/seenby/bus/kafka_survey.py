"""What Kafka says of some topics: are they there, how many partitions, where do those end.

It asks through a client of its own, so that a broker that hangs holds up questions and nothing
else (docs/decisions/kafka-threads.md). One thread asks; what is known may be read in any.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from seenby.bus.kafka_security import todo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANSWER_WITHIN = 2.0
"""Seconds that a broker has for an answer."""

ASK_AGAIN = 0.02
"""Seconds between questions about a partition that nobody leads yet."""

MOVED = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 -- librdkafka's own name
    }
)
"""The partition is led by another broker than was asked, or by none yet."""

log = structlog.get_logger()


class Survey:
    """Asks about *topics*, with a consumer of these *settings*.

    Attributes:
        counts: the number of partitions of each topic that is there; empty while nobody answers.
            Replaced as a whole.
    """

    def __init__(self, settings: dict[str, Any], topics: Sequence[str]) -> None:
        self.counts: Mapping[str, int] = {}
        self._topics = topics
        self._missing: set[str] = set()
        self._consumer = Consumer(settings)

    @property
    def complete(self) -> bool:
        """Whether every topic was there when last asked for."""
        return len(self.counts) == len(self._topics)

    def look(self) -> set[str]:
        """Ask for the topics, and so whether anybody is there.

        Returns those that are there now and were missing before: they are new.
        """
        counts: dict[str, int] = {}
        missing: dict[str, KafkaError] = {}
        for name in self._topics:
            try:
                topic = self._consumer.list_topics(name, timeout=ANSWER_WITHIN).topics[name]
            except KafkaException as error:
                self.away(str(error))
                return set()
            if topic.error is None:
                counts[name] = len(topic.partitions)
            else:
                missing[name] = topic.error
        for name, why in missing.items():
            if name not in self._missing:
                log.warning("topic_missing", topic=name, why=str(why), todo=todo(why))
        was_complete, were_missing = self.complete, self._missing
        self.counts, self._missing = counts, set(missing)
        if self.complete and not was_complete:
            log.info("feed_healthy", partitions=counts)
        return were_missing & counts.keys()

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset of a partition, and the one that the next record will get.

        Raises:
            KafkaException: the broker refuses to say.
            TimeoutError: nobody answered in time.
        """
        place = TopicPartition(topic, partition)
        patience = time.monotonic() + ANSWER_WITHIN
        while True:
            try:
                found = self._consumer.get_watermark_offsets(place, timeout=ANSWER_WITHIN)
            except KafkaException as error:
                if error.args[0].code() not in MOVED or time.monotonic() > patience:
                    raise
                # A partition that has just been made, or whose leader has gone: who leads it now?
                time.sleep(ASK_AGAIN)
                self._consumer.list_topics(topic, timeout=ANSWER_WITHIN)
            else:
                # The library's own promise: a pair, or None when nobody answered in time.
                if found is None:
                    raise TimeoutError(f"no answer within {ANSWER_WITHIN} s")
                return found

    def away(self, why: str) -> None:
        """Nobody answers; from any thread."""
        if self.counts:
            log.warning("feed_unhealthy", why=why)
        self.counts = {}

    def doubt(self, topic: str) -> None:
        """Something is wrong with a topic: it is not there until found again; from any thread."""
        self.counts = {name: count for name, count in self.counts.items() if name != topic}

    def serve(self) -> None:
        """Nothing comes for this client but news of its connections, which nobody wants."""
        self._consumer.poll(0)

    def close(self) -> None:
        """Ask nothing more."""
        self._consumer.close()
