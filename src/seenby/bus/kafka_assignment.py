"""The partitions one consumer reads, chosen by hand: where each was joined, how far it is.

Used by the thread that owns the consumer. Nothing here asks a broker, so nothing waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import OFFSET_INVALID, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Consumer


class Place(NamedTuple):
    """A partition of one of the topics."""

    topic: str
    partition: int

    def at(self, offset: int = OFFSET_INVALID) -> TopicPartition:
        """An offset in it, as the library wants it."""
        return TopicPartition(self.topic, self.partition, offset)


class Assignment:
    """What *consumer* reads. Its methods may raise KafkaException."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._joined: dict[Place, int] = {}
        self._committed: dict[Place, int] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._joined

    def __len__(self) -> int:
        return len(self._joined)

    def join(self, place: Place, offset: int) -> None:
        """Read *place* from *offset*, unless it is read already."""
        if place not in self._joined:
            self._consumer.incremental_assign([place.at(offset)])
            self._joined[place] = offset

    def leave(self, place: Place) -> None:
        """Read *place* no longer, if it is read."""
        if self._joined.pop(place, None) is not None:
            self._committed.pop(place, None)
            self._consumer.incremental_unassign([place.at()])

    def position(self, place: Place) -> int:
        """The offset of the next record of a place that is read."""
        [found] = self._consumer.position([place.at()])
        # A partition of which nothing has come yet has no position: it stands at its start.
        return found.offset if found.offset >= 0 else self._joined[place]

    def progress(self) -> tuple[list[TopicPartition], int]:
        """Offsets that have moved since the last commit, and how many records wait in all."""
        lag = 0
        moved: list[TopicPartition] = []
        for place in self._joined:
            offset = self.position(place)
            known = self._consumer.get_watermark_offsets(place.at(), cached=True)
            if known is not None:
                lag += max(known[1] - offset, 0)
            if self._committed.get(place) != offset:
                moved.append(place.at(offset))
        return moved, lag

    def commit(self, offsets: Sequence[TopicPartition]) -> None:
        """Commit *offsets*, without waiting, under the consumer's group, which has no members."""
        if offsets:
            self._consumer.commit(offsets=list(offsets), asynchronous=True)
            self._committed.update((Place(at.topic, at.partition), at.offset) for at in offsets)

    def uncommitted(self) -> None:
        """A commit has failed: all offsets are to be committed again."""
        self._committed.clear()
