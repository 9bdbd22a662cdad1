"""Which partition a key belongs to, also while a topic grows.

The rule is the original producer's (Sarama's HashPartitioner, librdkafka's ``fnv1a``): FNV-1a 32
of the key, taken as a signed number, its absolute value, modulo the number of partitions. With
an unsigned modulo 42 % of all keys would be looked for in the wrong partition.
"""

from __future__ import annotations

import msgspec

OFFSET_BASIS = 0x811C9DC5
PRIME = 0x01000193
BITS_32 = 0xFFFFFFFF

GROWTH_GRACE = 660.0
"""Seconds in which the old partition is read beside the new one. A librdkafka producer asks for
the topic's layout every five minutes by default, a Sarama one every ten."""

FRESH_FOR = 60.0
"""Seconds after its discovery in which a new partition is joined at its start, so that nothing
is missed that was published before this node had noticed it."""


def fnv1a(key: bytes) -> int:
    """FNV-1a, 32 bits, unsigned (draft-eastlake-fnv, section 2)."""
    number = OFFSET_BASIS
    for byte in key:
        number = (number ^ byte) * PRIME & BITS_32
    return number


def partition_of(user_id: str, partitions: int) -> int:
    """The partition of a user's records in a topic of that many partitions."""
    number = fnv1a(user_id.encode())
    signed = number - 2**32 if number >= 2**31 else number
    return abs(signed) % partitions


class _Layout(msgspec.Struct, frozen=True):
    """The number of partitions now, since when, and numbers that may still be in use."""

    count: int = 0
    since: float = 0.0
    fresh_from: int = 0
    older: tuple[tuple[int, float], ...] = ()


class Layout:
    """The topic's number of partitions, now and shortly before. Times are in seconds.

    One thread may learn while others ask: the state is one value, replaced as a whole.
    """

    def __init__(self) -> None:
        self._now = _Layout()

    @property
    def count(self) -> int:
        """How many partitions there are; 0 while that is not known."""
        return self._now.count

    def learn(self, count: int, now: float) -> bool:
        """The bus says there are *count* partitions; whether answers changed by it."""
        was = self._now
        older = tuple((size, until) for size, until in was.older if until > now)
        if count == was.count:
            if older == was.older:
                return False
            self._now = msgspec.structs.replace(was, older=older)
            return True
        grown = 0 < was.count < count
        self._now = _Layout(
            count=count,
            since=now,
            fresh_from=was.count if grown else count,
            # A topic that shrank was made anew: there are no old partitions to read.
            older=(*older, (was.count, now + GROWTH_GRACE)) if grown else (),
        )
        return True

    def of(self, user_id: str) -> frozenset[int]:
        """Where records of this user may arrive; empty while nothing is known."""
        layout = self._now
        if not layout.count:
            return frozenset()
        sizes = (layout.count, *(size for size, _ in layout.older))
        return frozenset(partition_of(user_id, size) for size in sizes)

    def fresh(self, partition: int, now: float) -> bool:
        """Whether the partition came with a growth that was noticed just now."""
        layout = self._now
        return partition >= layout.fresh_from and now < layout.since + FRESH_FOR
