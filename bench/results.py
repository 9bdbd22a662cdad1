"""Writes bench/results.md: the table, and all that is needed to judge and to repeat it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import confluent_kafka

from bench import peers
from bench.readings import spread
from bench.rows import ROWS
from bench.table import HEADS, lines, markdown, missed, quantity
from bench.world import BUFFER_POOL, REDO_LOG
from tests.servers.kafka import jars
from tests.servers.mariadb import query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measurement import Bench
    from bench.readings import Readings

PATH = Path(__file__).with_name("results.md")
INTRODUCTION = """\
Written by `make bench`: every figure that there is a target for, against real processes on one
machine with everything on it. `python -m bench --list` names the rows, `python -m bench --only ROW`
repeats one of them."""
PACKAGES = ("seenby", "picows", "uvloop", "aiohttp", "msgspec", "mysqlclient", "SQLAlchemy")


def machine() -> dict[str, str]:
    """What the figures were measured on; no names of hosts."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    meminfo = Path("/proc/meminfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo)
    memory = int(meminfo.partition("MemTotal:")[2].split()[0]) / 1024**2
    return {
        "CPU": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(bench: Bench) -> dict[str, str]:
    """Of all that had a part in it."""
    [[database]] = query(bench.world.mariadb.database(), "SELECT VERSION()")
    java = subprocess.run(
        ["java", "-version"],  # noqa: S607 -- the one that runs Kafka
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "librdkafka": confluent_kafka.libversion()[0],
        "MariaDB": str(database),
        "Kafka": jars().name.removeprefix("kafka-"),
        "JDK": java.partition('"')[2].partition('"')[0],
    }


def load_average() -> str:
    """Of the last 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def write(bench: Bench, *, date: str, load_before: str, minutes: float) -> None:
    """The whole page."""
    parts = [
        "# Measured",
        INTRODUCTION,
        markdown(HEADS, (line.cells for line in lines(ROWS, bench.readings))),
        "## How to read it",
        "\n".join(f"- {sentence}" for sentence in _how(bench.readings)),
        "## Beside others",
        peers.__doc__.partition("\n\n")[0].replace("\n", " ") if peers.__doc__ else "",
        markdown(peers.HEADS, _beside_peers(bench.readings)),
        "## Where",
        "\n".join(
            f"- {name}: {value}"
            for name, value in {
                "date": date,
                **machine(),
                "load average before": load_before,
                "duration": f"{minutes:.1f} minutes",
                "versions": ", ".join(f"{k} {v}" for k, v in versions(bench).items()),
            }.items()
        ),
    ]
    PATH.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _how(readings: Readings) -> Iterator[str]:
    yield (
        "CPU is the time that the operating system counts for a process, user and system. It is"
        " divided by the marks or deliveries of the round. The load generator's own stands beside."
    )
    yield (
        "The C loop is `bench/limit.c`: a bare send() of a frame of the same size to one of as many"
        " sockets, run in the same minute. Nothing that delivers one event at a time does better."
    )
    yield (
        "Latencies come from a fixed rate and count from the moment that was intended (marks) or"
        " from the record's own time in Kafka (deliveries)."
    )
    yield (
        f"MariaDB: buffer pool {BUFFER_POOL // 1024**2} MB, log {REDO_LOG // 1024**2} MB, a flush"
        " at every commit. Kafka: one broker with a heap of 1 GB, acks=all, 16 partitions."
    )
    yield (
        "A row is not sound when a mark was refused, or a delivery was missing, doubled, out of"
        " order or brought by other means than Kafka. It then counts as not met."
    )
    for row in ROWS:
        for remark in readings.of(row.name).remarks:
            yield f"{row.words}: {remark}."
        if row.tried and missed(row, readings.of(row.name)):
            yield f"{row.words}, where a target is missed: {row.tried}."


def _beside_peers(readings: Readings) -> Iterator[tuple[str, ...]]:
    rows = {row.name: row for row in ROWS}
    for who, what, theirs, name, figure in peers.PEERS:
        values = readings.of(name).rounds.get(figure)
        [wanted] = [found for found in rows[name].figures if found.name == figure]
        ours = quantity(spread(values).median, wanted.unit) if values else "not measured"
        yield who, what, theirs, f"{ours} ({name})"
