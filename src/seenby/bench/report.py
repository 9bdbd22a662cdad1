"""What one run found: as a document for programs, and as a table for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LATENCY_NOTE = (
    "from the time at which a mark was meant to begin, to its answer (answer_ms) and to its "
    "arrival at each device of the sender (socket_ms); the warm-up is not counted"
)

LATE_MS = 5.0
"""From here on the table says that the schedule was not kept."""

BUSY = 0.9
"""The share of a core from which on the generator itself may be what limits the rate."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run; docs/bench.md explains each."""

    over: str
    connections: int
    rate: float
    senders: int
    devices: int
    batch_size: int
    tag: str
    seconds: float
    asked: int
    unsent: int
    marks: int
    refused: Mapping[str, int]
    marks_per_second: float
    answer_ms: Mapping[str, float]
    socket_ms: Mapping[str, float]
    deliveries: int
    missing: int
    doubled: int
    out_of_order: int
    sockets_lost: int
    behind_schedule_ms: float
    cpu_seconds: float
    interrupted: bool
    latency_note: str = LATENCY_NOTE

    @property
    def all_well(self) -> bool:
        """Whether each mark was recorded, and came to each device once and in order."""
        wrong = self.missing + self.doubled + self.out_of_order + self.sockets_lost
        return self.marks > 0 and not self.refused and not wrong


class Audience(Protocol):
    """Whoever follows a run."""

    def connecting(self, done: int, total: int) -> None:
        """So many of all connections are there."""
        ...

    def ready(self) -> None:
        """All are there, and load is about to begin."""
        ...

    def running(self, seconds: float, total: float) -> None:
        """So many seconds of load have passed."""
        ...

    def ended(self, report: Report) -> None:
        """The run is over; its connections are still open."""
        ...


class Document:
    """Tells a program: a line when all is connected, and one with the report."""

    def connecting(self, done: int, total: int) -> None:
        """Nothing is said."""

    def ready(self) -> None:
        """The moment at which to read counters."""
        _say(b'{"ready":true}')

    def running(self, seconds: float, total: float) -> None:
        """Nothing is said."""

    def ended(self, report: Report) -> None:
        """The report."""
        _say(msgspec.json.encode(report))


class Terminal:
    """Tells a person: a bar on standard error, if that is a terminal, and a table at the end."""

    def __init__(self) -> None:
        errors = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TimeRemainingColumn(),
            console=errors,
            # Its own thread would contest the interpreter lock with the load.
            auto_refresh=False,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._task = self._bar.add_task("", total=0)

    def connecting(self, done: int, total: int) -> None:
        """Move the bar."""
        self._show("connections", done, total)

    def ready(self) -> None:
        """Nothing is said."""

    def running(self, seconds: float, total: float) -> None:
        """Move the bar."""
        self._show("seconds of load", seconds, total)

    def ended(self, report: Report) -> None:
        """The table, and what is wrong in words."""
        self.close()
        output = Console()
        output.print(table(report))
        for sentence in remarks(report):
            output.print(sentence, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _show(self, what: str, done: float, total: float) -> None:
        self._bar.update(self._task, description=what, completed=done, total=total)
        self._bar.start()
        self._bar.refresh()


def table(report: Report) -> Table:
    """The figures that matter."""
    found = Table(show_header=False, box=None, pad_edge=False)
    loop = f"{report.rate:,.0f} marks/s asked" if report.rate else "closed loop"
    rows: list[tuple[str, str]] = [
        ("load", f"{report.over}, {report.connections:,} connections, {loop}"),
        ("marks", f"{report.marks:,} in {report.seconds:.1f} s"),
        ("marks/s", f"{report.marks_per_second:,.0f}"),
        ("mark to answer", _latencies(report.answer_ms)),
    ]
    if report.devices:
        rows += [
            ("listening", f"{report.senders:,} senders, sockets each: {report.devices}"),
            ("mark to socket", _latencies(report.socket_ms)),
            ("deliveries", f"{report.deliveries:,}"),
        ]
    cores = report.cpu_seconds / report.seconds if report.seconds else 0.0
    each = f", {1e6 * report.cpu_seconds / report.marks:.0f} us per mark" if report.marks else ""
    rows.append(("generator", f"{cores:.0%} of a core{each}"))
    for row in rows:
        found.add_row(*row)
    return found


def remarks(report: Report) -> list[str]:
    """What is wrong, in sentences."""
    found = [f"NOT RECORDED: {count:,} marks ({why})" for why, count in report.refused.items()]
    for what, count in (
        ("MISSING", report.missing),
        ("DOUBLED", report.doubled),
        ("OUT OF ORDER", report.out_of_order),
    ):
        if count:
            found.append(f"{what}: {count:,} deliveries")
    if report.sockets_lost:
        found.append(f"LOST: {report.sockets_lost:,} sockets were closed during the run")
    if report.asked == 0:
        found.append("NOTHING was asked: the run was over before its first mark")
    if report.unsent:
        found.append(
            f"{report.unsent:,} marks were due and found no free connection before the end: the "
            "rate is not kept up, and latencies are those of a growing queue"
        )
    if report.behind_schedule_ms > LATE_MS:
        found.append(
            f"the generator itself was up to {report.behind_schedule_ms:.1f} ms behind its "
            "schedule, and the latencies contain that"
        )
    if report.seconds and report.cpu_seconds / report.seconds > BUSY:
        found.append("the generator used its whole core: the server may be faster than this")
    if report.interrupted:
        found.append("interrupted: these are the figures until then")
    return found


def _latencies(summary: Mapping[str, float]) -> str:
    values: dict[str, Any] = dict(summary)
    return "   ".join(f"{name} {value:,.1f} ms" for name, value in values.items())


def _say(line: bytes) -> None:
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()
