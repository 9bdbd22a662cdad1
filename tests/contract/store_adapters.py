"""The stores under test: every adapter, and the few words the suites share."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seenby.model import Mark
from seenby.rules import DEFAULT
from seenby.store.mysql import Mysql
from seenby.store.schema import migrate
from seenby.store.sql import SqlStore
from seenby.store.tables import metadata
from seenby.store.url import database_at
from tests.servers.wait import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine.interfaces import DBAPICursor

    from seenby.model import ConversationType
    from seenby.rules import Rules
    from seenby.store.url import Database
    from tests.servers.mariadb import MariaDB

ADAPTERS = ("sqlite", "mysqlclient", "pymysql", "without_returning")
"""The last is MariaDB treated as MySQL 8, which has no INSERT ... RETURNING."""

DRIVERS = {
    "mysqlclient": "mysql+mysqldb://",
    "pymysql": "mysql+pymysql://",
    "without_returning": "mysql+mysqldb://",
}

TABLES = ("receipts", "streams", "events", "outbox", "devices")

NOW = 1_704_067_200_000
"""A time for marks: the beginning of 2024, in ms."""


class WithoutReturning(Mysql):
    """MariaDB, spoken to as MySQL 8 must be."""

    def prepare(self, cursor: DBAPICursor) -> None:
        """Set up a new connection, and forget what it can."""
        super().prepare(cursor)
        self.returning = False


@dataclass(frozen=True)
class Adapter:
    """One way to a migrated database.

    Attributes:
        name: one of ADAPTERS.
        url: the database, its driver named.
    """

    name: str
    url: str

    def open(self, *, retry_seconds: float = PATIENCE, rules: Rules = DEFAULT) -> SqlStore:
        """One more store on the same database, as another process would have it."""
        database: Database = database_at(self.url)
        if self.name == "without_returning":
            database = WithoutReturning(database.url, "mysqldb")
        return SqlStore(database, retry_seconds=retry_seconds, rules=rules)


def url_for(name: str, mariadb: str) -> str:
    """The URL of a database on MariaDB with the driver that the adapter is named after."""
    return mariadb.replace("mysql://", DRIVERS[name], 1)


def rows(store: SqlStore, statement: str, **values: object) -> list[tuple[Any, ...]]:
    """Ask the database itself, over the calling thread's connection."""
    return store.connections.run(lambda connection: connection.rows(statement, **values))


def change(store: SqlStore, statement: str, **values: object) -> int:
    """Tell the database itself, over the calling thread's connection."""
    return store.connections.run(lambda connection: connection.change(statement, **values))


@contextmanager
def filled(server: MariaDB, statements: Sequence[str]) -> Iterator[SqlStore]:
    """A store on a database of its own, with what the statements put there."""
    url = server.database()
    migrate(url)
    with closing(Adapter("mysqlclient", url_for("mysqlclient", url)).open()) as store:
        for statement in statements:
            rows(store, statement)
        yield store
    server.drop(url)


def empty(store: SqlStore) -> None:
    """Take every row away; the epoch stays."""
    for table in metadata.tables.keys() - {"meta"}:
        change(store, f"DELETE FROM {table}")


def counts(store: SqlStore) -> dict[str, int]:
    """How many rows each table has."""
    return {table: rows(store, f"SELECT COUNT(*) FROM {table}")[0][0] for table in TABLES}


def mark(
    msg_id: str = "m1",
    reader_id: str = "bob",
    sender_id: str = "ann",
    conversation_id: str = "c1",
    conversation_type: ConversationType = "private",
    device_id: str = "phone",
    trace: str = "",
) -> Mark:
    """A mark; what a test does not care about is filled in."""
    return Mark(msg_id, reader_id, sender_id, conversation_id, conversation_type, device_id, trace)


def numbered(count: int, sender_id: str = "ann", *, start: int = 1) -> list[Mark]:
    """Marks of *count* different messages of one sender."""
    return [
        mark(f"{sender_id}-{number}", sender_id=sender_id) for number in range(start, start + count)
    ]
