"""The row about devices that come back all at once, with events to catch up.

They have been there before, and the events were marked while they were away, through the API:
so Kafka has brought them to the gateway, as in life.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.load import LoadError, stage
from bench.marks import apart
from bench.world import Clock
from tests.servers.mariadb import query

if TYPE_CHECKING:
    from bench.measurement import Bench

DEVICES = 5_000
MISSED = 20
BATCH = 1_000
ROW = "reconnect"


def reconnect(bench: Bench) -> None:
    """All devices leave, miss 20 events each, and come back."""
    users = [f"back-{number}" for number in range(DEVICES)]
    world, readings = bench.world, bench.readings
    with apart(bench) as (api, gateway, pids), stage(world.kafka.brokers, "", world.folder) as hall:
        for number in bench.rounds("reconnect"):
            hall.order("visit", gateway=gateway.gateway, users=users)
            mark_all(api.api, users, f"r{number}")
            before = selects(bench)
            clock = Clock(gateway=pids["gateway"], MariaDB=pids["MariaDB"])
            came = hall.order("return", gateway=gateway.gateway, events=MISSED)
            queries = selects(bench) - before
            used = clock.used()
            for name, words in (
                ("missing", "devices not served"),
                ("wrong", "events doubled or out of order, or streams reset"),
            ):
                if came[name]:
                    readings.problem(ROW, f"{came[name]} {words}")
            readings.add(ROW, came["seconds"], "all served")
            readings.add(ROW, 1000 * queries / DEVICES, "store queries per 1,000 devices")
            for name, seconds in used.items():
                readings.beside(ROW, name, 1e6 * seconds / DEVICES, "us per device")
            readings.beside(
                ROW, "load generator", 1e6 * came["cpu_seconds"] / DEVICES, "us per device"
            )
    readings.remark(ROW, "queries: the database's own count of SELECTs, all processes together")


def mark_all(api: str, users: list[str], tag: str) -> None:
    """Mark MISSED messages of each user, through the batch endpoint."""
    parts = urlsplit(api)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
    marks = [
        {
            "msg_id": f"{tag}-{user}-{number}",
            "reader_id": "reader",
            "sender_id": user,
            "conversation_id": "back",
        }
        for number in range(MISSED)
        for user in users
    ]
    for start in range(0, len(marks), BATCH):
        body = json.dumps({"receipts": marks[start : start + BATCH]})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/v1/messages/read/batch", body, headers)
        answer = json.loads(connection.getresponse().read())
        if not all(result.get("success") for result in answer.get("results", [{}])):
            raise LoadError(f"marks were refused: {str(answer)[:200]}")
    connection.close()


def selects(bench: Bench) -> int:
    """How many SELECTs the database server has been sent so far."""
    url = bench.world.mariadb.database()
    try:
        [[_, count]] = query(url, "SHOW GLOBAL STATUS LIKE 'Com_select'")
    finally:
        bench.world.mariadb.drop(url)
    return int(count)
