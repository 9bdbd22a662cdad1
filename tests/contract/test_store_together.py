"""Statements that go to the database together: in order, up to the first error, and no trace of it.

On a server they are one packet, so an error has results before it and statements behind it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.errors import StoreRefused
from seenby.model import Receipt
from seenby.store.connections import Returned, told
from tests.contract.store_adapters import ADAPTERS, NOW, change, counts, mark, rows
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.connections import Connection, Row, Told
    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

ON_MARIADB = [name for name in ADAPTERS if name != "sqlite"]


@pytest.fixture(autouse=True)
def notes(store: SqlStore) -> Iterator[None]:
    """What a test writes into ``meta`` is taken away again."""
    yield
    change(store, "DELETE FROM meta WHERE name <> 'epoch'")


def note(name: str) -> Told:
    """A statement that leaves a trace."""
    return told(f"INSERT INTO meta (name, value) VALUES ('{name}', '')")


def noted(store: SqlStore) -> list[str]:
    """The traces that are there."""
    return [name for (name,) in rows(store, "SELECT name FROM meta WHERE name <> 'epoch'")]


def together(store: SqlStore, *said: Told) -> list[list[Row]]:
    """Run them on the calling thread's connection."""
    return store.connections.run(lambda connection: connection.together(*said))


def test_each_statement_that_has_rows_answers_with_them(store: SqlStore) -> None:
    """In the order of the statements; an empty result is a result."""
    assert together(
        store,
        told("SELECT 1"),
        note("x1"),
        told("SELECT name FROM meta WHERE name = 'nobody'"),
        told("DELETE FROM meta WHERE name = 'x1'"),
        told("SELECT 2"),
    ) == [[(1,)], [], [(2,)]]


def test_an_insertion_gives_its_rows_back(store: SqlStore) -> None:
    """By its own clause where the database has one, else by what reads them."""
    insertion = Returned(
        "INSERT INTO meta (name, value) VALUES ('x1', 'a')",
        " RETURNING name, value",
        "SELECT name, value FROM meta WHERE name = 'x1'",
    )
    assert together(store, told("SELECT 1"), told(insertion)) == [[(1,)], [("x1", "a")]]


@pytest.mark.parametrize("place", range(4))
def test_the_first_error_ends_it(store: SqlStore, place: int) -> None:
    """What stands before it has been done, what stands behind it has not."""
    said = [note(f"x{number}") for number in range(3)]
    said.insert(place, told("INSERT INTO meta (name, value) VALUES ('epoch', 'again')"))

    with pytest.raises(StoreRefused):
        together(store, *said)

    assert sorted(noted(store)) == [f"x{number}" for number in range(place)]


@pytest.mark.parametrize("place", range(1, 4))
def test_an_error_undoes_the_transaction_that_was_begun_with_it(
    store: SqlStore, place: int
) -> None:
    """Nothing stays, no lock either, and the thread's connection serves on."""
    statements = store._statements
    said = [told(statements.begin), told("SELECT 1"), note("x1"), told(statements.commit)]
    said.insert(place, told("INSERT INTO meta (name, value) VALUES ('epoch', 'again')"))

    with pytest.raises(StoreRefused):
        together(store, *said)

    assert noted(store) == []
    assert together(store, told(statements.begin), note("x1"), told(statements.commit)) == []
    assert noted(store) == ["x1"]


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
def test_results_that_nobody_fetched_are_nobodys_answer(store: SqlStore) -> None:
    """Work that breaks off between two results leaves a connection that serves the next."""

    def work(connection: Connection) -> None:
        connection._cursor.execute("SELECT 1; SELECT 2; SELECT 3")
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            store.connections.run(work)
        assert rows(store, "SELECT 4") == [(4,)]


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
def test_a_connection_killed_between_two_statements_is_nobodys_error(
    adapter: Adapter, store: SqlStore
) -> None:
    """The heads are raised, the receipts wait for a lock; all of it is run again, once."""
    with closing(adapter.open()) as other, ThreadPoolExecutor(1) as recording:
        change(other, "START TRANSACTION")
        change(
            other,
            "INSERT INTO receipts (msg_id, reader_id, sender_id, conversation_id,"
            " conversation_type, device_id, read_at)"
            f" VALUES ('m1', 'bob', 'eve', 'c1', 'private', '', {NOW})",
        )
        recorded = recording.submit(store.record, [mark("m0"), mark("m1")], now=NOW, lease=0.0)
        wait_until("it waits for the key", lambda: len(inserting(other)) == 1)
        [number] = inserting(other)
        change(other, f"KILL CONNECTION {number}")
        change(other, "ROLLBACK")
        done = recorded.result(PATIENCE)

    assert [type(outcome) for outcome in done.outcomes] == [Receipt, Receipt]
    assert [event.seq for event in done.events] == [1, 2]
    assert counts(store) == {"receipts": 2, "streams": 1, "events": 2, "outbox": 1, "devices": 0}


def inserting(store: SqlStore) -> list[int]:
    """The connections on this database that insert receipts at the moment."""
    return [
        number
        for (number,) in rows(
            store,
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
            " AND id <> CONNECTION_ID() AND time_ms > 20"
            " AND LEFT(info, 20) = 'INSERT INTO receipts'",
        )
    ]
