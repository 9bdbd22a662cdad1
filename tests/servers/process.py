"""One server process: started in its own group, ended by its id, gone when the tests are gone.

Nothing a test run starts may outlive it. Three things see to that: the fixtures stop what they
started, ``atexit`` catches what they missed, and the kernel kills the server when the thread that
started it ends (PR_SET_PDEATHSIG), so that even ``kill -9`` on pytest leaves nothing behind.
Start servers from the main thread for that reason.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOG_TAIL_LINES = 40

ENDS_WITHIN = 60.0
"""Seconds in which a process ends; what it still writes to a busy disk takes a while."""


class ServerError(RuntimeError):
    """A server could not be started or stopped as asked. The text ends with its last log lines."""


class ServerProcess:
    """A child process with a log file, which can be started again after it was stopped.

    Args:
        name: What a person calls it, for error texts.
        command: Program and arguments.
        log: File that collects stdout and stderr of all starts.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerError(f"{self.name} is not started")
        return self._process.pid

    def start(self) -> None:
        """Start the process; returns at once, whether or not it serves yet."""
        if self.running:
            raise ServerError(f"{self.name} runs already")
        # setpriv and not preexec_fn: the test process has threads, and code between fork and
        # exec may then hang on a lock that another thread held.
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill)

    def stop(self, patience: float = ENDS_WITHIN) -> None:
        """Ask it to end (SIGTERM) and wait; after ``patience`` seconds kill it and complain."""
        if not self.running:
            self._forget()
            return
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        try:
            self._wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(
                f"{self.name} did not stop within {patience} s\n{self.tail()}"
            ) from None
        self._forget()

    def kill(self) -> None:
        """End it and its children as a power cut would (SIGKILL)."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
            self._wait(ENDS_WITHIN)
        self._forget()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        os.kill(self.pid, number)

    def tail(self) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return "(no log)"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _wait(self, patience: float) -> None:
        if self._process is not None:
            self._process.wait(patience)

    def _forget(self) -> None:
        # Reaps the child: a Popen that is dropped unwaited raises a ResourceWarning.
        self._wait(ENDS_WITHIN)
        self._process = None
        atexit.unregister(self.kill)
