"""The row about a large table: marks on 10 million receipts beside marks on an empty table.

Two databases on one server, an API on each, marked in turn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.load import Marks, mark
from bench.world import BUFFER_POOL
from tests.servers.mariadb import query

if TYPE_CHECKING:
    from bench.measurement import Bench

RECEIPTS = 10_000_000
ROW = "full-table"

FILL = """
INSERT INTO receipts
  (msg_id, reader_id, sender_id, conversation_id, conversation_type, device_id, read_at)
SELECT
  CONCAT('fill-', LPAD(seq, 9, '0')), CONCAT('bench-reader-', LPAD(seq MOD 1000, 6, '0')),
  CONCAT('bench-sender-', LPAD(seq MOD 500, 6, '0')),
  CONCAT('bench-', LPAD(seq MOD 1000, 6, '0')), 'private', '', 1700000000000 + seq
FROM seq_1_to_{receipts}
"""

SIZE = """
SELECT (data_length + index_length) / 1048576 FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = 'receipts'
"""


def full_table(bench: Bench) -> None:
    """Fill one of two databases, then mark on both, in turn."""
    world, readings = bench.world, bench.readings
    full, empty = world.database(), world.database()
    receipts = RECEIPTS // (20 if bench.quick else 1)
    bench.tell(f"filling a table with {receipts:,} receipts")
    began = time.perf_counter()
    query(full, "SET SESSION unique_checks = 0", FILL.format(receipts=receipts))
    query(full, "ANALYZE TABLE receipts")
    took = time.perf_counter() - began
    [[size]] = query(full, SIZE)
    readings.remark(
        ROW,
        f"{receipts:,} receipts ({size:.0f} MB with indexes, buffer pool "
        f"{BUFFER_POOL / 1048576:.0f} MB), filled in {took:.0f} s; message ids grow with time",
    )
    with (
        world.running("api", world.settings(full, world.topic())) as large,
        world.running("api", world.settings(empty, world.topic())) as small,
    ):
        for number in bench.rounds("marks on a full table and on an empty one", warm_up=True):
            runs: list[Marks] = []
            for api in (large, small):
                pids = {
                    "API": api.process.pid,
                    "MariaDB": world.mariadb.pid,
                    "Kafka": world.kafka.pid,
                }
                runs.append(
                    mark(
                        pids,
                        "--no-sockets",
                        api=api.api,
                        over="http",
                        connections=300,
                        senders=500,
                        rate=0,
                        seconds=bench.seconds(4),
                        tag=f"g{number}",
                    )
                )
            if number == 0:
                continue
            for run in runs:
                for problem in run.problems:
                    readings.problem(ROW, problem)
            with_many, with_none = (run.us("API", "MariaDB", "Kafka") for run in runs)
            readings.add(ROW, with_many / with_none)
            readings.beside(ROW, "full", with_many, "us per mark")
            readings.beside(ROW, "empty", with_none, "us per mark")
            readings.beside(ROW, "MariaDB, full", runs[0].us("MariaDB"), "us per mark")
            readings.beside(ROW, "MariaDB, empty", runs[1].us("MariaDB"), "us per mark")
            readings.beside(ROW, "load generator", runs[0].own_us, "us per mark")
