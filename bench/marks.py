"""Rows about marks: all in, each way a mark can come, the API process alone, and embedded."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.load import mark
from bench.world import pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Marks
    from bench.measurement import Bench
    from tests.servers.seenby import Seenby

SENDERS = 500
CONNECTIONS = 300


def note(bench: Bench, row: str, run: Marks, *, sockets: bool = True) -> None:
    """What every row about marks says beside its figures."""
    readings = bench.readings
    for problem in run.problems:
        readings.problem(row, problem)
    readings.beside(row, "load generator", run.own_us, "us per mark")
    if run.told["rate"]:
        readings.beside(row, "marks", run.told["marks_per_second"], "per s")
    else:
        readings.beside(row, "answer p99", run.told["answer_ms"]["p99"], "ms")
        if sockets:
            readings.beside(row, "socket p99", run.told["socket_ms"]["p99"], "ms")
    for name in run.cpu:
        readings.beside(row, name, run.us(name), "us per mark")


def all_in(bench: Bench) -> None:
    """API, gateway, MariaDB and Kafka, each its own process, and the load: all on all cores."""
    with apart(bench) as (api, gateway, pids):
        for number in bench.rounds("marks all in", warm_up=True):
            tag = f"r{number}"
            where: dict[str, Any] = {"api": api.api, "gateway": gateway.gateway, "senders": SENDERS}
            closed = where | {"connections": CONNECTIONS, "rate": 0, "seconds": bench.seconds(4)}
            http = mark(pids, over="http", tag=f"{tag}h", **closed)
            if number == 0:
                continue  # The JVM and the pools are warm now.
            note(bench, "marks", http)
            bench.readings.add("marks", http.told["marks_per_second"])
            for problem in http.problems:
                bench.readings.problem("mark-cpu", problem)
            bench.readings.add("mark-cpu", http.us("API"), "API")
            everything = http.us("API", "MariaDB", "Kafka")
            bench.readings.add("mark-cpu", everything, "API + MariaDB + Kafka")
            bench.readings.beside("mark-cpu", "load generator", http.own_us, "us per mark")
            for name, over, connections in (
                ("batch", "batch", 20),
                ("socket-marks", "socket", CONNECTIONS),
            ):
                options = closed | {"connections": connections}
                run = mark(pids, over=over, tag=f"{tag}{over}", batch_size=100, **options)
                note(bench, name, run)
                bench.readings.add(name, run.told["marks_per_second"])
            for rate in (1000, 5000):
                row = f"latency-{rate}"
                options = closed | {"rate": rate, "seconds": bench.seconds(5)}
                run = mark(pids, over="http", tag=f"{tag}o{rate}", **options)
                note(bench, row, run)
                if rate == 1000:
                    bench.readings.add(row, run.told["socket_ms"]["p50"], "p50")
                bench.readings.add(row, run.told["socket_ms"]["p99"], "p99")
        rescued = gateway.metric("seenby_rescued_total")
        if rescued:
            for row in ("marks", "batch", "socket-marks", "latency-1000", "latency-5000"):
                bench.readings.problem(row, f"{rescued:.0f} receipts that Kafka did not bring")


@contextmanager
def apart(bench: Bench, **more: str) -> Iterator[tuple[Seenby, Seenby, dict[str, int]]]:
    """An API and a gateway on an empty database, and whose CPU time counts; *more*: settings."""
    world = bench.world
    settings = world.settings(world.database(), world.topic()) | more
    with world.running("api", settings) as api, world.running("gateway", settings) as gateway:
        pids = {
            "API": api.process.pid,
            "MariaDB": world.mariadb.pid,
            "Kafka": world.kafka.pid,
            "gateway": gateway.process.pid,
        }
        yield api, gateway, pids


CALM_RATE = 8_000
"""Marks per second at which the other processes have room on their core."""


def alone(bench: Bench) -> None:
    """The API on a core of its own; MariaDB, Kafka and the load share the others."""
    world = bench.world
    cores = sorted(os.sched_getaffinity(0))
    own, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    with world.running("api", world.settings(world.database(), world.topic())) as api:
        pids = {
            "API": api.process.pid,
            "MariaDB": world.mariadb.pid,
            "Kafka": world.kafka.pid,
        }
        try:
            pin(pids["API"], own)
            pin(pids["MariaDB"], others)
            pin(pids["Kafka"], others)
            for number in bench.rounds("the API alone"):
                options: dict[str, Any] = {
                    "api": api.api,
                    "over": "http",
                    "connections": CONNECTIONS,
                    "senders": SENDERS,
                    "cores": others,
                }
                closed = mark(
                    pids, "--no-sockets", tag=f"a{number}", seconds=bench.seconds(4), **options
                )
                note(bench, "api-alone", closed, sockets=False)
                rate = closed.told["marks_per_second"]
                bench.readings.add("api-alone", rate, "marks/s")
                p99 = _open_loop(
                    bench, pids, 4, tag=f"b{number}", rate=round(0.8 * rate), **options
                )
                bench.readings.add("api-alone", p99, "p99 at 0.8 of that")
                p99 = _open_loop(bench, pids, 3, tag=f"c{number}", rate=CALM_RATE, **options)
                name = f"p99 at {CALM_RATE:,} marks/s"
                bench.readings.beside("api-alone", name, p99, "ms")
        finally:
            pin(pids["MariaDB"], set(cores))
            pin(pids["Kafka"], set(cores))


def _open_loop(bench: Bench, pids: dict[str, int], seconds: float, **options: Any) -> float:
    """Mark at a fixed rate, nobody listening; the 99th percentile of the answers in ms."""
    run = mark(pids, "--no-sockets", seconds=bench.seconds(seconds), **options)
    for problem in run.problems:
        bench.readings.problem("api-alone", problem)
    p99: float = run.told["answer_ms"]["p99"]
    return p99


def embedded(bench: Bench) -> None:
    """One process, an SQLite file, no Kafka."""
    with bench.world.running("serve", {"SEENBY_LOG_LEVEL": "warning"}) as seenby:
        for number in bench.rounds("embedded"):
            run = mark(
                {"serve": seenby.process.pid},
                api=seenby.api,
                gateway=seenby.gateway,
                over="http",
                connections=CONNECTIONS,
                senders=SENDERS,
                rate=1000,
                seconds=bench.seconds(5),
                tag=f"e{number}",
            )
            note(bench, "embedded", run)
            bench.readings.add("embedded", run.told["socket_ms"]["p50"], "p50")
            bench.readings.add("embedded", run.told["socket_ms"]["p99"], "p99")
