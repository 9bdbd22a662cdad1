"""The partitions one consumer reads, chosen by hand: where each was joined, how far it is.

Used by one thread. Every method may raise KafkaException; none waits longer than ANSWER_WITHIN
for a broker, but for close().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_INVALID, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Consumer

ANSWER_WITHIN = 2.0
"""Seconds that a broker has for an answer."""


class Assignment:
    """What *consumer* reads of *topic*."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._joined: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    @property
    def joined(self) -> int:
        """How many partitions are read."""
        return len(self._joined)

    def join(self, partition: int, *, at_start: bool) -> None:
        """Read *partition* from its end as the broker knows it now, or from its start."""
        if partition in self._joined:
            return
        found = self._consumer.get_watermark_offsets(self._of(partition), timeout=ANSWER_WITHIN)
        # The library's own promise: a pair, or None when nobody answered in time.
        if found is None:
            raise TimeoutError(f"no answer within {ANSWER_WITHIN} s")
        start, end = found
        offset = start if at_start else end
        self._consumer.incremental_assign([self._of(partition, offset)])
        self._joined[partition] = offset

    def leave(self, partition: int) -> None:
        """Read *partition* no longer, if it is read."""
        if self._joined.pop(partition, None) is not None:
            self._committed.pop(partition, None)
            self._consumer.incremental_unassign([self._of(partition)])

    def progress(self) -> tuple[list[TopicPartition], int]:
        """Offsets that have moved since the last commit, and how many records wait in all."""
        lag = 0
        moved: list[TopicPartition] = []
        for place in self._consumer.position([self._of(partition) for partition in self._joined]):
            # A partition of which nothing has come yet has no position: it stands at its start.
            offset = place.offset if place.offset >= 0 else self._joined[place.partition]
            known = self._consumer.get_watermark_offsets(place, cached=True)
            if known is not None:
                lag += max(known[1] - offset, 0)
            if self._committed.get(place.partition) != offset:
                moved.append(self._of(place.partition, offset))
        return moved, lag

    def commit(self, offsets: Sequence[TopicPartition], *, wait: bool) -> None:
        """Commit *offsets* under the consumer's group, which has no members."""
        if not offsets:
            return
        if wait:
            self._consumer.commit(offsets=list(offsets), asynchronous=False)
        else:
            self._consumer.commit(offsets=list(offsets), asynchronous=True)
        self._committed.update((place.partition, place.offset) for place in offsets)

    def _of(self, partition: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)
