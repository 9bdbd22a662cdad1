"""`make bench`: marks on MariaDB and Kafka, marks embedded, and what an idle socket costs.

Loopback only, bounded in count and time (about two minutes). Every process is real; costs are CPU
time per mark as the operating system counts it. The machine is loaded by all parts at once, the
load generator included, so rates are those of this machine with everything on it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seenby.store.schema import migrate
from tests.servers.kafka import Kafka
from tests.servers.mariadb import MariaDB
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 3
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    """Bytes of a process in memory."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def load(what: str, pids: Mapping[str, int], **arguments: object) -> dict[str, Any]:
    """Run the load; adds what each process used meanwhile."""
    options = [f"--{name}={value}" for name, value in arguments.items()]
    command = [sys.executable, "-m", "bench.load", what, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own
        out = process.stdout
        if out is None or not out.readline():
            raise SystemExit("the load generator failed, see above")
        before = {name: cpu(pid) for name, pid in pids.items()}
        resident = {name: memory(pid) for name, pid in pids.items()}
        result: dict[str, Any] = json.loads(out.readline())
        used = {name: cpu(pid) - before[name] for name, pid in pids.items()}
    return result | {"cpu": used, "memory": resident}


def middle(rounds: list[dict[str, Any]], name: str) -> str:
    """The median of a figure over all rounds, and their spread."""
    values = [float(found[name]) for found in rounds]
    return f"{statistics.median(values):10.1f}   ({min(values):.1f} to {max(values):.1f})"


def report(title: str, rounds: list[dict[str, Any]]) -> None:
    """Print one measurement."""
    print(f"\n{title}; median of {len(rounds)} rounds, lowest to highest")
    for found in rounds:
        asked = found["asked"]
        if found["delivered"] != asked or found["statuses"] != {"200": asked}:
            print(f"  NOT ALL WELL: {found}")
    for name in (
        "marks_per_second",
        "answer_p50_ms",
        "answer_p99_ms",
        "socket_p50_ms",
        "socket_p99_ms",
    ):
        print(f"  {name:28}{middle(rounds, name)}")
    for part in rounds[0]["cpu"]:
        for found in rounds:
            found[part] = 1e6 * found["cpu"][part] / found["marks"]
        print(f"  {'us of CPU per mark: ' + part:28}{middle(rounds, part)}")
    for found in rounds:
        found["load"] = 1e6 * found["load_cpu"] / found["marks"]
    print(f"  {'  (load generator)':28}{middle(rounds, 'load')}")


def measure(
    where: str, connections: int, api: Seenby, gateway: Seenby, pids: Mapping[str, int]
) -> None:
    """Mark over so many connections, ROUNDS times, and report."""
    rounds = [
        load(
            "marks",
            pids,
            api=api.api,
            gateway=gateway.gateway,
            connections=connections,
            tag=f"{connections}-{number}",
        )
        for number in range(ROUNDS)
    ]
    report(f"{where}, {connections} connections, 500 senders", rounds)


def apart(folder: Path) -> None:
    """API, gateway, MariaDB and Kafka, each its own process."""
    kafka, mariadb = Kafka.launch(), MariaDB.launch()
    url, topic = mariadb.database(), kafka.topic()
    started: list[Seenby] = []
    try:
        migrate(url)
        kafka.create_topic(topic, 16)
        settings = {
            "SEENBY_DATABASE_URL": url,
            "KAFKA_BROKERS": kafka.brokers,
            "READ_RECEIPT_TOPIC": topic,
        }
        for role in ("api", "gateway"):
            started.append(Seenby(role, folder, settings))
            started[-1].start()
        api, gateway = started
        pids = {
            "api": api.process.pid,
            "mariadb": mariadb.pid,
            "kafka": kafka.pid,
            "gateway": gateway.process.pid,
        }
        for connections in (1, 100, 300):
            measure("MariaDB and Kafka", connections, api, gateway, pids)
        rescued = gateway.metric("seenby_rescued_total")
        print(f"\nreceipts that Kafka did not bring: {rescued:.0f}")
    finally:
        for process in started:
            process.kill()
        mariadb.dispose()
        kafka.dispose()


def embedded(folder: Path) -> None:
    """One process, an SQLite file."""
    seenby = Seenby("serve", folder, {})
    try:
        seenby.start()
        pids = {"serve": seenby.process.pid}
        for connections in (1, 100):
            measure("Embedded (SQLite)", connections, seenby, seenby, pids)
    finally:
        seenby.kill()


def idle(folder: Path, connections: int = 5000) -> None:
    """What a socket costs that nothing comes over."""
    seenby = Seenby("serve", folder, {}, "idle")
    try:
        seenby.start()
        pid = seenby.process.pid
        empty = memory(pid)
        found = load("idle", {"serve": pid}, gateway=seenby.gateway, users=connections, seconds=10)
        each = (found["memory"]["serve"] - empty) / connections
        second = 1e6 * found["cpu"]["serve"] / connections / 10
        print(f"\n{connections} idle connections")
        print(f"  {'bytes of memory each':28}{each:10.0f}")
        print(f"  {'us of CPU each, per second':28}{second:10.1f}")
    finally:
        seenby.kill()


def main() -> None:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="seenby-bench-") as folder:
        idle(Path(folder))
        embedded(Path(folder))
        apart(Path(folder))


if __name__ == "__main__":
    main()
