"""MariaDB breaks under the store: what was answered is kept, what was not is whole or not there."""

from __future__ import annotations

import contextlib
import gc
import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.errors import NotFound, StoreRefused, StoreUnavailable
from seenby.model import Position, Receipt
from seenby.store import connections, mysql
from seenby.store.base import Ack, Head, Want
from seenby.store.schema import migrate, require_current
from tests.contract.store_adapters import (
    DRIVERS,
    NOW,
    Adapter,
    change,
    counts,
    empty,
    mark,
    numbered,
    rows,
    url_for,
)
from tests.faults.store_link import Link
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seenby.model import Mark
    from seenby.store.base import Recorded
    from seenby.store.sql import SqlStore
    from tests.servers.mariadb import MariaDB

LONG_AGO = NOW - 1000


@pytest.fixture(scope="module", params=["mysqlclient", "pymysql"])
def adapter(request: pytest.FixtureRequest, mariadb_server: MariaDB) -> Adapter:
    """A driver, and a migrated database on MariaDB that is made once."""
    url = url_for(request.param, mariadb_server.database())
    migrate(url)
    return Adapter(request.param, url)


@pytest.fixture
def store(adapter: Adapter) -> Iterator[SqlStore]:
    """An empty store on that database."""
    with closing(adapter.open()) as opened:
        empty(opened)
        yield opened


def check(store: SqlStore, recorded: list[Recorded]) -> None:
    """Streams have no gaps, and each event waits in the outbox, whoever was told about it."""
    change(store, "UPDATE outbox SET lease_until = 0")
    batches = store.claim(owner="n", lease=60, limit=100_000)
    waiting = {(event.sender_id, event.seq) for batch in batches for event in batch.events}
    kept = set(rows(store, "SELECT user_id, seq FROM events"))
    assert waiting == kept
    assert {(event.sender_id, event.seq) for each in recorded for event in each.events} <= kept
    for user_id, head, floor in rows(store, "SELECT user_id, head, floor FROM streams"):
        [page] = store.pages([Want(user_id, 0, 100_000)])
        assert [event.seq for event in page.events] == list(range(floor + 1, head + 1))
    assert counts(store)["events"] == counts(store)["receipts"]


def kill_connections(store: SqlStore) -> None:
    """What an administrator does, or a proxy that has had enough: all but the caller's own."""
    for (number,) in rows(
        store,
        "SELECT id FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    ):
        # It may have ended by itself meanwhile.
        with contextlib.suppress(StoreUnavailable):
            change(store, f"KILL HARD CONNECTION {number}")


def one_round(store: SqlStore, number: int) -> Recorded:
    """Everything a gateway and a service do, on a database that has seen *number* rounds."""
    marks = [mark(f"{number}-1"), mark(f"{number}-2"), mark(f"{number}-1", sender_id="zoe")]
    marks[2] = mark(f"{number}-3", sender_id="zoe")
    recorded = store.record(marks, now=NOW, lease=60)
    assert [o.msg_id for o in recorded.outcomes if isinstance(o, Receipt)] == [
        each.msg_id for each in marks
    ]
    epoch, heads = store.heads(["ann", "zoe"])
    assert [heads["ann"].head, heads["zoe"].head] == [2 * number + 2, number + 1]
    [page] = store.pages([Want("ann", 2 * number, 10)])
    assert [event.msg_id for event in page.events] == [marks[0].msg_id, marks[1].msg_id]
    store.acknowledge([Ack("ann", "phone", Position(epoch, page.head))], now=NOW)
    assert store.positions([("ann", "phone")]) == {("ann", "phone"): Position(epoch, page.head)}
    assert store.receipts([marks[0].msg_id], sender_id="ann", after_id=0, limit=9)[0].count == 1
    assert store.outbox().rows == number + 1
    return recorded


@pytest.mark.parametrize("adapter", DRIVERS, indirect=True)
@pytest.mark.parametrize("answered", [False, True], ids=["message lost", "answer lost"])
def test_wherever_the_link_breaks_the_outcome_is_the_same(
    adapter: Adapter, store: SqlStore, answered: bool
) -> None:
    """From the greeting to the last commit, each message is lost once, or each answer."""
    recorded: list[Recorded] = []
    with Link(adapter.url) as link:
        for number in itertools.count():
            link.break_after(number, answered=answered)
            with closing(Adapter(adapter.name, link.url).open()) as over_link:
                recorded.append(one_round(over_link, number))
            if not link.broken:
                break
    assert number > 15
    # Of a commit whose answer was lost, nobody is told here; the others are all told.
    silent = [each for each in recorded if not each.events]
    assert len(silent) == (1 if answered else 0)
    assert [each.outbox_id for each in silent] == [None] * len(silent)
    check(store, recorded)


@pytest.mark.parametrize("adapter", DRIVERS, indirect=True)
@pytest.mark.parametrize("answered", [False, True], ids=["message lost", "answer lost"])
def test_wherever_it_breaks_what_goes_was_there(
    adapter: Adapter, store: SqlStore, answered: bool
) -> None:
    """Nobody is told that a receipt or a device was not there because the first try was done."""
    with Link(adapter.url) as link:
        for number in itertools.count():
            msg_id = f"m{number}"
            [receipt] = store.record([mark(msg_id)], now=NOW, lease=60).outcomes
            assert isinstance(receipt, Receipt)
            epoch, _ = store.heads(["ann"])
            store.acknowledge([Ack("ann", "phone", Position(epoch, 1))], now=NOW)
            link.break_after(number, answered=answered)
            with closing(Adapter(adapter.name, link.url).open()) as over_link:
                withdrawn = over_link.recording.withdraw(
                    msg_id, receipt.reader_id, now=NOW, lease=60
                )
                assert withdrawn.receipt == receipt
                assert over_link.forget_device("ann", "phone")
                with pytest.raises(NotFound):
                    over_link.recording.withdraw(msg_id, receipt.reader_id, now=NOW, lease=60)
                assert not over_link.forget_device("ann", "phone")
            if not link.broken:
                break
    assert number > 15
    assert counts(store)["receipts"] == 0
    assert counts(store)["devices"] == 0


@pytest.mark.parametrize("adapter", ["mysqlclient"], indirect=True)
@pytest.mark.parametrize("answered", [False, True], ids=["message lost", "answer lost"])
def test_wherever_a_trim_breaks_the_stream_is_whole(
    adapter: Adapter, store: SqlStore, answered: bool
) -> None:
    """Events and floor go together."""
    with Link(adapter.url) as link:
        for number in itertools.count(1):
            for user_id in ("ann", "zoe"):
                store.record(numbered(1, user_id, start=number), now=LONG_AGO, lease=None)
            link.break_after(number - 1, answered=answered)
            with closing(Adapter(adapter.name, link.url).open()) as over_link:
                over_link.trim(before=NOW, limit=1000)
                assert over_link.heads(["ann", "zoe"])[1] == {
                    "ann": Head(number, number),
                    "zoe": Head(number, number),
                }
            if not link.broken:
                break
    assert number > 10
    assert counts(store)["events"] == 0


def record_all(store: SqlStore, marks: list[Mark], recorded: list[Recorded]) -> None:
    """In batches of five, until all of them are answered with receipts."""
    for start in range(0, len(marks), 5):
        done = store.record(marks[start : start + 5], now=NOW, lease=60)
        assert all(isinstance(outcome, Receipt) for outcome in done.outcomes)
        recorded.append(done)


def test_killed_connections_are_nobodys_error(adapter: Adapter, store: SqlStore) -> None:
    """Under load from several threads, again and again: all is recorded, once."""
    recorded: list[Recorded] = []
    marks = [mark(f"m{number}", sender_id=f"s{number % 5}") for number in range(150)]
    with (
        closing(adapter.open(retry_seconds=2 * PATIENCE)) as killed,
        ThreadPoolExecutor(3) as writers,
    ):
        writing = [
            writers.submit(record_all, killed, order, recorded)
            for order in (marks, marks[::-1], marks[75:] + marks[:75])
        ]
        kills = done = 0

        def goes_on() -> bool:
            return len(recorded) > done or all(each.done() for each in writing)

        while not all(each.done() for each in writing):
            kill_connections(store)
            kills += 1
            # Somebody gets through between two of them, at whatever pace the machine has.
            wait_until("a batch is recorded", goes_on)
            done = len(recorded)
            time.sleep(0.03)
        for each in writing:
            each.result()
    assert kills > 1
    assert counts(store)["receipts"] == 150
    check(store, recorded)


def test_what_was_answered_survives_a_power_cut(
    adapter: Adapter, store: SqlStore, restartable_mariadb: MariaDB
) -> None:
    """The server is killed under load and started: each receipt is there, as it was answered."""
    recorded: list[Recorded] = []
    going = threading.Event()

    def write(to: SqlStore, name: str) -> None:
        for number in range(400):
            recorded.append(to.record([mark(f"{name}{number}")], now=NOW, lease=60))
            if number == 20:
                going.set()

    with (
        closing(adapter.open(retry_seconds=2 * PATIENCE)) as lasting,
        ThreadPoolExecutor(2) as writers,
    ):
        writing = [writers.submit(write, lasting, name) for name in "ab"]
        assert going.wait(PATIENCE)
        restartable_mariadb.kill()
        restartable_mariadb.start()
        for each in writing:
            each.result()
        receipts = [each.outcomes[0] for each in recorded]
        again = lasting.record(
            [mark(each.msg_id) for each in receipts if isinstance(each, Receipt)],
            now=NOW + 1,
            lease=None,
        )
        assert again.outcomes == receipts
        assert again.events == []
        check(lasting, recorded)


def test_a_store_that_is_away_says_so_in_time(
    adapter: Adapter, store: SqlStore, restartable_mariadb: MariaDB
) -> None:
    """StoreUnavailable, from the first call after the retry time; nothing was recorded."""
    calls: list[Callable[[SqlStore], object]] = [
        lambda to: to.record([mark()], now=NOW, lease=60),
        lambda to: to.heads(["ann"]),
        lambda to: to.pages([Want("ann", 0, 10)]),
        lambda to: to.acknowledge([Ack("ann", "d", Position("e", 1))], now=NOW),
        lambda to: to.claim(owner="n", lease=60, limit=1),
        lambda to: to.trim(before=NOW, limit=1),
        lambda to: to.ping(),
    ]
    with closing(adapter.open(retry_seconds=0.3)) as away:
        away.ping()
        restartable_mariadb.stop()
        took = []
        for call in calls:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="not available"):
                call(away)
            took.append(time.monotonic() - began)
        assert took[0] > 0.05
        # Nobody waited for a server that does not come.
        assert max(took) < 30.0
        with pytest.raises(StoreUnavailable), closing(adapter.open(retry_seconds=0)) as fresh:
            fresh.ping()
        restartable_mariadb.start()
        # The same thread, with no more ado.
        assert away.heads(["ann"])[1] == {"ann": Head(0, 0)}
        assert set(counts(away).values()) == {0}
        assert len(away.record([mark()], now=NOW, lease=60).events) == 1


def test_a_restart_within_the_retry_time_is_not_noticed(
    adapter: Adapter, store: SqlStore, restartable_mariadb: MariaDB
) -> None:
    """Who calls while the server is down is answered when it is up; so is the schema's check."""
    restartable_mariadb.stop()
    with (
        closing(adapter.open(retry_seconds=2 * PATIENCE)) as patient,
        ThreadPoolExecutor(2) as callers,
    ):
        recording = callers.submit(patient.record, [mark()], now=NOW, lease=60)
        checking = callers.submit(require_current, adapter.url)
        restartable_mariadb.start()
        assert len(recording.result(2 * PATIENCE).events) == 1
        checking.result(2 * PATIENCE)


def test_a_lock_that_is_held_too_long_is_a_store_away(
    adapter: Adapter, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for one lock is bounded; nothing is recorded, and no lock is left behind."""
    monkeypatch.setattr(
        mysql, "SESSION", (*mysql.SESSION, "SET SESSION innodb_lock_wait_timeout = 1")
    )
    store.record([mark("first", sender_id="zoe")], now=NOW, lease=None)
    change(store, "START TRANSACTION")
    change(store, "SELECT head FROM streams WHERE user_id = 'zoe' FOR UPDATE")
    batch = [mark("m1"), mark("m2", sender_id="zoe")]

    with closing(adapter.open(retry_seconds=0)) as impatient:
        with pytest.raises(StoreUnavailable, match=r"[Ll]ock wait timeout"):
            impatient.record(batch, now=NOW, lease=60)
        # Its own locks are gone: ann's stream is free.
        assert impatient.record([mark("other")], now=NOW, lease=None).events[0].seq == 1
        assert counts(impatient)["receipts"] == 2

        with closing(adapter.open()) as patient, ThreadPoolExecutor(1) as thread:
            recording = thread.submit(patient.record, batch, now=NOW, lease=60)
            change(store, "COMMIT")
            assert [event.seq for event in recording.result(PATIENCE).events] == [2, 2]


def test_a_frozen_server_does_not_hold_a_thread_for_ever(
    adapter: Adapter, store: SqlStore, restartable_mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that neither answers nor closes is given up, and used again when it thaws."""
    server = restartable_mariadb._own()
    with monkeypatch.context() as hurry, closing(adapter.open(retry_seconds=0)) as hasty:
        hurry.setattr(mysql, "STATEMENT_SECONDS", 1)
        hurry.setattr(mysql, "CONNECT_SECONDS", 1)
        wait_until("a busy server has a second for it", lambda: pings(hasty))
        server.send(signal.SIGSTOP)
        try:
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    hasty.record([mark()], now=NOW, lease=60)
        finally:
            server.send(signal.SIGCONT)
    with closing(adapter.open()) as thawed:
        assert isinstance(thawed.record([mark()], now=NOW, lease=60).outcomes[0], Receipt)
        assert counts(thawed)["receipts"] == 1


def pings(store: SqlStore) -> bool:
    """Whether the database answers."""
    with contextlib.suppress(StoreUnavailable):
        store.ping()
        return True
    return False


def connection_id(store: SqlStore) -> int:
    """The server's number for the calling thread's connection."""
    [(number,)] = rows(store, "SELECT CONNECTION_ID()")
    return int(number)


def test_a_connection_to_a_server_that_cannot_serve_is_given_up(store: SqlStore) -> None:
    """After a failover the old server may live on, read-only: the next call connects anew."""
    first = connection_id(store)
    assert connection_id(store) == first
    with pytest.raises(StoreUnavailable):
        change(store, "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT = 'read-only'")
    assert connection_id(store) != first


def test_a_value_that_is_refused_costs_no_connection(store: SqlStore) -> None:
    """The server is well; only the value was not."""
    first = connection_id(store)
    with pytest.raises(StoreRefused):
        store.record([mark("x" * 65)], now=NOW, lease=None)
    assert connection_id(store) == first


def test_an_idle_connection_that_the_server_closed_is_replaced(
    adapter: Adapter, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second attempt, which is made at once, and without an error."""
    pauses: list[float] = []
    with closing(adapter.open()) as idle:
        first = connection_id(idle)
        kill_connections(store)
        with monkeypatch.context() as counting:
            counting.setattr(time, "sleep", pauses.append)
            assert connection_id(idle) != first
    [pause] = pauses
    assert pause <= connections.FIRST_PAUSE


def test_a_thread_that_ends_says_nothing_of_its_lost_connection(
    adapter: Adapter, store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    """An instance that stops while the server is away logs no error for what it had open."""
    barrier = threading.Barrier(2)

    def use() -> None:
        other.ping()
        barrier.wait(PATIENCE)
        barrier.wait(PATIENCE)

    with closing(adapter.open()) as other:
        thread = threading.Thread(target=use)
        thread.start()
        barrier.wait(PATIENCE)
        kill_connections(store)
        barrier.wait(PATIENCE)
        thread.join()
        gc.collect()
    assert caplog.messages == []


def test_a_closed_store_leaves_no_connection(adapter: Adapter, store: SqlStore) -> None:
    """Of none of its threads; and afterwards it is away."""
    closed = adapter.open()
    gate = threading.Barrier(3)

    def use() -> int:
        gate.wait(PATIENCE)
        return connection_id(closed)

    with ThreadPoolExecutor(3) as threads:
        numbers = [future.result() for future in [threads.submit(use) for _ in range(3)]]
        closed.close()
        wait_until("the server has seen them go", lambda: not alive(store, numbers))
        with pytest.raises(StoreUnavailable, match="closed"):
            threads.submit(closed.ping).result()


def alive(store: SqlStore, numbers: list[int]) -> bool:
    """Whether the server still has any of these connections."""
    wanted = ", ".join(map(str, numbers))
    return bool(rows(store, f"SELECT 1 FROM information_schema.processlist WHERE id IN ({wanted})"))


def test_weak_settings_of_the_server_are_named(
    store: SqlStore, restartable_mariadb: MariaDB
) -> None:
    """As it runs now, not as it was started."""
    assert store.durability_warnings() == []
    change(store, "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        [warning] = store.durability_warnings()
    finally:
        change(store, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    assert "innodb_flush_log_at_trx_commit is 2" in warning
