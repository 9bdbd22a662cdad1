"""Rows about deliveries: from Kafka to sockets, beside the C loop.

A topic is filled while the gateways are held (SIGSTOP); then they are let go, and the time counts
until all is on the sockets: so the producer's CPU does not stand in their way, nor in the figure.
Where latency counts, events come at a fixed rate and the gateways run all the time.
Every device has an id: the gateway keeps its position, asks for it with a ping within a second
after a push, and stores it.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from bench.load import stage
from bench.world import PARTITIONS, Clock
from tests.servers.mariadb import query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Stage
    from bench.measurement import Bench
    from bench.readings import Readings
    from tests.servers.seenby import Seenby

EVENTS = 200_000
SENDS = 200_000
USERS = 5_000
LIVE_RATE = 50_000
"""Deliveries per second of a live stream."""


class Side:
    """Gateways on a topic of their own, and the audience that is connected to them."""

    def __init__(
        self, bench: Bench, hall: Stage, topic: str, gateways: list[Seenby], devices: int
    ) -> None:
        self.topic = topic
        self.devices = devices
        self.gateways = gateways
        self.size = 0
        self.sockets = 0
        self._bench = bench
        self._hall = hall

    @property
    def pids(self) -> dict[str, int]:
        """Of the gateways."""
        return {gateway.name: gateway.process.pid for gateway in self.gateways}

    def connect(self, users: int, *, spread: str = "partition") -> float:
        """Connect everybody; returns how many seconds that took."""
        began = time.perf_counter()
        came = self._hall.order(
            "connect",
            topic=self.topic,
            gateways=[gateway.gateway for gateway in self.gateways],
            users=users,
            devices=self.devices,
            spread=spread,
            partitions=PARTITIONS,
            tag=f"{self.topic[-6:]}-",
        )
        self.size, self.sockets = came["bytes"], came["sockets"]
        took = time.perf_counter() - began
        time.sleep(1.5)  # The last ones find their place in the stream.
        return took

    def drain(self, events: int = EVENTS) -> dict[str, Any]:
        """Fill the topic, let the gateways go, and wait until all has come."""
        events //= 4 if self._bench.quick else 1
        self._hold(signal.SIGSTOP)
        try:
            early = self._hall.order("fill", topic=self.topic, events=events)["early"]
            clock = Clock(kafka=self._bench.world.kafka.pid, **self.pids)
        finally:
            self._hold(signal.SIGCONT)
        came = self._hall.order("take", topic=self.topic, since=time.monotonic())
        return self._counted(came, clock) | {"early": early}

    def flow(self, rate: float, seconds: float) -> dict[str, Any]:
        """Let events come at a fixed rate."""
        clock = Clock(kafka=self._bench.world.kafka.pid, **self.pids)
        events = int(rate * self._bench.seconds(seconds))
        came = self._hall.order("deliver", topic=self.topic, events=events, rate=rate)
        return self._counted(came, clock)

    def loop(self) -> float:
        """What the C loop needs for a delivery like these, now: microseconds."""
        sends = SENDS // (4 if self._bench.quick else 1)
        return self._bench.limit.us(self.sockets, self.size, sends)

    def close(self) -> None:
        """Cut all sockets."""
        self._hall.order("close", topic=self.topic)

    def _hold(self, number: signal.Signals) -> None:
        for gateway in self.gateways:
            gateway.process.send(number)

    def _counted(self, came: dict[str, Any], clock: Clock) -> dict[str, Any]:
        cpu = clock.used()
        kafka = cpu.pop("kafka")
        each = 1e6 / max(1, came["deliveries"])
        return came | {
            "us": sum(cpu.values()) * each,
            "kafka_us": kafka * each,
            "load_us": came["cpu_seconds"] * each,
            "share": sum(cpu.values()) / max(came["seconds"], 1e-3),
            "busy": (sum(cpu.values()) + kafka + came["cpu_seconds"]) / max(came["seconds"], 1e-3),
            "rescued": sum(gateway.metric("seenby_rescued_total") for gateway in self.gateways),
        }


@contextmanager
def theatre(bench: Bench) -> Iterator[tuple[str, Stage]]:
    """A database for gateways, and a stage that writes events of its epoch."""
    url = bench.world.database()
    [[epoch]] = query(url, "SELECT value FROM meta WHERE name = 'epoch'")
    with stage(bench.world.kafka.brokers, epoch, bench.world.folder) as hall:
        yield url, hall


@contextmanager
def side(
    bench: Bench, hall: Stage, url: str, *, gateways: int = 1, devices: int = 1
) -> Iterator[Side]:
    """Gateways that are ready, on a topic of their own."""
    topic = bench.world.topic()
    with ExitStack() as running:
        settings = bench.world.settings(url, topic)
        started = [
            running.enter_context(bench.world.running("gateway", settings)) for _ in range(gateways)
        ]
        yield Side(bench, hall, topic, started, devices)


def note(readings: Readings, row: str, came: dict[str, Any], *, when: str = "") -> None:
    """What every row about deliveries says beside its figures."""
    for name, words in (
        ("missing", "deliveries missing"),
        ("wrong", "deliveries doubled or out of order"),
        ("lost_sockets", "sockets lost"),
        ("rescued", "receipts that Kafka did not bring"),
        ("early", "deliveries by a gateway that was held"),
    ):
        if came.get(name):
            readings.problem(row, f"{came[name]:.0f} {words}")
    prefix = f"{when}: " if when else ""
    readings.beside(row, f"{prefix}gateway", came["us"], "us per delivery")
    readings.beside(row, f"{prefix}load generator", came["load_us"], "us per delivery")


def ratios(
    bench: Bench, row: str, side: Side, loop: float, drained: dict[str, Any]
) -> dict[str, Any]:
    """Both figures of a row that is a ratio to the C loop of the same minute; the live run."""
    readings = bench.readings
    live = side.flow(LIVE_RATE / side.devices, 3)
    note(readings, row, drained)
    note(readings, row, live, when="live")
    readings.add(row, drained["us"] / loop, "from a backlog")
    readings.add(row, live["us"] / loop, "live")
    readings.beside(row, "C loop", loop, "us per send")
    readings.remark(
        row,
        "from a backlog the gateway gets many events of one user at once and sends them in one "
        f"write; live, at {LIVE_RATE:,} deliveries/s, nearly each is a write of its own, as in "
        "the C loop",
    )
    return live


def one_and_two(bench: Bench) -> None:
    """One gateway with 5,000 users; two of them, by partition and at random; each in turn."""
    readings = bench.readings
    with ExitStack() as open_sides, theatre(bench) as (url, hall):
        one = open_sides.enter_context(side(bench, hall, url))
        pair = open_sides.enter_context(side(bench, hall, url, gateways=2))
        mixed = open_sides.enter_context(side(bench, hall, url, gateways=2))
        one.connect(USERS)
        pair.connect(USERS)
        mixed.connect(USERS, spread="random")
        for number in bench.rounds("deliveries of one gateway and of two", warm_up=True):
            came, by_partition, at_random = one.drain(), pair.drain(), mixed.drain()
            if number == 0:
                continue
            loop = one.loop()
            note(readings, "gateway-rate", came)
            readings.add("gateway-rate", came["per_second"])
            readings.beside("gateway-rate", "cores the gateway kept busy", came["share"], "")
            for figure, two in (
                ("users sent by partition", by_partition),
                ("at random", at_random),
            ):
                note(readings, "two-gateways", two)
                readings.add("two-gateways", came["us"] / two["us"], figure)
            live = ratios(bench, "gateway-cpu", one, loop, came)
            note(readings, "latency-50000", live)
            readings.add("latency-50000", live["p99_ms"], "p99")
            readings.beside("latency-50000", "p50", live["p50_ms"], "ms")
            readings.beside("latency-50000", "written", live["written_per_second"], "per s")
            readings.beside(
                "latency-50000", "cores that gateway, Kafka and load keep busy", live["busy"], ""
            )


def three_devices(bench: Bench) -> None:
    """5,000 users with three devices each."""
    with theatre(bench) as (url, hall), side(bench, hall, url, devices=3) as three:
        three.connect(USERS)
        for _ in bench.rounds("three devices per user"):
            drained = three.drain(EVENTS // 3)
            ratios(bench, "three-devices", three, three.loop(), drained)


def paced(bench: Bench) -> None:
    """1,000 events/s to 1,000 connections."""
    row = "kafka-latency"
    with theatre(bench) as (url, hall), side(bench, hall, url) as thousand:
        thousand.connect(1_000)
        for _ in bench.rounds("Kafka to socket at 1,000/s"):
            came = thousand.flow(1_000, 5)
            note(bench.readings, row, came)
            bench.readings.add(row, came["p50_ms"], "p50")
            bench.readings.add(row, came["p99_ms"], "p99")
            bench.readings.add(row, came["us"], "gateway CPU per event")
