"""The simulation of who reads which partitions, and its picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench.chart import Chart, svg
from bench.partitions import (
    DELIVERY_US,
    DROP_US,
    FEW_USERS,
    GATEWAYS,
    PARTITIONS,
    PICTURE,
    SHOWN_USERS,
    Spread,
    at_random,
    by_part,
    consistent,
    crowd,
    modulo,
    picture,
    table,
)
from seenby.bus.partitions import partition_of

FEW = crowd(300)


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_records_are_where_seenby_publishes_them(partitions: int) -> None:
    """A user's records are in the partition that the producer takes, however many there are."""
    records = [0] * partitions
    for number in range(300):
        records[partition_of(f"user{number}", partitions)] += 1
    assert FEW.records(partitions) == records


def test_a_gateway_reads_what_its_users_hash_to() -> None:
    """At random: whole partitions, of each user with a device there, and no others."""
    spread = at_random(FEW, 64, 8, 2)
    read = [0] * 8
    for gateway in range(8):
        users = {n for place in FEW.places[:2] for n in range(300) if place[n] % 8 == gateway}
        joined = {FEW.partitions[n] % 64 for n in users}
        read[gateway] = sum(partition % 64 in joined for partition in FEW.partitions)
    assert spread.read == read


def test_a_record_is_wanted_where_a_device_of_its_user_is() -> None:
    """Once for each gateway that has one, and delivered to every device."""
    spread = at_random(FEW, 16, 4, 3)
    wanted = [{place[n] % 4 for place in FEW.places} for n in range(300)]
    assert spread.wanted == sum(map(len, wanted))
    assert sum(spread.deliveries) == 3 * 300


def test_one_gateway_reads_everything_once() -> None:
    """With a single gateway nothing is read for nobody."""
    spread = at_random(FEW, 16, 1, 3)
    assert (spread.amplification, spread.share, spread.busiest) == (1, 1, 1)
    assert spread.us == DELIVERY_US


def test_at_random_each_gateway_of_many_users_reads_everything() -> None:
    """Once every gateway has a user of every partition, reading grows with the gateways."""
    assert at_random(crowd(5_000), 16, 8, 1).amplification == 8


@pytest.mark.parametrize("owners", [consistent, modulo])
@pytest.mark.parametrize("gateways", GATEWAYS)
def test_by_part_each_record_is_read_once(owners: object, gateways: int) -> None:
    """Whatever the load balancer's rule: the users of a partition, and all their devices, meet."""
    assert callable(owners)
    spread = by_part(FEW, 64, gateways, 3, owners)
    assert spread.amplification == 1
    assert sum(spread.deliveries) == 3 * 300
    assert spread.us == DELIVERY_US


def test_what_is_read_for_nobody_costs() -> None:
    """A record that is dropped is paid for by the deliveries."""
    spread = Spread(read=[90, 60], wanted=100, deliveries=[150, 50], written=100)
    assert spread.amplification == pytest.approx(1.5)
    assert spread.share == pytest.approx(0.75)
    assert spread.busiest == pytest.approx(1.5)
    assert spread.us == pytest.approx(DELIVERY_US + DROP_US * 50 / 200)


def test_consistent_hashing_moves_few_partitions() -> None:
    """One gateway more takes partitions from others; none moves between those."""
    before, after = consistent(256, 8), consistent(256, 9)
    moved = {new for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {8}


def test_modulo_uses_no_more_gateways_than_partitions() -> None:
    """With more gateways than partitions the rest has no users."""
    assert set(modulo(16, 64)) == set(range(16))


def test_the_table_has_every_case() -> None:
    """A line for each number of partitions and of gateways."""
    assert len(table(FEW)) == len(PARTITIONS) * len(GATEWAYS)


def test_the_picture_in_the_documentation_is_the_one_that_is_drawn() -> None:
    """Drawn again it is the same, byte for byte."""
    drawn = picture(crowd(SHOWN_USERS), crowd(FEW_USERS))
    assert PICTURE.read_text(encoding="utf-8") == drawn


def test_a_chart_is_read_without_its_colours() -> None:
    """Title, both axes and each line have their words, and what would be a tag is escaped."""
    chart = Chart("T<", "across", "up", {"first": [(1, 1), (4, 2)], "second": [(1, 2), (4, 2)]})
    root = ET.fromstring(svg([chart], "about"))  # noqa: S314 -- written a line above
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"T<", "across", "up", "first", "second"} <= set(words)


def test_points_lie_by_their_logarithms() -> None:
    """Half way between 1 and 4 is 2; up is more."""
    drawn = svg([Chart("", "", "", {"line": [(1, 1), (2, 4), (4, 16)]})], "")
    assert '<path class="line l0" d="M56.0 264.0L216.0 154.0L376.0 44.0"/>' in drawn
