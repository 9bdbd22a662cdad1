"""Connections, one per thread, and the one rule for running work again.

``Connections.run`` is the only way to the database. It gives the calling thread's own connection
to a piece of work, and runs the whole piece again when it failed for a passing reason. Work is
therefore complete in itself: one statement, or one transaction with whatever it reads before.

A commit whose answer is lost may have happened all the same. Running the work again is right in
both cases, because all of it is idempotent: a mark that was recorded is found as its first
receipt, and its events wait in the outbox until the lease of the lost batch runs out and a
sweeper takes them.
Work that says whether something was there to be deleted remembers what it found before.
"""

from __future__ import annotations

import contextlib
import enum
import random
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from seenby.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Engine
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

T = TypeVar("T")

Row = tuple[Any, ...]

Values = Mapping[str, object]

FIRST_PAUSE = 0.005
"""Seconds before work is run again for the first time; doubled each time."""

LONGEST_PAUSE = 0.5


class Fault(enum.Enum):
    """What an error of the database means for the work that met it."""

    PASSING = "run it again"
    RACE = "another transaction made the same key: run it again where that can happen"
    REFUSED = "a value does not fit; the same again would fail again"
    AWAY = "the database cannot serve, and not for a moment only"


class Dialect(Protocol):
    """How one kind of database behaves; ``statements`` has what it is told."""

    @property
    def url(self) -> URL:
        """Where the database is, and which driver is used."""
        ...

    @property
    def missing(self) -> bool:
        """Whether it is known, without opening it, that there is no database."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""
        ...

    @property
    def arguments(self) -> Mapping[str, object]:
        """Arguments for the driver's connect()."""
        ...

    @property
    def patient_arguments(self) -> Mapping[str, object]:
        """The same for work that may take minutes: changes of the schema."""
        ...

    @property
    def begin(self) -> str:
        """The statement that starts a writing transaction."""
        ...

    @property
    def returning(self) -> bool:
        """Whether inserted rows come back by RETURNING; asked after ``prepare``."""
        ...

    def prepare(self, cursor: DBAPICursor) -> None:
        """Set up a new connection."""
        ...

    def alone(self, database: SqlConnection) -> AbstractContextManager[None]:
        """Keeps every other process from changing the schema meanwhile."""
        ...

    def together(self, cursor: DBAPICursor, said: Sequence[tuple[str, Values]]) -> list[list[Row]]:
        """Run statements one after the other; the rows of each that has rows.

        The first error ends it: it is raised, and the statements behind it are not run.
        """
        ...

    def fault(self, error: Exception) -> Fault:
        """What one of ``errors`` means."""
        ...


class Returned(NamedTuple):
    """An insertion whose rows are wanted back: by its RETURNING clause, or by reading them."""

    insert: str
    returning: str
    read: str


class Told(NamedTuple):
    """A statement that goes to the database together with others."""

    statement: str | Returned
    values: Values


def told(statement: str | Returned, /, **values: object) -> Told:
    """A statement and its values; a list of tuples stands for ``rows`` (``statements``)."""
    return Told(statement, values)


class Connection:
    """One thread's connection.

    It speaks to the driver's cursor itself: SQLAlchemy's ``exec_driver_sql`` adds 11 us per
    statement on SQLite and 17 on MariaDB, where the statement takes 2 and 21.
    """

    def __init__(self, engine: Engine, dialect: Dialect) -> None:
        """Connect."""
        self._raw = engine.raw_connection()
        self._cursor = self._raw.cursor()
        self._dialect = dialect

    def rows(self, statement: str, /, **values: object) -> list[Row]:
        """Run a statement and return its rows."""
        self._cursor.execute(statement, values)
        return list(self._cursor.fetchall())

    def change(self, statement: str, /, **values: object) -> int:
        """Run a statement without rows and return how many rows it met."""
        self._cursor.execute(statement, values)
        return self._cursor.rowcount

    def together(self, *said: Told) -> list[list[Row]]:
        """Run statements one after the other, in one trip to a server.

        The first error ends it: it is raised, and the statements behind it are not run.

        Returns:
            The rows of each statement that has rows; those of a ``Returned`` in any order.
        """
        spoken: list[tuple[str, Values]] = []
        for statement, values in said:
            if isinstance(statement, str):
                spoken.append((statement, values))
            elif self._dialect.returning:
                spoken.append((statement.insert + statement.returning, values))
            else:
                spoken += (statement.insert, values), (statement.read, values)
        return self._dialect.together(self._cursor, spoken)

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """Commit what is done inside; after an error ``Connections.run`` undoes it."""
        self._cursor.execute(self._dialect.begin)
        yield
        self._cursor.execute("COMMIT")

    def undo(self) -> None:
        """Roll back; raises one of the driver's errors when the connection is lost."""
        self._raw.rollback()

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        self._raw.invalidate()


class Connections:
    """The connections of all threads to one database.

    Args:
        dialect: which database, and how it behaves.
        retry_seconds: for how long work that fails for passing reasons is run again.
    """

    def __init__(self, dialect: Dialect, *, retry_seconds: float) -> None:
        """Nothing is opened before it is needed."""
        self._dialect = dialect
        self._retry_seconds = retry_seconds
        self._engine = connect_with(dialect, dialect.arguments)
        self._local = threading.local()
        # Weak, so that the connection of a thread that has ended is closed with it.
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False
        self._away = False

    def run(self, work: Callable[[Connection], T], *, racing: bool = False) -> T:
        """Do *work*, again and again while it fails for passing reasons.

        While the database is known to be away each call tries once: those who wait for a thread
        do not wait out the time of one call after the other.

        Args:
            work: one statement, or one transaction with what it reads before.
            racing: a duplicate key means here that another transaction was faster, no more.

        Raises:
            StoreUnavailable: the time for trying again is over, or trying again is no use.
            StoreRefused: the database does not accept one of the values.
        """
        seconds = 0.0 if self._away else self._retry_seconds
        try:
            answer = keep_trying(self._dialect, lambda: self._attempt(work), seconds, racing=racing)
        except StoreUnavailable:
            self._away = True
            raise
        self._away = False
        return answer

    def close(self) -> None:
        """Close every connection; call it when no thread works on one any more."""
        with self._lock:
            self._closed = True
            connections = list(self._all)
            self._all.clear()
        for connection in connections:
            connection.close()

    def _attempt(self, work: Callable[[Connection], T]) -> T:
        connection = self._mine()
        try:
            return work(connection)
        except BaseException as error:
            try:
                connection.undo()
            except self._dialect.errors:
                self._drop(connection)
            else:
                # The next may lead to a server that can: the old one, after a failover, only reads.
                if self._is_away(error):
                    self._drop(connection)
            raise

    def _is_away(self, error: BaseException) -> bool:
        return isinstance(error, self._dialect.errors) and self._dialect.fault(error) is Fault.AWAY

    def _mine(self) -> Connection:
        """The calling thread's connection, made when there is none."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = Connection(self._engine, self._dialect)
            self._local.connection = connection
            with self._lock:
                self._all.add(connection)
        return connection

    def _drop(self, connection: Connection) -> None:
        self._local.connection = None
        with self._lock:
            self._all.discard(connection)
        connection.close()


def keep_trying(
    dialect: Dialect, attempt: Callable[[], T], seconds: float, *, racing: bool = False
) -> T:
    """Return what *attempt* does, tried again for at most *seconds* after a passing failure.

    Raises:
        StoreUnavailable: the time is over, or trying again is no use.
        StoreRefused: the database does not accept one of the values.
    """
    expected: tuple[type[Exception], ...] = (DBAPIError, *dialect.errors)
    give_up = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while True:
        try:
            return attempt()
        except (OverflowError, UnicodeError) as error:
            # A number over 64 bits, an id that is not ASCII.
            raise StoreRefused(f"the database cannot hold a value: {error}") from error
        except expected as error:
            cause = drivers_own(error)
            fault = dialect.fault(cause)
            if fault is Fault.REFUSED or (fault is Fault.RACE and not racing):
                raise StoreRefused(f"the database refused a value: {cause}") from cause
            if fault is Fault.AWAY or time.monotonic() + pause > give_up:
                raise StoreUnavailable(f"the database is not available: {cause}") from cause
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- it spreads, it hides nothing
        pause = min(pause * 2, LONGEST_PAUSE)


def drivers_own(error: Exception) -> Exception:
    """The driver's error inside one of SQLAlchemy's, which talks to a new connection first."""
    inside = error.orig if isinstance(error, DBAPIError) else None
    return inside if isinstance(inside, Exception) else error


def connect_with(dialect: Dialect, arguments: Mapping[str, object]) -> Engine:
    """SQLAlchemy's way to the database: every connection prepared, the driver in autocommit."""
    engine = create_engine(
        dialect.url,
        connect_args=dict(arguments),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        # A connection that is given back is closed, which undoes what is open on it. A rollback
        # before that would be an error in the log where the server has gone in the meantime.
        pool_reset_on_return=None,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            dialect.prepare(cursor)
        finally:
            cursor.close()

    return engine
