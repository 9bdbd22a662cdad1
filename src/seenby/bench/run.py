"""One run of the load generator: connect, load, wait for what is under way, report."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import secrets
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from seenby.bench.ledger import Ledger
from seenby.bench.load import Load, Pace
from seenby.bench.readers import HttpReaders, Marks, Readers, SocketReaders, sender
from seenby.bench.report import Report
from seenby.bench.schedule import Schedule
from seenby.bench.sockets import Sockets
from seenby.errors import BadInput, Unreachable

if TYPE_CHECKING:
    from seenby.bench.report import Audience
    from seenby.bench.target import Target

Over = Literal["http", "batch", "socket"]

CONNECT_AT_ONCE = 200
"""Connections between two steps of the progress bar."""

PAUSE = 0.2
"""Seconds between the word that all is ready and the first mark: time to read counters in."""

GRACE = 5.0
"""Seconds after the load for answers and deliveries that are still to come."""

SETTLE = 0.2
"""Seconds after the last one in which one that is too many may come."""

LOOK_EVERY = 0.5
"""Seconds between two steps of the progress bar: drawing one stops the load for a millisecond."""

SPARE_FILES = 100
"""Open files beside the connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for; ``rate`` in marks per second, 0 for the closed loop."""

    api: Target
    gateway: Target
    over: Over
    connections: int
    rate: float
    seconds: float
    senders: int
    devices: int
    batch_size: int
    token: str | None
    tag: str

    @property
    def headers(self) -> dict[str, str]:
        """What every request and handshake carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def new_tag() -> str:
    """What the message ids of one run begin with, and of no other."""
    return secrets.token_hex(6)


async def run(plan: Plan, audience: Audience) -> Report:
    """Do it; Ctrl-C ends the load early, and what was measured so far is reported.

    Raises:
        Unreachable: API or gateway does not let us in.
        BadInput: this process may not open so many connections.
    """
    _allow_files(plan.connections + plan.senders * plan.devices + SPARE_FILES)
    clock = time.perf_counter
    ledger = Ledger(plan.tag, plan.devices, clock)
    listeners = [Sockets(ledger.listener(device)) for device in range(plan.devices)]
    readers = _readers(plan, ledger)
    try:
        await _connect(plan, listeners, readers, audience)
        gc.collect()
        gc.freeze()
        audience.ready()
        cpu = time.process_time()
        began = clock() + PAUSE
        schedule = Schedule(plan.rate / readers.size, began, began + plan.seconds)
        ledger.count_from = began + min(1.0, plan.seconds / 10)
        load = Load(schedule, clock)
        await asyncio.sleep(PAUSE)
        interrupted = await _load(plan, schedule, load, readers, audience)
        ended = clock()
        cpu = time.process_time() - cpu
        marks = ledger.marks
        await _stragglers(ledger)
        readers.give_up()
        seconds = ended - began
        report = Report(
            over=plan.over,
            connections=plan.connections,
            rate=plan.rate,
            senders=plan.senders,
            devices=plan.devices,
            batch_size=readers.size,
            tag=plan.tag,
            seconds=round(seconds, 3),
            asked=ledger.asked,
            unsent=schedule.left() * readers.size,
            marks=ledger.marks,
            refused=dict(ledger.refusals),
            marks_per_second=round(marks / seconds, 1),
            answer_ms=ledger.answers.summary(),
            socket_ms=ledger.pushes.summary(),
            deliveries=ledger.deliveries,
            missing=ledger.missing,
            doubled=ledger.doubled,
            out_of_order=ledger.out_of_order,
            sockets_lost=sum(sockets.lost for sockets in listeners) + readers.lost_sockets,
            behind_schedule_ms=round(1000 * load.behind, 3),
            cpu_seconds=round(cpu, 3),
            interrupted=interrupted,
        )
        # Before the sockets are closed, which costs the gateway: the parent reads counters now.
        audience.ended(report)
        return report
    finally:
        readers.close()
        for sockets in listeners:
            sockets.close()


def _readers(plan: Plan, ledger: Ledger) -> Readers:
    marks = Marks(plan.tag, plan.senders)
    if plan.over == "socket":
        return SocketReaders(plan.gateway, plan.headers, marks, ledger)
    size = plan.batch_size if plan.over == "batch" else 0
    return HttpReaders(plan.api, plan.headers, marks, ledger, size)


async def _connect(
    plan: Plan, listeners: list[Sockets], readers: Readers, audience: Audience
) -> None:
    total, done = plan.senders * len(listeners) + plan.connections, 0
    audience.connecting(done, total)
    for sockets in listeners:
        for numbers in _parts(plan.senders):
            clients = [{"user_id": sender(number)} for number in numbers]
            try:
                await sockets.connect(plan.gateway.url, clients, headers=plan.headers)
            except OSError as error:
                raise Unreachable(
                    f"no gateway lets senders in at {plan.gateway.url} ({error})"
                ) from None
            done += len(clients)
            audience.connecting(done, total)
    for numbers in _parts(plan.connections):
        await readers.connect(len(numbers))
        done += len(numbers)
        audience.connecting(done, total)


def _parts(count: int) -> list[range]:
    """The numbers below *count*, in parts."""
    starts = range(0, count, CONNECT_AT_ONCE)
    return [range(start, min(start + CONNECT_AT_ONCE, count)) for start in starts]


async def _load(
    plan: Plan, schedule: Schedule, load: Load, readers: Readers, audience: Audience
) -> bool:
    """Load until the schedule's end; whether it was interrupted."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    pace = Pace(load)
    readers.start(load)
    if plan.rate:
        pace.start()
    try:
        while not stop.is_set() and (left := schedule.end - time.perf_counter()) > 0:
            audience.running(plan.seconds - left, plan.seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_EVERY)):
                    await stop.wait()
    finally:
        schedule.stop(time.perf_counter())
        pace.stop()
        loop.remove_signal_handler(signal.SIGINT)
    return stop.is_set()


async def _stragglers(ledger: Ledger) -> None:
    """Wait for answers and deliveries that are under way."""
    patience = time.perf_counter() + GRACE
    while (ledger.unanswered or ledger.missing) and time.perf_counter() < patience:  # noqa: ASYNC110 -- rare, short
        await asyncio.sleep(0.02)
    await asyncio.sleep(SETTLE)


def _allow_files(needed: int) -> None:
    """Raise the limit of open files as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise BadInput(
                "--connections plus --senders times --devices",
                f"below the {hard} files that this process may open (ulimit -n)",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
