"""`make bench`: measures every figure that there is a target for, and prints the table.

    python -m bench [--only ROW ...] [--list] [--quick]

Real processes on loopback, ended whatever happens; bounded to twelve minutes. Ends with 1 when a
run was not sound (a delivery lost, a mark refused), not when a target was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import crowd, deliveries, growth, idle, marks, reconnect, registered, results, unread
from bench.load import Limit
from bench.measurement import Bench, Measurement
from bench.readings import Readings
from bench.rows import ROWS
from bench.table import lines, on_screen
from bench.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASUREMENTS = (
    Measurement(
        ("gateway-cpu", "gateway-rate", "two-gateways", "latency-50000"), 60, deliveries.one_and_two
    ),
    Measurement(("three-devices",), 30, deliveries.three_devices),
    Measurement(("kafka-latency",), 22, deliveries.paced),
    Measurement(("memory", "idle-cpu", "connections"), 135, idle.connections),
    Measurement(("reconnect",), 45, reconnect.reconnect),
    Measurement(
        ("marks", "mark-cpu", "batch", "socket-marks", "latency-1000", "latency-5000"),
        92,
        marks.all_in,
    ),
    Measurement(("api-alone",), 55, marks.alone),
    Measurement(("embedded",), 25, marks.embedded),
    Measurement(("start",), 6, idle.start),
    Measurement(("registered",), 50, registered.registered),
    Measurement(("unread",), 25, unread.unread),
    Measurement(("one-message",), 45, crowd.one_message),
    Measurement(("full-table",), 92, growth.full_table),
)

SETUP = 10.0
WIDTH = 150
"""Columns of the table where no terminal says how many there are."""

LIMIT = 720.0
"""Seconds: what all of it may take. A measurement that would not fit is said to be left out."""


def arguments() -> argparse.Namespace:
    """What the command line says."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure seenby.")
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help="these rows only")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    return parser.parse_args()


def chosen(only: Sequence[str] | None) -> list[Measurement]:
    """The measurements that give these rows; all of them where nothing is said."""
    return [
        measurement
        for measurement in MEASUREMENTS
        if not only or set(only).intersection(measurement.rows)
    ]


def run(bench: Bench, wanted: Sequence[Measurement], progress: Progress, began: float) -> None:
    """One measurement after the other; one that fails does not take the others with it."""
    planned = SETUP + sum(measurement.seconds for measurement in wanted)
    task = progress.add_task("measuring", total=planned, end="")
    done = SETUP
    for measurement in wanted:
        end = dt.datetime.now().astimezone() + dt.timedelta(seconds=planned - done + SETUP)
        progress.update(task, completed=done, end=f"ends about {end:%H:%M:%S}")
        if time.monotonic() - began + 0.5 * measurement.seconds > LIMIT:
            for row in measurement.rows:
                bench.readings.problem(row, "left out: the twelve minutes were over")
            continue
        try:
            measurement.run(bench)
        except Exception as error:  # noqa: BLE001 -- said in the table, and by the exit status
            progress.console.print_exception()
            for row in measurement.rows:
                bench.readings.problem(row, f"the measurement failed: {type(error).__name__}")
        done += measurement.seconds
    progress.update(task, completed=planned)


def terminated(*_: object) -> NoReturn:
    """SIGTERM ends it as Ctrl-C does: with all that it has started."""
    raise KeyboardInterrupt


def main() -> int:
    """Measure, print, write."""
    asked = arguments()
    if asked.list:
        for row in ROWS:
            print(f"{row.name:16}{row.words}")
        return 0
    signal.signal(signal.SIGTERM, terminated)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    wanted = chosen(asked.only)
    rows = [row for row in ROWS if any(row.name in found.rows for found in wanted)]
    began, load_before = time.monotonic(), results.load_average()
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[end]}"),
        console=Console(stderr=True),
        refresh_per_second=1,
    )
    with (
        tempfile.TemporaryDirectory(prefix="seenby-bench-") as name,
        World(Path(name)) as world,
        progress,
    ):
        bench = Bench(world, Limit(Path(name)), Readings(), progress.console.print, asked.quick)
        run(bench, wanted, progress, began)
        console.print(on_screen(lines(rows, bench.readings)))
        minutes = (time.monotonic() - began) / 60
        if not asked.only and not asked.quick:
            results.write(bench, date=date, load_before=load_before, minutes=minutes)
    return 0 if bench.readings.sound else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
