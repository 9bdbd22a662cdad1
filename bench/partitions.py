"""How much of the topic gateways read, with and without a load balancer that knows partitions.

    python -m bench.partitions [--picture FILE]

A gateway reads exactly the partitions that its connected users hash to. This simulates who lands
where, from 1 to 64 gateways, prints a table, and draws docs/explanation/partitions.svg.

- The partition of a user is seenby's own ``partition_of``.
- At random: every device is sent to any gateway.
- By ``part``: all devices of a partition go to one gateway, chosen as nginx does by
  ``hash $arg_part consistent`` (docs/deploy.md), or else by ``part`` modulo the number of gateways.
- Every user is connected and gets as many events as any other: a partition's share of the records
  is that of its users, and whatever is read for nobody is read because of the placement.

Users are placed once, among the most partitions and gateways. Fewer of either divide these, so a
place among them is the remainder.
"""

from __future__ import annotations

import argparse
import random
import struct
import zlib
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from bench.chart import Chart, svg
from seenby.bus.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Owners = Callable[[int, int], Sequence[int]]
    """By partition, the gateway of its users, given the numbers of partitions and gateways."""

    Line = list[tuple[float, float]]

PARTITIONS = (16, 64, 256)
GATEWAYS = (1, 2, 4, 8, 16, 32, 64)
USERS = (1_000, 100_000, 1_000_000)
DEVICES = 3

DROP_US = 1.1
"""CPU of a gateway for a record that it drops by key, librdkafka's share included."""

DELIVERY_US = 20.0
"""CPU of a gateway for a record that it wants and delivers to one device, live."""

POINTS = 160
"""Of each gateway on nginx's ring."""

PICTURE = Path(__file__).parents[1] / "docs/explanation/partitions.svg"
SHOWN_USERS, FEW_USERS, SHOWN_PARTITIONS = 100_000, 1_000, 64
SEED = 1


@dataclass(frozen=True)
class Crowd:
    """Users by their numbers: where their events are, and where chance sends their devices.

    Attributes:
        partitions: of each user, among the most partitions.
        places: for each device, of each user, a gateway among the most gateways.
    """

    partitions: bytes
    places: tuple[bytes, ...]

    def records(self, partitions: int) -> list[int]:
        """Records by partition, if each user gets one event."""
        return folded(Counter(self.partitions), partitions)


@dataclass(frozen=True)
class Spread:
    """What gateways read and deliver while each user gets one event.

    Attributes:
        read: records by gateway.
        wanted: how many of them were wanted where they were read.
        deliveries: by gateway.
        written: records in the topic.
    """

    read: Sequence[int]
    wanted: int
    deliveries: Sequence[int]
    written: int

    @property
    def amplification(self) -> float:
        """Records read by all gateways together, for each that was written."""
        return sum(self.read) / self.written

    @property
    def share(self) -> float:
        """What part of the topic a gateway reads, in the mean."""
        return self.amplification / len(self.read)

    @property
    def busiest(self) -> float:
        """Deliveries of the gateway that has most of them, times the mean."""
        return max(self.deliveries) * len(self.deliveries) / sum(self.deliveries)

    @property
    def us(self) -> float:
        """CPU of all gateways per delivery, in microseconds."""
        dropped = sum(self.read) - self.wanted
        return DELIVERY_US + DROP_US * dropped / sum(self.deliveries)


def folded(counts: Counter[int], size: int) -> list[int]:
    """Counts by the remainder of what was counted."""
    sums = [0] * size
    for value, count in counts.items():
        sums[value % size] += count
    return sums


def crowd(users: int, devices: int = DEVICES) -> Crowd:
    """So many users with so many devices each; the same at every call."""
    dice = random.Random(SEED)  # noqa: S311 -- a simulation, not a secret
    remainder = bytes(value % max(GATEWAYS) for value in range(256))
    return Crowd(
        bytes(partition_of(f"user{number}", max(PARTITIONS)) for number in range(users)),
        tuple(dice.randbytes(users).translate(remainder) for _ in range(devices)),
    )


def at_random(people: Crowd, partitions: int, gateways: int, devices: int) -> Spread:
    """No device knows of partitions."""
    records = people.records(partitions)
    places = people.places[:devices]
    pairs = {pair for place in places for pair in zip(people.partitions, place, strict=True)}
    joined = {(partition % partitions, place % gateways) for partition, place in pairs}
    read = [0] * gateways
    for partition, gateway in joined:
        read[gateway] += records[partition]
    remainder = bytes(value % gateways for value in range(256))
    at = zip(*(place.translate(remainder) for place in places), strict=True)
    return Spread(
        read,
        wanted=sum(map(len, map(set, at))),
        deliveries=folded(sum((Counter(place) for place in places), Counter[int]()), gateways),
        written=sum(records),
    )


def by_part(people: Crowd, partitions: int, gateways: int, devices: int, owners: Owners) -> Spread:
    """The load balancer sends all devices of a partition to one gateway."""
    records = people.records(partitions)
    read = [0] * gateways
    for owner, count in zip(owners(partitions, gateways), records, strict=True):
        read[owner] += count
    deliveries = [devices * count for count in read]
    return Spread(read, sum(read), deliveries, written=sum(records))


def modulo(partitions: int, gateways: int) -> list[int]:
    """Partition p at gateway p modulo their number."""
    return [partition % gateways for partition in range(partitions)]


def consistent(partitions: int, gateways: int) -> list[int]:
    """As nginx does it: the gateway whose next point on a ring of CRC-32s follows the key's."""
    ring: list[tuple[int, int]] = []
    for gateway in range(gateways):
        name, point = zlib.crc32(b"gateway-%d\x008081" % (gateway + 1)), 0
        for _ in range(POINTS):
            point = zlib.crc32(struct.pack("<I", point), name)
            ring.append((point, gateway))
    ring.sort()
    keys = (zlib.crc32(b"%d" % partition) for partition in range(partitions))
    return [ring[bisect_left(ring, (key, 0)) % len(ring)][1] for key in keys]


HEAD = (
    "                             at random            at random, 3 devices    by part, busiest\n"
    "    users parts gateways  read  each      us      read  each      us    nginx  modulo   us"
)


def table(people: Crowd) -> list[str]:
    """One line for each number of partitions and of gateways."""
    lines = []
    for partitions in PARTITIONS:
        for gateways in GATEWAYS:
            single, several = (
                at_random(people, partitions, gateways, devices) for devices in (1, DEVICES)
            )
            ring, plain = (
                by_part(people, partitions, gateways, 1, owners) for owners in (consistent, modulo)
            )
            chance = "  ".join(
                f"{spread.amplification:6.2f}{spread.share:6.0%}{spread.us:8.1f}"
                for spread in (single, several)
            )
            lines.append(
                f"{single.written:9,}{partitions:6}{gateways:9}{chance}"
                f"{ring.busiest:9.2f}{plain.busiest:8.2f}{ring.us:5.0f}"
            )
    return lines


def picture(many: Crowd, few: Crowd) -> str:
    """Three charts over the number of gateways."""

    def chance(devices: int) -> list[Spread]:
        return [at_random(many, SHOWN_PARTITIONS, gateways, devices) for gateways in GATEWAYS]

    def part(partitions: int, owners: Owners) -> list[Spread]:
        return [by_part(many, partitions, gateways, 1, owners) for gateways in GATEWAYS]

    def line(spreads: Sequence[Spread], value: Callable[[Spread], float]) -> Line:
        return [(len(spread.read), value(spread)) for spread in spreads]

    read, us, busiest = attrgetter("amplification"), attrgetter("us"), attrgetter("busiest")
    single, several = chance(1), chance(DEVICES)
    rings = {partitions: part(partitions, consistent) for partitions in PARTITIONS}
    sparse = [at_random(few, max(PARTITIONS), gateways, 1) for gateways in GATEWAYS]
    plain = part(SHOWN_PARTITIONS, modulo)
    reading = {
        f"at random, {SHOWN_USERS:,} users": line(single, read),
        f"at random, {FEW_USERS:,} users, {max(PARTITIONS)} partitions": line(sparse, read),
        "by part": line(plain, read),
    }
    cpu = {
        "at random": line(single, us),
        f"at random, {DEVICES} devices per user": line(several, us),
        "by part": line(plain, us),
    }
    balance = {
        f"{partitions} partitions, nginx's ring": line(spreads, busiest)
        for partitions, spreads in rings.items()
    }
    balance[f"{SHOWN_PARTITIONS} partitions, modulo"] = line(plain, busiest)
    return svg(
        [
            Chart("All gateways' reading", "gateways", "records read / records written", reading),
            Chart("Gateway CPU per delivery", "gateways", "microseconds", cpu),
            Chart("Users sent by part", "gateways", "busiest gateway / mean", balance),
        ],
        "What gateways read and need, by their number, with users sent at random and by part",
    )


def main() -> None:
    """Print the table; draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m bench.partitions")
    parser.add_argument("--picture", type=Path, default=PICTURE, metavar="FILE")
    file: Path = parser.parse_args().picture
    print(HEAD)
    crowds = {}
    for users in USERS:
        crowds[users] = crowd(users)
        print("\n".join(table(crowds[users])), flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(picture(crowds[SHOWN_USERS], crowds[FEW_USERS]), encoding="utf-8")
    print(f"drawn: {file}")


if __name__ == "__main__":
    main()
