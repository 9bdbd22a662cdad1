"""The database: is it there, would it keep a commit, has it the right tables, what waits in it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from seenby.doctor.finding import Finding, error, ok, warning
from seenby.errors import ConfigError, SchemaError, StoreUnavailable
from seenby.store.schema import require_current
from seenby.store.sql import SqlStore
from seenby.store.sqlite import Sqlite
from seenby.store.url import database_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.settings import Settings
    from seenby.store.base import OutboxState
    from seenby.store.connections import Connection
    from seenby.store.url import Database

CHECK = "database"
FLUSHING = "commits"
SCHEMA = "schema"
CLOCK = "clock"
OUTBOX = "outbox"

CLOCK_OFF = 1.0
"""Seconds between this clock and the database's from which on times in receipts are doubtful."""

CLOCK_WRONG = 10.0
"""Seconds from which on leases and tokens go wrong."""

OUTBOX_OLD = 60.0
"""Seconds after which what waits to be published should be gone."""

SET_FOR_GOOD = "in the server's configuration, under [mysqld], and by SET GLOBAL until it restarts"


def look(settings: Settings) -> Iterator[Finding]:
    """All of it, as far as the database answers."""
    url = settings.database_url
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        database = database_at(url)
        if database.missing:
            yield _no_file(Path(make_url(url).database or "").absolute())
            return
        with contextlib.closing(SqlStore(database, retry_seconds=0)) as store:
            yield store.connections.run(lambda connection: _server(database, connection, shown))
            yield from flushing(list(store.durability_warnings()))
            if isinstance(database, Sqlite):
                yield from _file(Path(make_url(url).database or "").absolute())
            else:
                yield about_isolation(store.connections.run(_isolation))
                yield about_clock(store.connections.run(lambda found: _clock(database, found)))
            schema = _schema(url)
            yield schema
            if schema.level == "ok":
                yield about_outbox(store.outbox(), kafka=settings.kafka)
    except ConfigError as problem:
        yield error(CHECK, str(problem), "set SEENBY_DATABASE_URL")
    except SchemaError as problem:
        yield error(CHECK, str(problem), "use a newer server")
    except StoreUnavailable as problem:
        yield error(
            CHECK,
            f"{shown}: {problem}",
            "start it, or put right the host, name, user or password in SEENBY_DATABASE_URL",
        )


def _no_file(file: Path) -> Finding:
    if not os.access(file.parent, os.W_OK | os.X_OK):
        todo = "give this user the right to write there, or name another place: SEENBY_DATABASE_URL"
        return error(CHECK, f"the folder {file.parent} cannot be written", todo)
    return warning(CHECK, f"there is no file {file} yet", "seenby migrate, or seenby serve")


def _file(file: Path) -> Iterator[Finding]:
    for path in (file.parent, file):
        if not os.access(path, os.W_OK):
            yield error(CHECK, f"{path} cannot be written", f"give this user the right to: {path}")


def _server(database: Database, connection: Connection, shown: str) -> Finding:
    if isinstance(database, Sqlite):
        [(version,)] = connection.rows("SELECT sqlite_version()")
        return ok(CHECK, f"{shown}: SQLite {version}")
    [(version,)] = connection.rows("SELECT VERSION()")
    kind = "MariaDB" if "mariadb" in str(version).lower() else "MySQL"
    return ok(CHECK, f"{shown}: {kind} {version}")


def flushing(warnings: list[str]) -> Iterator[Finding]:
    """Whether a commit that was answered is still there after a power failure."""
    for sentence in warnings:
        found, _, todo = sentence.rpartition("; ")
        yield warning(FLUSHING, found or sentence, f"{todo}, {SET_FOR_GOOD}" if found else todo)
    if not warnings:
        yield ok(FLUSHING, "are on the disk before they are answered")


def _isolation(connection: Connection) -> str:
    # Under its old name in MariaDB before 11.1, under the new one in MySQL 8.
    rows = connection.rows(
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')"
    )
    return str(rows[0][1]) if rows else ""


def about_isolation(level: str) -> Finding:
    """Whether a session got the isolation it asks for."""
    if level == "READ-COMMITTED":
        return ok("isolation", "READ COMMITTED, as each session asks for")
    return error(
        "isolation",
        f"a session gets {level or 'an isolation that it does not tell'}, not READ COMMITTED",
        "let no proxy before the database change what sessions set",
    )


def _clock(database: Database, connection: Connection) -> float:
    """By how many seconds this machine's clock is ahead of the database's."""
    before = time.time()
    [(theirs,)] = connection.rows(f"SELECT {database.now}")
    return (before + time.time()) / 2 - float(theirs) / 1000


def about_clock(ahead: float) -> Finding:
    """What a difference between this machine's clock and the database's means."""
    if abs(ahead) < CLOCK_OFF:
        return ok(CLOCK, f"{abs(ahead) * 1000:.0f} ms from the database's")
    found = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the database's"
    todo = "keep both machines' clocks by NTP: timedatectl set-ntp true, or chrony"
    return (error if abs(ahead) >= CLOCK_WRONG else warning)(CLOCK, found, todo)


def _schema(url: str) -> Finding:
    try:
        require_current(url)
    except SchemaError as problem:
        found, _, todo = str(problem).rpartition("; ")
        return error(SCHEMA, found, todo.removeprefix("run: "))
    return ok(SCHEMA, "is this version's")


def about_outbox(state: OutboxState, *, kafka: bool) -> Finding:
    """What waits to be published."""
    if not state.rows:
        return ok(OUTBOX, "nothing waits to be published")
    batches = "1 batch waits" if state.rows == 1 else f"{state.rows:,} batches wait"
    found = f"{batches} to be published, the oldest for {state.oldest:.0f} s"
    if state.oldest < OUTBOX_OLD:
        return ok(OUTBOX, found)
    away = "see what Kafka says below, and " if kafka else ""
    return warning(OUTBOX, found, f"{away}start seenby api or seenby serve: they publish it")
