"""Marks that wait: seenby is killed, the client is killed, and each mark is recorded once."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seenby.client import Connected, FileStorage
from seenby.client.sync import Client
from tests.servers.seenby import Seenby
from tests.servers.wait import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seenby.client.stream import Notice

MARKING = """
import sys
from seenby.client import FileStorage
from seenby.client.sync import Client

client = Client(user_id="bob", api=sys.argv[1], storage=FileStorage(sys.argv[2]))
for number in range(100_000):
    client.mark_later(msg_id=f"zoe-{number}", sender_id="zoe", conversation_id="c1")
    print(number, flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seenby]:
    """One process with API and gateway."""
    server = Seenby("serve", tmp_path_factory.mktemp("seenby"), {}).start()
    yield server
    server.kill()


@pytest.fixture
def seenby(server: Seenby) -> Seenby:
    """The same, running whatever the test before did."""
    return server if server.process.running else server.start()


def read_by_bob(seenby: Seenby, sender: str, count: int) -> list[str]:
    """Which of so many messages bob has read, by the API; each has one receipt at most."""
    ids = [f"{sender}-{number}" for number in range(count)]
    with Client(user_id=sender, api=seenby.api) as client:
        found = client.message_receipts(ids)
    assert {page.count for page in found} <= {0, 1}
    return [page.msg_id for page in found if page.count]


def test_marks_wait_out_a_restart_of_the_server(seenby: Seenby, tmp_path: Path) -> None:
    """Those from before, while it was away, and from after: all are recorded."""
    with Client(user_id="bob", api=seenby.api, storage=FileStorage(tmp_path / "kept")) as client:

        def mark(numbers: range) -> None:
            for number in numbers:
                client.mark_later(msg_id=f"alice-{number}", sender_id="alice", conversation_id="c1")

        mark(range(50))
        seenby.kill()
        mark(range(50, 100))
        assert client.pending
        seenby.start()
        mark(range(100, 150))
        client.marks_sent()
        assert client.pending == []
    assert read_by_bob(seenby, "alice", 151) == [f"alice-{number}" for number in range(150)]


def test_marks_outlive_a_client_that_is_killed(seenby: Seenby, tmp_path: Path) -> None:
    """In the middle of its work, with the server away: whatever it was told is kept, is sent."""
    seenby.kill()
    kept = tmp_path / "kept"
    arguments = [sys.executable, "-c", MARKING, seenby.api, str(kept)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(300):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        told = 300 + len(process.stdout.readlines())
    seenby.start()
    with Client(user_id="bob", api=seenby.api, storage=FileStorage(kept)) as client:
        client.marks_sent()
    # One more may have been kept without a word: it was killed in between.
    found = read_by_bob(seenby, "zoe", told + 2)
    assert found[:told] == [f"zoe-{number}" for number in range(told)]
    assert len(found) <= told + 1


def test_a_stream_goes_on_in_the_next_process(seenby: Seenby, tmp_path: Path) -> None:
    """With a storage and without a device: each receipt comes once, over both."""
    seen: list[str] = []
    for number in range(2):
        with (
            Client(
                user_id="eve",
                api=seenby.api,
                storage=FileStorage(tmp_path / "kept"),
            ) as eve,
            Client(user_id="bob", api=seenby.api) as bob,
        ):
            notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
            stream = eve.receipts(auto_ack=False, notice=notices.put)
            with pytest.raises(TimeoutError):
                stream.get(timeout=0)
            # Without a device and a position it begins now, so she must be there first.
            assert isinstance(notices.get(timeout=PATIENCE), Connected)
            for message in ("a", "b"):
                bob.mark(msg_id=f"{message}{number}", sender_id="eve", conversation_id="c1")
            for _ in range(2):
                item = stream.get(timeout=PATIENCE)
                seen.append(getattr(item, "msg_id", "reset"))
                eve.ack(item)
        with Client(user_id="bob", api=seenby.api) as bob:
            bob.mark(msg_id=f"away{number}", sender_id="eve", conversation_id="c1")
            if number == 0:
                seenby.kill()
                seenby.start()
    assert seen == ["a0", "b0", "away0", "a1"]
