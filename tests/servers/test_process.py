"""A server process never outlives the run that started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import ServerError, ServerProcess
from tests.servers.wait import wait_until

OWNER = """
import sys, time
from pathlib import Path
from tests.servers.process import ServerProcess
server = ServerProcess("sleep", ["sleep", "600"], Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    """Even kill -9 on the tests ends the servers they started."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        # Until it is sleep, it is setpriv, which may not have asked for the signal yet.
        command = Path(f"/proc/{pid}/cmdline")
        wait_until("the server runs", lambda: command.read_bytes().startswith(b"sleep"))
        owner.kill()
    wait_until("the server is gone", lambda: gone(pid))


def test_it_stops_starts_and_stops(tmp_path: Path) -> None:
    """Stopping twice is no error, and a stopped process can be started again."""
    server = ServerProcess("sleep", ["sleep", "600"], tmp_path / "log")
    for _ in range(2):
        server.start()
        pid = server.pid
        assert not gone(pid)
        server.stop()
        server.stop()
        assert gone(pid)
    assert not server.running


def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed, and the test that stopped it fails."""
    log = tmp_path / "log"
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)"
    server = ServerProcess("deaf", [sys.executable, "-c", f"{code}; time.sleep(600)"], log)
    server.start()
    pid = server.pid
    wait_until("it is deaf", lambda: "deaf" in server.tail())
    with pytest.raises(ServerError, match="deaf did not stop"):
        server.stop(patience=0.2)
    assert gone(pid)
