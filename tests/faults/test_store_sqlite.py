"""SQLite breaks under the store: locked by others, killed in the middle, closed, read-only."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.errors import StoreUnavailable
from seenby.model import Receipt
from seenby.store import sqlite
from seenby.store.base import Head, Want
from seenby.store.schema import migrate
from tests.contract.store_adapters import NOW, Adapter, change, counts, mark, numbered, rows
from tests.servers.wait import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seenby.store.sql import SqlStore

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE streams SET head = head + 100")
database.execute("INSERT INTO outbox VALUES (999, '', 0, 0, '[]')")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    """A migrated database in a file."""
    url = f"sqlite:///{tmp_path}/seenby.db"
    migrate(url)
    return Adapter("sqlite", url)


@pytest.fixture
def store(adapter: Adapter) -> Iterator[SqlStore]:
    """A store on that file."""
    with closing(adapter.open()) as opened:
        yield opened


@pytest.fixture
def holder(adapter: Adapter, store: SqlStore) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a transaction, which it never commits."""
    store.record([mark("first")], now=NOW, lease=None)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, adapter.url.removeprefix("sqlite:///")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_file_locked_by_another_process_is_a_store_away(
    adapter: Adapter, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For writers, after the retry time; nothing is recorded. Readers do not notice."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with closing(adapter.open(retry_seconds=0.2)) as store:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked"):
            store.record([mark()], now=NOW, lease=60)
        assert 0.15 < time.monotonic() - began < PATIENCE
        with pytest.raises(StoreUnavailable, match="locked"):
            store.discard([1])

        assert store.heads(["ann"])[1] == {"ann": Head(1, 0, NOW)}
        assert [event.seq for event in store.pages([Want("ann", 0, 10)])[0].events] == [1]
        # Repeats write nothing.
        assert len(store.record([mark("first")], now=NOW, lease=60).outcomes) == 1
        assert counts(store)["receipts"] == 1


def test_a_lock_that_ends_in_time_is_not_noticed(
    store: SqlStore, holder: subprocess.Popen[str]
) -> None:
    """The writer waits, and goes on where the other process left off: here, nothing was done."""
    with ThreadPoolExecutor(1) as writer:
        recording = writer.submit(store.record, [mark()], now=NOW, lease=60)
        holder.kill()
        recorded = recording.result(PATIENCE)
    assert [event.seq for event in recorded.events] == [2]
    assert [row[0] for row in rows(store, "SELECT id FROM outbox")] == [recorded.outbox_id]


def test_a_process_killed_in_the_middle_leaves_nothing_half_written(
    store: SqlStore, holder: subprocess.Popen[str]
) -> None:
    """Its transaction is undone by whoever opens the file next."""
    holder.kill()
    holder.wait()
    assert store.heads(["ann"])[1] == {"ann": Head(1, 0, NOW)}
    assert store.outbox().rows == 0


WRITE = """
import sys
from seenby.model import Mark
from seenby.store.sql import open_store
store = open_store(sys.argv[1])
for number in range(100_000):
    [receipt] = store.record([Mark(f"m{number}", "bob", "ann", "c")], now=number, lease=60).outcomes
    print(receipt.id, receipt.msg_id, flush=True)
"""


def test_what_was_answered_survives_the_process(adapter: Adapter, store: SqlStore) -> None:
    """A process killed while it records leaves every receipt that it told of, and whole batches."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, adapter.url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline().split() for _ in range(30)]
        process.kill()
        answered += [line.split() for line in process.stdout.read().splitlines()]
    kept = rows(store, "SELECT id, msg_id FROM receipts ORDER BY id")
    assert kept[:30] == [(int(number), msg_id) for number, msg_id in answered[:30]]
    # The last line may have been cut short by the kill.
    assert len(kept) >= len(answered) - 1
    state = counts(store)
    assert state["receipts"] == state["events"] == state["outbox"]
    assert store.heads(["ann"])[1]["ann"].head == state["events"]


def test_writers_take_turns_for_as_long_as_it_takes(adapter: Adapter) -> None:
    """More threads than a busy database would let through at once; nobody gives up."""
    start = threading.Barrier(8)

    def write(name: int) -> int:
        with closing(adapter.open()) as store:
            start.wait(PATIENCE)
            return sum(
                len(store.record(numbered(2, f"s{name}", start=2 * n), now=NOW, lease=0).events)
                for n in range(15)
            )

    with ThreadPoolExecutor(8) as writers:
        assert list(writers.map(write, range(8))) == [30] * 8


def test_a_full_disk_is_a_store_away_and_nothing_is_half_written(store: SqlStore) -> None:
    """And when there is room again, the same store goes on."""
    store.record([mark("first")], now=NOW, lease=None)
    [(pages,)] = rows(store, "PRAGMA page_count")
    rows(store, f"PRAGMA max_page_count={pages}")
    before = counts(store)
    with pytest.raises(StoreUnavailable, match="full"):
        store.record(numbered(500, "zoe"), now=NOW, lease=60)
    assert counts(store) == before
    rows(store, "PRAGMA max_page_count=1000000")
    assert len(store.record(numbered(500, "zoe"), now=NOW, lease=60).events) == 500


def test_a_file_without_tables_is_a_store_away(tmp_path: Path) -> None:
    """Not an error of the driver's."""
    with (
        closing(Adapter("sqlite", f"sqlite:///{tmp_path}/empty.db").open()) as store,
        pytest.raises(StoreUnavailable, match="no such table"),
    ):
        store.epoch()


def test_a_file_that_is_no_database_is_a_store_away(tmp_path: Path) -> None:
    """It is said at once, and the file is left as it is."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear Ann, " * 1000, encoding="ascii")
    began = time.monotonic()
    with (
        closing(Adapter("sqlite", f"sqlite:///{file}").open(retry_seconds=2 * PATIENCE)) as store,
        pytest.raises(StoreUnavailable, match="not a database"),
    ):
        store.ping()
    assert time.monotonic() - began < PATIENCE
    assert file.read_text(encoding="ascii").startswith("Dear Ann")


def test_every_connection_is_durable(adapter: Adapter, store: SqlStore) -> None:
    """Write-ahead log, a full flush at each commit, on the first connection and on every other."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "foreign_keys": 1}

    def pragmas(of: SqlStore) -> dict[str, object]:
        return {name: rows(of, f"PRAGMA {name}")[0][0] for name in wanted}

    assert pragmas(store) == wanted
    with ThreadPoolExecutor(1) as other, closing(adapter.open()) as second:
        assert other.submit(pragmas, store).result() == wanted
        assert pragmas(second) == wanted
    # A connection that was lost is replaced by one that is set up the same way.
    store.connections._drop(store.connections._mine())
    assert pragmas(store) == wanted
    assert store.durability_warnings() == []


def test_a_closed_store_is_away(store: SqlStore) -> None:
    """For every thread, those that had a connection and new ones; closing twice does no harm."""
    store.ping()
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.ping()
    with ThreadPoolExecutor(1) as other, pytest.raises(StoreUnavailable, match="closed"):
        other.submit(store.ping).result()


def test_a_closed_store_leaves_the_file_to_others(adapter: Adapter) -> None:
    """No connection of any of its threads stays open."""
    store = adapter.open()
    gate = threading.Barrier(3)

    def use() -> None:
        gate.wait(PATIENCE)
        store.ping()

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(use) for _ in range(3)]:
            done.result()
        store.close()
        # Leaving WAL needs the file for oneself.
        with closing(sqlite3.connect(adapter.url.removeprefix("sqlite:///"))) as alone:
            assert alone.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)


def test_a_thread_that_ends_takes_its_connection_along(adapter: Adapter, store: SqlStore) -> None:
    """Threads come and go; their connections do not pile up."""
    for _ in range(3):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(store.ping).result()
    assert len(store.connections._all) == 0
    with closing(sqlite3.connect(adapter.url.removeprefix("sqlite:///"))) as alone:
        assert alone.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)


def test_a_receipt_is_answered_after_errors_on_the_same_thread(
    adapter: Adapter, store: SqlStore
) -> None:
    """A transaction that failed leaves no lock behind: another store can write at once."""
    with pytest.raises(StoreUnavailable):
        change(store, "DELETE FROM nowhere")
    with closing(adapter.open(retry_seconds=0)) as other:
        assert isinstance(other.record([mark()], now=NOW, lease=0).outcomes[0], Receipt)
