"""Which partition a key belongs to, also while a topic grows."""

from __future__ import annotations

import pytest

from seenby.bus.partitions import FRESH_FOR, GROWTH_GRACE, Layout, fnv1a, partition_of

USERS = [f"user{number}" for number in range(500)]


@pytest.mark.parametrize(
    ("key", "number"),
    [
        (b"", 0x811C9DC5),
        (b"a", 0xE40C292C),
        (b"b", 0xE70C2DE5),
        (b"foo", 0xA9F37ED7),
        (b"foobar", 0xBF9CF968),
        (b"hello", 0x4F9F2CAB),
    ],
)
def test_fnv1a_gives_the_published_numbers(key: bytes, number: int) -> None:
    """The vectors of draft-eastlake-fnv, appendix C, 32 bits, without a trailing zero."""
    assert fnv1a(key) == number


@pytest.mark.parametrize(
    ("key", "partitions", "partition"),
    [
        # 0x4F9F2CAB is 1335831723 with either sign.
        ("hello", 16, 1335831723 % 16),
        # 0xE40C292C is -468965076 as a signed number: 4 of 16 both ways, but not of 10.
        ("a", 10, 468965076 % 10),
        ("foobar", 7, (2**32 - 0xBF9CF968) % 7),
    ],
)
def test_the_number_is_taken_as_signed(key: str, partitions: int, partition: int) -> None:
    """Sarama's HashPartitioner: int32, absolute value, modulo."""
    assert partition_of(key, partitions) == partition


def test_an_unsigned_modulo_would_be_wrong() -> None:
    """For a good part of the keys, unless the number of partitions is a power of two."""
    assert partition_of("a", 10) != fnv1a(b"a") % 10
    wrong = [user for user in USERS if partition_of(user, 12) != fnv1a(user.encode()) % 12]
    assert len(wrong) > len(USERS) / 4


@pytest.mark.parametrize("partitions", [1, 2, 7, 16, 1000])
def test_every_partition_is_of_the_topic(partitions: int) -> None:
    """And all of them are used, where there are users enough."""
    found = {partition_of(user, partitions) for user in USERS}
    assert found <= set(range(partitions))
    assert len(found) >= min(partitions, 16)


class TestLayout:
    def test_nothing_is_known_at_first(self) -> None:
        """No partition, rather than a wrong one."""
        layout = Layout()
        assert layout.count == 0
        assert layout.of("ann") == frozenset()

    def test_a_topic_that_stands_still_has_one_partition_for_each(self) -> None:
        """Found is a change; found again is none."""
        layout = Layout()
        assert layout.learn(4, 0.0)
        assert not layout.learn(4, 10.0)
        for user in USERS:
            assert layout.of(user) == {partition_of(user, 4)}

    def test_what_was_there_when_found_is_not_fresh(self) -> None:
        """Its records are in the store already: it is joined at its end."""
        layout = Layout()
        layout.learn(4, 0.0)
        assert not any(layout.fresh(partition, 0.0) for partition in range(4))

    def test_a_grown_topic_is_read_both_ways_for_a_while(self) -> None:
        """Until every producer must have noticed: then in the new way only."""
        layout = Layout()
        layout.learn(4, 0.0)
        assert layout.learn(8, 100.0)
        for user in USERS:
            assert layout.of(user) == {partition_of(user, 4), partition_of(user, 8)}
        assert not layout.learn(8, 100.0 + GROWTH_GRACE - 1)
        assert layout.learn(8, 100.0 + GROWTH_GRACE)
        for user in USERS:
            assert layout.of(user) == {partition_of(user, 8)}

    def test_new_partitions_are_fresh_for_a_while(self) -> None:
        """Joined at their start, so that nothing is missed from before they were noticed."""
        layout = Layout()
        layout.learn(4, 0.0)
        layout.learn(8, 100.0)
        assert [layout.fresh(partition, 100.0) for partition in (0, 3, 4, 7)] == [
            False,
            False,
            True,
            True,
        ]
        assert layout.fresh(4, 100.0 + FRESH_FOR - 1)
        assert not layout.fresh(4, 100.0 + FRESH_FOR)

    def test_a_topic_that_grows_twice_is_read_in_three_ways(self) -> None:
        """Each former number for its own while."""
        layout = Layout()
        layout.learn(2, 0.0)
        layout.learn(4, 100.0)
        layout.learn(8, 200.0)
        for user in USERS:
            assert layout.of(user) == {partition_of(user, count) for count in (2, 4, 8)}
        assert layout.learn(8, 100.0 + GROWTH_GRACE)
        for user in USERS:
            assert layout.of(user) == {partition_of(user, count) for count in (4, 8)}
        assert layout.learn(8, 200.0 + GROWTH_GRACE)
        assert layout.of("ann") == {partition_of("ann", 8)}

    def test_a_topic_that_shrank_was_made_anew(self) -> None:
        """Kafka cannot take partitions away: there is nothing old to read, and nothing fresh."""
        layout = Layout()
        layout.learn(8, 0.0)
        assert layout.learn(4, 100.0)
        assert layout.count == 4
        for user in USERS:
            assert layout.of(user) == {partition_of(user, 4)}
        assert not any(layout.fresh(partition, 100.0) for partition in range(4))

    def test_a_topic_that_grows_and_shrinks_is_read_within_its_bounds(self) -> None:
        """A partition that is not there any more is not asked for."""
        layout = Layout()
        layout.learn(4, 0.0)
        layout.learn(8, 100.0)
        layout.learn(2, 200.0)
        for user in USERS:
            assert layout.of(user) <= {0, 1}
