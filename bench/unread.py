"""The row about unread counts: one user, many conversations, many messages; asked over HTTP."""

from __future__ import annotations

import statistics
import subprocess
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.backend import Backend
from bench.load import LoadError
from tests.servers.seenby import COMMAND

if TYPE_CHECKING:
    from bench.measurement import Bench
    from tests.servers.seenby import Seenby

ROW = "unread"
CONVERSATIONS, EACH = 500, 200
READ = 50
"""Messages at the start of each conversation that the user has read, of every tenth."""

ASKED = 300
"""Times in a round."""

WHO = "reader"


def unread(bench: Bench) -> None:
    """On MariaDB, then on SQLite."""
    world = bench.world
    url = world.database()
    with world.running("api", world.settings(url, world.topic())) as api:
        _counts(bench, "MariaDB", api)
    with world.running("serve", {"SEENBY_LOG_LEVEL": "warning"}) as serve:
        _counts(bench, "SQLite", serve)


def _counts(bench: Bench, figure: str, seenby: Seenby) -> None:
    """Register, read a part, ask, and check the answers and all counters."""
    readings = bench.readings
    each = EACH // (10 if bench.quick else 1)
    bench.tell(f"registering {CONVERSATIONS * each:,} messages on {figure}")
    began = time.perf_counter()
    unread = _register(Backend(seenby.api), each)
    readings.beside(ROW, f"{figure}: registering", time.perf_counter() - began, "s")
    for _ in bench.rounds(f"unread counts, {figure}"):
        median, slowest, wrong = _ask(seenby.api, unread)
        if wrong:
            readings.problem(ROW, f"{wrong} counts on {figure} were wrong")
        readings.add(ROW, median, figure)
        readings.beside(ROW, f"{figure}: p99", slowest, "ms")
    said = subprocess.run(  # noqa: S603 -- our own
        [COMMAND, "verify"],
        env={"SEENBY_DATABASE_URL": seenby.environment["SEENBY_DATABASE_URL"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if said.stdout.strip() != f"{CONVERSATIONS} conversations, 0 differences":
        readings.problem(
            ROW, f"seenby verify on {figure}: {said.stdout[-200:]}{said.stderr[-200:]}"
        )


def _register(backend: Backend, each: int) -> int:
    """Conversations of ten, their messages, and some that are read; how many are not."""
    names = [f"talk{number}" for number in range(CONVERSATIONS)]
    with closing(backend):
        backend.groups((name, [WHO, *(f"{name}-{n}" for n in range(1, 10))]) for name in names)
        backend.messages(
            (f"{name}-{number}", name, f"{name}-{1 + number % 9}")
            for number in range(each)
            for name in names
        )
        read = 0
        for name in names[::10]:
            last = f"{name}-{each * READ // EACH - 1}"
            asked = {"user_id": WHO, "conversation_id": name, "up_to_msg_id": last}
            read += backend.ask("POST", "/conversations/read", asked)["rows_affected"]
    if read != CONVERSATIONS // 10 * each * READ // EACH:
        raise LoadError(f"{read} messages were read")
    return CONVERSATIONS * each - read


def _ask(api: str, unread: int) -> tuple[float, float, int]:
    """Ask on one connection: median and 99th percentile in ms, and how many were wrong."""
    parts = urlsplit(api)
    path = f"/api/v1/messages/unread/count?user_id={WHO}"
    took, wrong = [], 0
    total, whole = f'"count":{unread},"conversations":['.encode(), b'"conversation_id"'
    with closing(HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)) as connection:
        for _ in range(ASKED):
            began = time.perf_counter()
            connection.request("GET", path)
            text = connection.getresponse().read()
            took.append(1000 * (time.perf_counter() - began))
            wrong += total not in text or text.count(whole) != CONVERSATIONS
    return statistics.median(took), statistics.quantiles(took, n=100)[-1], wrong
