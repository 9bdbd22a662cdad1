"""SQLite: where it differs.

WAL, so that readers never wait for the writer; synchronous=FULL, so that a commit survives a
power failure (https://sqlite.org/pragma.html#pragma_synchronous: NORMAL may lose it in WAL mode);
BEGIN IMMEDIATE, so that a writer waits at its start and never later, where SQLite could not wait
without giving up what it has read (https://sqlite.org/rescode.html#busy_snapshot).
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, cast

from seenby.errors import ConfigError
from seenby.store.connections import Fault
from seenby.store.statements import ID, document

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sqlalchemy import URL
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy.engine.interfaces import DBAPICursor

    from seenby.store.connections import Connection, Row, Values

OLDEST = (3, 35, 0)
"""March 2021. What is used here came with 3.33: UPDATE ... FROM."""

BUSY_SECONDS = 5.0
"""For how long SQLite itself waits for another writer before it says that it is busy."""

ALONE_SECONDS = 60.0
"""The same for a change of the schema."""

CACHE_KIB = 32_768
"""Pages that a connection keeps, at most; SQLite's default of 2 MB holds one batch's."""

CHECKPOINT_PAGES = 4000
"""How long the write-ahead log grows (16 MB) before its pages are carried into the file. A batch of
300 writes 600 pages: at SQLite's default of 1000 nearly every commit carried them. With a
larger cache a mark costs 35 to 40 us instead of 49."""

# PROTOCOL: another process was faster at the write-ahead log's locks, again and again.
PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
REFUSED = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG}
RACE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


class EachRow(str):
    """A statement that is prepared once and run for each tuple of a list.

    With a document an insertion takes 8 us per mark, so 4.
    """

    __slots__ = ()


class Sqlite:
    """A database in a file.

    Args:
        url: ``sqlite:///file``; the file need not exist, its folder must.

    Raises:
        ConfigError: no file is named, its folder does not exist, or SQLite is too old.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error, sqlite3.Warning)
    # RETURNING works for one tuple at a time only (``EachRow``).
    returning = False

    begin = "BEGIN IMMEDIATE"
    snapshot = ("BEGIN",)
    join = "CROSS JOIN"
    # julianday() counts days, to a millisecond; unixepoch('subsec') came with 3.42 only.
    now = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
    for_update = ""
    new = "excluded"
    last_number = "last_insert_rowid()"
    page = (
        "LEFT JOIN events AS e ON e.user_id = s.user_id AND e.seq > MAX(j.after, s.floor)"
        " AND e.seq <= MAX(j.after, s.floor) + j.most"
    )
    unfolded_outbox = (
        "(SELECT o.id AS id, o.owner AS owner, k.key AS place,"
        " json_extract(k.value, '$[0]') AS user_id, json_extract(k.value, '$[1]') AS seq,"
        " json_extract(k.value, '$[2]') AS trace"
        " FROM outbox AS o CROSS JOIN json_each(o.events) AS k) AS j"
    )

    def __init__(self, url: URL) -> None:
        """Check what can be checked without opening the file."""
        if not url.database or url.database == ":memory:" or url.host:
            raise ConfigError(
                "SEENBY_DATABASE_URL must name a file:"
                " sqlite:///seenby.db, or sqlite:////var/lib/seenby/seenby.db"
            )
        self._file = Path(url.database).absolute()
        if not self._file.parent.is_dir():
            raise ConfigError(
                f"SEENBY_DATABASE_URL: the folder {self._file.parent} does not exist; make it first"
            )
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigError(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed"
            )
        self.url = url.set(drivername="sqlite+pysqlite")

    @property
    def missing(self) -> bool:
        """Whether there is no file yet."""
        return not self._file.exists()

    @property
    def arguments(self) -> Mapping[str, object]:
        """A connection is closed by another thread than its own when the store is."""
        return {"timeout": BUSY_SECONDS, "check_same_thread": False}

    @property
    def patient_arguments(self) -> Mapping[str, object]:
        """Wait for another process that is changing the schema."""
        return {**self.arguments, "timeout": ALONE_SECONDS}

    def prepare(self, cursor: DBAPICursor) -> None:
        """Set up a new connection."""
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        # Without it a flush on macOS stops at the drive's cache; elsewhere it means nothing.
        cursor.execute("PRAGMA fullfsync=ON")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    def together(self, cursor: DBAPICursor, said: Sequence[tuple[str, Values]]) -> list[list[Row]]:
        """Run statements one after the other; a statement is a function call here."""
        results: list[list[Row]] = []
        for statement, values in said:
            if isinstance(statement, EachRow):
                cursor.executemany(statement, cast("list[Row]", values["rows"]))
                continue
            cursor.execute(
                statement,
                {
                    name: document(value) if isinstance(value, list) else value
                    for name, value in values.items()
                },
            )
            if cursor.description is not None:
                results.append(list(cursor.fetchall()))
        return results

    @contextlib.contextmanager
    def alone(self, database: SqlConnection) -> Generator[None]:
        """One transaction around the whole change: it is made whole, or not at all."""
        database.exec_driver_sql(self.begin)
        try:
            yield
        except BaseException:
            database.exec_driver_sql("ROLLBACK")
            raise
        database.exec_driver_sql("COMMIT")

    def fault(self, error: Exception) -> Fault:
        """What an error means, by SQLite's result code (https://sqlite.org/rescode.html)."""
        if isinstance(error, sqlite3.DataError):
            return Fault.REFUSED
        code: int = getattr(error, "sqlite_errorcode", 0)
        if code in RACE:
            return Fault.RACE
        # The low byte is the kind of error; the others tell kinds apart further.
        if code & 0xFF in PASSING:
            return Fault.PASSING
        if code & 0xFF in REFUSED:
            return Fault.REFUSED
        return Fault.AWAY

    def durability_warnings(self, connection: Connection) -> list[str]:  # noqa: ARG002 -- see Database
        """None: ``prepare`` sets all that matters."""
        return []

    def rows(self, name: str, columns: dict[str, str]) -> str:
        """The document *name* as a table ``j``.

        With the columns' own types: otherwise an index serves for the first part of a key only.
        """
        unfolded = ", ".join(
            f"{_typed(place, kind)} AS {column}"
            for place, (column, kind) in enumerate(columns.items())
        )
        return f"(SELECT {unfolded} FROM json_each(:{name})) AS j"

    def insert(self, table: str, columns: str) -> str:
        """Insert the list ``rows``."""
        places = ", ".join("?" for _ in columns.split(", "))
        return EachRow(f"INSERT INTO {table} ({columns}) VALUES ({places})")

    def add(self, table: str, columns: str, key: str, number: str) -> str:
        """Insert the list ``rows``, or add to the rows that are there already."""
        return EachRow(
            f"{self.insert(table, columns)} ON CONFLICT ({key})"
            f" DO UPDATE SET {number} = {table}.{number} + excluded.{number}"
        )

    def among(self, columns: str, name: str) -> str:
        """Whether *columns* are one of the list *name*."""
        unfolded = ", ".join(
            f"json_extract(value, '$[{place}]')" for place in range(len(columns.split(", ")))
        )
        return f"({columns}) IN (SELECT {unfolded} FROM json_each(:{name}))"

    def upsert(self, keys: str) -> str:
        """Begins the changes to rows that are there already.

        WHERE keeps ON from being read as part of a join
        (https://sqlite.org/lang_upsert.html#parsing_ambiguity).
        """
        return f"WHERE 1 = 1 ON CONFLICT ({keys}) DO UPDATE SET"

    def update(self, table: str, rows: str, match: str, changes: dict[str, str]) -> str:
        """Change the rows of *table* that *match* joins to *rows*."""
        assignments = ", ".join(f"{column} = {value}" for column, value in changes.items())
        return f"UPDATE {table} SET {assignments} FROM {rows} WHERE {match}"

    def delete(self, table: str, keys: str, rows: str, condition: str) -> str:
        """Delete the rows of *table* whose *keys* are in *rows*."""
        return f"DELETE FROM {table} WHERE ({keys}) IN (SELECT {keys} FROM {rows}) AND {condition}"

    def text(self, statement: str) -> str:
        """Nothing to change: ``:name`` is SQLite's own way."""
        return statement


def _typed(place: int, kind: str) -> str:
    return f"CAST(json_extract(value, '$[{place}]') AS {'TEXT' if kind == ID else 'INTEGER'})"
