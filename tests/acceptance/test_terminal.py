"""The command in front of a person: on a terminal that is as large as one says it is."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from tests.acceptance.devices import Api
from tests.servers.seenby import COMMAND
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance.conftest import Launch

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._ours, theirs = pty.openpty()
        environment = {"TERM": "xterm", "COLUMNS": "100", "LINES": "24", "PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(
            [str(COMMAND), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment | settings,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = bytearray()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    @property
    def text(self) -> str:
        """All that was shown so far, without colours and movements."""
        return ESCAPES.sub("", self._shown.decode("utf-8", "replace"))

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or another signal; the status with which it ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(120)
        self._reading.join(120)
        os.close(self._ours)
        return status

    def _read(self) -> None:
        # Linux ends the reading with an error when nobody has the terminal open any more.
        with contextlib.suppress(OSError):
            while piece := os.read(self._ours, 65_536):
                self._shown += piece


@contextlib.contextmanager
def terminal(*arguments: str, **settings: str) -> Iterator[Terminal]:
    """A command on a terminal, which is over at the end."""
    found = Terminal(*arguments, **settings)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.end(signal.SIGKILL)


def shows(found: Terminal, *words: str) -> Callable[[], bool]:
    """Whether all these words were shown."""
    return lambda: all(word in found.text for word in words)


def test_watch_is_a_live_view(launch: Launch) -> None:
    """Receipts come as lines with ticks; Ctrl-C ends it, without a traceback."""
    seenby = launch("serve")
    with terminal("watch", "user123", "--device", "laptop", "--gateway", seenby.gateway) as watch:
        wait_until("it is connected", shows(watch, "user123  connected"))
        api = Api(seenby.api)
        api.mark("m1", "user456", "user123", "conv789")
        api.close()
        wait_until("the receipt is shown", shows(watch, "read by user456", "at 1 of 1", "✓✓"))
        seenby.kill()
        wait_until("the loss is shown", shows(watch, "disconnected (1006)"))
        assert watch.end() == 130
        assert "{" not in watch.text
        assert "Traceback" not in watch.text


def test_watch_prints_json_where_it_is_asked_to(launch: Launch) -> None:
    """Also on a terminal; it ends after so many."""
    seenby = launch("serve")
    api = Api(seenby.api)
    api.mark("m1", "user456", "user123", "conv789")
    api.close()
    arguments = ("--device", "laptop", "--gateway", seenby.gateway, "--json", "--count", "1")
    with terminal("watch", "user123", *arguments) as watch:
        wait_until("it has ended", lambda: watch.process.poll() is not None)
        assert watch.end() == 0
        assert '{"type":"read_receipt","msg_id":"m1"' in watch.text


def test_erase_asks_whoever_sits_there(launch: Launch) -> None:
    """And the progress of a command is gone when it has ended."""
    seenby = launch("serve")
    settings = {"SEENBY_DATABASE_URL": seenby.environment["SEENBY_DATABASE_URL"]}
    with terminal("erase", "bob", **settings) as asked:
        wait_until("it asks", shows(asked, "Erase bob? This cannot be undone. [y/N]"))
        os.write(asked._ours, b"y\n")
        wait_until("it has ended", lambda: asked.process.poll() is not None)
        assert asked.end() == 0
        assert "bob is erased" in asked.text
    with terminal("verify", **settings) as verified:
        wait_until("it has ended", lambda: verified.process.poll() is not None)
        assert verified.end() == 0
        assert "verifying, conversations" in verified.text
        assert "0 conversations, 0 differences" in verified.text
