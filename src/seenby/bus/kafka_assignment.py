"""The partitions one consumer reads, chosen by hand: where each was joined, how far it is.

Used by the thread that owns the consumer. Nothing here asks a broker, so nothing waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_INVALID, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Consumer


class Assignment:
    """What *consumer* reads of *topic*. Its methods may raise KafkaException."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._joined: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._joined

    def __len__(self) -> int:
        return len(self._joined)

    def join(self, partition: int, offset: int) -> None:
        """Read *partition* from *offset*, unless it is read already."""
        if partition not in self._joined:
            self._consumer.incremental_assign([self._of(partition, offset)])
            self._joined[partition] = offset

    def leave(self, partition: int) -> None:
        """Read *partition* no longer, if it is read."""
        if self._joined.pop(partition, None) is not None:
            self._committed.pop(partition, None)
            self._consumer.incremental_unassign([self._of(partition)])

    def position(self, partition: int) -> int:
        """The offset of the next record of a partition that is read."""
        [place] = self._consumer.position([self._of(partition)])
        # A partition of which nothing has come yet has no position: it stands at its start.
        return place.offset if place.offset >= 0 else self._joined[partition]

    def progress(self) -> tuple[list[TopicPartition], int]:
        """Offsets that have moved since the last commit, and how many records wait in all."""
        lag = 0
        moved: list[TopicPartition] = []
        for partition in self._joined:
            offset = self.position(partition)
            place = self._of(partition, offset)
            known = self._consumer.get_watermark_offsets(place, cached=True)
            if known is not None:
                lag += max(known[1] - offset, 0)
            if self._committed.get(partition) != offset:
                moved.append(place)
        return moved, lag

    def commit(self, offsets: Sequence[TopicPartition]) -> None:
        """Commit *offsets*, without waiting, under the consumer's group, which has no members."""
        if offsets:
            self._consumer.commit(offsets=list(offsets), asynchronous=True)
            self._committed.update((place.partition, place.offset) for place in offsets)

    def uncommitted(self) -> None:
        """A commit has failed: all offsets are to be committed again."""
        self._committed.clear()

    def _of(self, partition: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)
