"""The benchmark's load: what a run of marks says, and what processes use."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.server import serve

from bench.deliver import Sink
from bench.load import Marks, compiled
from bench.world import Clock, cpu, family, memory
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.sync.server import ServerConnection

WELL: dict[str, Any] = {
    "marks": 1000,
    "refused": {},
    "missing": 0,
    "doubled": 0,
    "out_of_order": 0,
    "sockets_lost": 0,
    "cpu_seconds": 0.05,
}


def test_cost_is_cpu_time_by_mark() -> None:
    """Microseconds of the processes named, together; the load generator's own apart."""
    run = Marks(WELL, {"API": 0.1, "MariaDB": 0.05, "gateway": 0.02})
    assert run.us("API") == pytest.approx(100)
    assert run.us("API", "MariaDB") == pytest.approx(150)
    assert run.own_us == pytest.approx(50)


def test_all_well_is_no_problem() -> None:
    """A run in which every mark was recorded and delivered once, in order."""
    assert Marks(WELL, {}).problems == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"refused": {"503": 2}}, "2 marks refused (503)"),
        ({"missing": 3}, "3 deliveries missing"),
        ({"doubled": 1}, "1 deliveries doubled"),
        ({"out_of_order": 1}, "1 deliveries out of order"),
        ({"sockets_lost": 4}, "4 sockets lost"),
        ({"marks": 0}, "no marks"),
    ],
)
def test_whatever_is_not_well_is_said(change: dict[str, Any], said: str) -> None:
    """A mark that was refused, or a delivery that is missing, makes the run unsound."""
    assert Marks(WELL | change, {}).problems == [said]


def test_the_sink_checks_what_it_is_sent(tmp_path: Path) -> None:
    """Each message must be its device's next, however long its frame; pings are answered."""
    answered = threading.Event()

    def serve_one(connection: ServerConnection) -> None:
        for seq, length in ((1, 10), (2, 1000), (4, 70_000)):
            msg_id = f"{time.time() * 1e6:.0f}-{seq}"
            connection.send(f'{{"msg_id":"{msg_id}","x":"{"x" * length}","seq":{seq}}}')
        if connection.ping(b"there?").wait(60):
            answered.set()
        connection.recv()

    with serve(serve_one, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        sink = Sink(compiled("sink", tmp_path))
        try:
            assert sink.connect((port, f"/ws?user_id={name}") for name in "ab") == 2
            came = sink.wait(6)
            assert answered.wait(60)
        finally:
            sink.close()
    assert (came["messages"], came["wrong"], came["lost"]) == (6, 2, 0)
    assert 0 < came["p50_ms"] <= came["p99_ms"] < 60_000


def test_a_process_is_counted_with_its_children() -> None:
    """CPU time and memory are those of all processes of the session that one began."""
    command = ["sh", "-c", "sleep 60 & wait"]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            wait_until("the child is there", lambda: len(family(process.pid)) == 2)
            assert process.pid in family(process.pid)
            assert memory(process.pid) > 0
            assert cpu(process.pid) >= 0
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_clock_counts_from_its_start() -> None:
    """What a process used before is not counted; one that is gone uses nothing more."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        clock = Clock(sleep=process.pid)
        process.kill()
        process.wait()
        assert clock.used() == {"sleep": 0.0}
