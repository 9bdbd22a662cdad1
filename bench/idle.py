"""Rows about sockets that nothing comes over, what many of them cost, and the start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.deliveries import note, side, theatre
from bench.world import Clock, memory
from seenby.gateway.frames import HEARTBEAT

if TYPE_CHECKING:
    from bench.measurement import Bench

MANY, FEW = 15_000, 1_000
IDLE = 30.0
"""Seconds: one heartbeat. A connection is first pinged 30 s after it was opened, so anything
shorter would see none; and opening them all takes less than a heartbeat."""

RATE = 20_000
"""Deliveries per second to either; one after the other, in the same round."""


def connections(bench: Bench) -> None:
    """15,000 connections beside 1,000: their memory, their idling, and deliveries to each.

    Each round has a gateway of its own for the 15,000: memory that was used before would hide
    what a connection takes.
    """
    readings = bench.readings
    with theatre(bench) as (url, hall), side(bench, hall, url) as few:
        few.connect(FEW)
        few.flow(RATE, 2)
        for _ in bench.rounds("15,000 connections"):
            with side(bench, hall, url) as many:
                [pid] = many.pids.values()
                empty = memory(pid)
                took = many.connect(MANY)
                each = (memory(pid) - empty) / many.sockets / 1024
                readings.add("memory", each)
                readings.beside("memory", "connecting all", took, "s")
                idle(bench, pid, many.sockets)
                there = many.gateways[0].metric("seenby_connections")
                if there != MANY:
                    for row in ("memory", "idle-cpu"):
                        readings.problem(row, f"{MANY - there:.0f} connections lost")
                against, came = few.flow(RATE, 3), many.flow(RATE, 3)
                note(readings, "connections", came)
                for problem in ("missing", "wrong"):
                    if against[problem]:
                        readings.problem("connections", f"{against[problem]} {problem} with 1,000")
                readings.add("connections", came["us"] / against["us"])
                readings.beside("connections", "with 1,000", against["us"], "us per delivery")
                many.close()
    readings.remark("connections", f"{RATE:,} deliveries/s, live, to either, in turn")
    readings.remark("memory", "growth of the gateway's resident memory, per connection")


def idle(bench: Bench, pid: int, sockets: int) -> None:
    """Watch a gateway while nothing comes but heartbeats."""
    seconds = bench.seconds(IDLE)
    began, clock = time.perf_counter(), Clock(gateway=pid)
    time.sleep(seconds)
    took = time.perf_counter() - began
    used = clock.used()["gateway"]
    bench.readings.add("idle-cpu", 1e6 * used / sockets / took)
    bench.readings.remark(
        "idle-cpu",
        f"watched for {seconds:.0f} s a round, beginning when all were connected: each connection "
        f"was pinged, and answered, {int(seconds // HEARTBEAT)} times",
    )


def start(bench: Bench) -> None:
    """From the start of the process to the first 200 of /ready; an empty folder, SQLite."""
    for _ in bench.rounds("start"):
        for _again in range(2):
            began = time.perf_counter()
            with bench.world.running("serve", {"SEENBY_LOG_LEVEL": "warning"}):
                bench.readings.add("start", time.perf_counter() - began)
