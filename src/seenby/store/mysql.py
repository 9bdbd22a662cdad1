"""MySQL and MariaDB: where they differ.

READ COMMITTED: every statement sees what is committed, and gaps are not locked. A session has
its own SQL mode, so that a value that does not fit is an error whatever the server's default is.
MariaDB 10.6 or MySQL 8.0 is needed, for JSON_TABLE.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

import contextlib
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seenby import pem
from seenby.errors import ConfigError, SchemaError, StoreUnavailable
from seenby.store.connections import Fault
from seenby.store.statements import ID

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sqlalchemy import URL
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy.engine.interfaces import DBAPICursor

    from seenby.store.connections import Connection, Row, Values

DRIVERS = {"mysqldb": "MySQLdb", "pymysql": "pymysql"}
"""SQLAlchemy's name of a driver, and its module; the faster one first."""

ENCODER = msgspec.json.Encoder()
LINE_BREAK = "]\n["

FOUND_ROWS = 2
"""SQLAlchemy's: an UPDATE counts the rows that it met, changed or not."""

MULTI_STATEMENTS = 65_536
"""Several statements in one packet (mysqlclient allows it anyway, PyMySQL does not)."""

CONNECT_SECONDS = 3
LOCK_SECONDS = 5
STATEMENT_SECONDS = 10
"""A server that is silent for longer is frozen: every statement is a small piece of work."""

ALONE_SECONDS = 60

OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0)}
"""The first with JSON_TABLE."""

SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}",
)

PASSING = {
    1020,  # record has changed since last read (MariaDB 11.8)
    1040,  # too many connections
    1053,  # server shutdown in progress
    1158,  # error reading packets, and so on: the connection is lost
    1159,
    1160,
    1161,
    1203,  # too many connections of this user
    1205,  # lock wait timeout
    1213,  # deadlock
    1317,  # query interrupted
    1927,  # connection was killed
    2002,  # cannot connect through the socket
    2003,  # cannot connect to the host
    2006,  # server has gone away
    2013,  # lost connection during query
    2014,  # commands out of sync: this connection is spoilt, another will do
    2055,  # lost connection at ...
    4031,  # disconnected because of inactivity (MySQL 8)
}
RACE = 1062
REFUSED = {
    1048,  # column cannot be null
    1264,  # out of range
    1265,  # data truncated
    1366,  # incorrect string or integer value
    1406,  # data too long
    3140,  # invalid JSON text (MySQL 8)
    4025,  # CHECK constraint failed (MariaDB)
    3819,  # CHECK constraint failed (MySQL 8)
    4038,  # syntax error in JSON text (MariaDB)
    4078,  # cannot cast (MariaDB)
}

WEAK_SETTINGS = {
    "innodb_flush_log_at_trx_commit": (
        {"0", "2"},
        "innodb_flush_log_at_trx_commit is {}: a power failure may lose commits; set it to 1",
    ),
    "innodb_doublewrite": (
        {"OFF", "0", "DETECT_ONLY"},
        "innodb_doublewrite is {}: a power failure may tear a page; set it to ON",
    ),
}


class Mysql:
    """A database on a MySQL or MariaDB server.

    Args:
        url: ``mysql://user:password@host:port/database``. With ``?ssl_ca=FILE`` the server is
            spoken to by TLS only, and its certificate and host name are checked; ``ssl_cert`` and
            ``ssl_key`` show it a certificate of ours.
        driver: ``mysqldb`` (mysqlclient) or ``pymysql``; "" for the faster one that is installed.

    Raises:
        ConfigError: the driver is not installed, or the files for TLS do not serve.
    """

    missing = False
    begin = "START TRANSACTION"
    snapshot = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )
    join = "STRAIGHT_JOIN"
    # Independent of the session's time zone, unlike UNIX_TIMESTAMP() in the hour that comes twice.
    now = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"
    for_update = " FOR UPDATE"
    new = "j"
    last_number = "LAST_INSERT_ID()"

    def __init__(self, url: URL, driver: str) -> None:
        """Find the driver."""
        check_tls(url)
        for name in [driver] if driver else DRIVERS:
            try:
                module = importlib.import_module(DRIVERS[name])
            except ImportError:
                continue
            # PyMySQL lets some errors of a broken socket through as they are.
            self.errors: tuple[type[Exception], ...] = (module.Error, OSError)
            self.url = url.set(drivername=f"mysql+{name}")
            # mysqlclient would trust any certificate; PyMySQL with an authority does not.
            trusting = name == "mysqldb" and "ssl_ca" in url.query
            self._tls = {"ssl_mode": "VERIFY_IDENTITY"} if trusting else {}
            break
        else:
            raise ConfigError(
                f"SEENBY_DATABASE_URL: the driver {driver or 'for MySQL'} is not installed;"
                " install PyMySQL or mysqlclient"
            )
        self.returning = False

    @property
    def arguments(self) -> Mapping[str, object]:
        """How long to wait, and for what."""
        return {
            "charset": "utf8mb4",
            "client_flag": FOUND_ROWS | MULTI_STATEMENTS,
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": STATEMENT_SECONDS,
            "write_timeout": STATEMENT_SECONDS,
            **self._tls,
        }

    @property
    def patient_arguments(self) -> Mapping[str, object]:
        """A change of a large table takes its time."""
        return {"charset": "utf8mb4", "connect_timeout": CONNECT_SECONDS, **self._tls}

    def prepare(self, cursor: DBAPICursor) -> None:
        """Set up a new connection.

        Raises:
            SchemaError: the server is too old.
        """
        cursor.execute("SELECT VERSION()")
        [(version,)] = cursor.fetchall()
        self.returning = "MariaDB" in version
        kind = "MariaDB" if self.returning else "MySQL"
        major, minor = map(int, version.split(".")[:2])
        if (major, minor) < OLDEST[kind]:
            needed = ".".join(map(str, OLDEST[kind]))
            raise SchemaError(f"{kind} {needed} or newer is needed; this server is {version}")
        for statement in SESSION:
            cursor.execute(statement)

    def together(self, cursor: DBAPICursor, said: Sequence[tuple[str, Values]]) -> list[list[Row]]:
        """Run statements one after the other, sent in one packet.

        A trip costs 35 to 45 us in the server and 30 to 65 here, to wake each other up; most
        statements of a single mark cost less. An error ends the packet: there are no results
        behind it.
        """
        cursor.execute(
            ";".join(
                [
                    statement % {name: literal(value) for name, value in values.items()}
                    for statement, values in said
                ]
            )
        )
        results = []
        more: bool | None = True
        while more:
            if cursor.description is not None:
                results.append(list(cursor.fetchall()))
            more = cursor.nextset()
        return results

    @contextlib.contextmanager
    def alone(self, database: SqlConnection) -> Generator[None]:
        """Holds a lock by name; the server frees it when this process dies."""
        name = "CONCAT('seenby_', MD5(DATABASE()))"
        taken = database.exec_driver_sql(f"SELECT GET_LOCK({name}, {ALONE_SECONDS})").scalar()
        if taken != 1:
            raise StoreUnavailable(
                "another process has been changing the schema for a long time; try again"
            )
        try:
            yield
        finally:
            database.exec_driver_sql(f"SELECT RELEASE_LOCK({name})")

    def fault(self, error: Exception) -> Fault:
        """What an error means, by the server's or the client library's number."""
        if isinstance(error, OSError):
            return Fault.PASSING
        code = error.args[0] if error.args else 0
        if code == RACE:
            return Fault.RACE
        # Drivers raise InterfaceError(0, '') for a connection that they have closed themselves.
        if code in PASSING or (code == 0 and type(error).__name__ == "InterfaceError"):
            return Fault.PASSING
        if code in REFUSED or type(error).__name__ == "DataError":
            return Fault.REFUSED
        return Fault.AWAY

    def durability_warnings(self, connection: Connection) -> list[str]:
        """Weak flush settings of the server."""
        variables: dict[str, str] = dict(
            connection.rows(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit',"
                " 'innodb_doublewrite', 'log_bin', 'sync_binlog')"
            )
        )
        warnings = [
            sentence.format(variables[name])
            for name, (weak, sentence) in WEAK_SETTINGS.items()
            if variables.get(name) in weak
        ]
        if variables.get("log_bin") == "ON" and variables.get("sync_binlog") != "1":
            warnings.append(
                f"sync_binlog is {variables.get('sync_binlog')} while the binary log is on:"
                " after a power failure a replica may lack commits; set it to 1"
            )
        return warnings

    @property
    def page(self) -> str:
        """Joins each event of a page by its whole key.

        A join on a range of seqs would read the user's whole stream for every page (MariaDB uses
        only the equality of such a join), so the seqs are made first: JSON_TABLE numbers the
        elements of a list that is as long as the page.
        """
        start = "GREATEST(j.after, s.floor)"
        size = f"GREATEST(LEAST(j.most, s.head - {start}), 0)"
        return (
            f"LEFT JOIN JSON_TABLE(CONCAT('[', SUBSTR(REPEAT(',0', {size}), 2), ']'), '$[*]'"
            " COLUMNS (step FOR ORDINALITY)) AS k ON TRUE"
            f" LEFT JOIN events AS e ON e.user_id = s.user_id AND e.seq = {start} + k.step"
        )

    @property
    def unfolded_outbox(self) -> str:
        """The outbox by event."""
        columns = _columns({"user_id": ID, "seq": "", "trace": ID})
        return (
            "(SELECT o.id, o.owner, k.place, k.user_id, k.seq, k.trace FROM outbox AS o"
            " STRAIGHT_JOIN JSON_TABLE(o.events, '$[*]' COLUMNS (place FOR ORDINALITY,"
            f" {columns})) AS k) AS j"
        )

    def rows(self, name: str, columns: dict[str, str]) -> str:
        """The document *name* as a table ``j``."""
        return f"JSON_TABLE(:{name}, '$[*]' COLUMNS ({_columns(columns)})) AS j"

    def insert(self, table: str, columns: str) -> str:
        """Insert the list ``rows``."""
        return f"INSERT INTO {table} ({columns}) VALUES :rows"

    def add(self, table: str, columns: str, key: str, number: str) -> str:  # noqa: ARG002 -- as below
        """Insert the list ``rows``, or add to the rows that are there already."""
        return (
            f"{self.insert(table, columns)} ON DUPLICATE KEY UPDATE"
            f" {number} = {table}.{number} + VALUES({number})"
        )

    def among(self, columns: str, name: str) -> str:
        """Whether *columns* are one of the list *name*."""
        return f"({columns}) IN (:{name})"

    def upsert(self, keys: str) -> str:  # noqa: ARG002 -- every unique key counts here
        """Begins the changes to rows that are there already."""
        return "ON DUPLICATE KEY UPDATE"

    def update(self, table: str, rows: str, match: str, changes: dict[str, str]) -> str:
        """Change the rows of *table* that *match* joins to *rows*."""
        assignments = ", ".join(f"{table}.{column} = {value}" for column, value in changes.items())
        return f"UPDATE {rows} STRAIGHT_JOIN {table} ON {match} SET {assignments}"

    def delete(self, table: str, keys: str, rows: str, condition: str) -> str:
        """Delete the rows of *table* whose *keys* are in *rows*."""
        match = " AND ".join(f"{table}.{key} = j.{key}" for key in keys.split(", "))
        return f"DELETE {table} FROM {rows} STRAIGHT_JOIN {table} ON {match} WHERE {condition}"

    def text(self, statement: str) -> str:
        """``:name`` as ``%(name)s``."""
        return re.sub(r":(\w+)", r"%(\1)s", statement)


def check_tls(url: URL) -> None:
    """Whether what *url* asks of TLS can be done.

    Raises:
        ConfigError: a word that is not ours (it may ask for a protection that there would not be),
            one that is missing, or a file that does not serve.
    """
    said = {name: Path(str(value)) for name, value in url.query.items() if name[:3] == "ssl"}
    unknown = sorted(said.keys() - {"ssl_ca", "ssl_cert", "ssl_key"})
    if unknown:
        raise ConfigError(
            f"SEENBY_DATABASE_URL has {unknown[0]}: for TLS it takes ssl_ca, ssl_cert and ssl_key"
        )
    if said and "ssl_ca" not in said:
        raise ConfigError("SEENBY_DATABASE_URL needs ssl_ca with ssl_cert and ssl_key")
    if ("ssl_cert" in said) != ("ssl_key" in said):
        raise ConfigError("SEENBY_DATABASE_URL needs both ssl_cert and ssl_key, or neither")
    for name in ("ssl_ca", "ssl_cert"):
        if name in said and (why := pem.no_certificates(said[name])):
            raise ConfigError(
                f"SEENBY_DATABASE_URL: {name} must be a PEM file with certificates ({why})"
            )
    if "ssl_key" in said and (why := pem.no_key(said["ssl_key"], said["ssl_cert"])):
        raise ConfigError(
            f"SEENBY_DATABASE_URL: ssl_key must be a PEM file with the key of ssl_cert ({why})"
        )


def literal(value: object) -> str:
    """A value as the server reads it in a statement; a list of tuples as ``(...),(...)``.

    A string in JSON reads the same in SQL, for ids are printable ASCII, of which JSON escapes the
    quote and the backslash only (the session's ``sql_mode`` leaves both escapes valid). So a whole
    list is written in C, in 0.14 us per mark; the drivers escape value by value, in 1.3 to 2.7.

    Raises:
        UnicodeError: a string in a list has characters that no id has.
    """
    if isinstance(value, list):
        lines = ENCODER.encode_lines(value).decode("ascii")
        if "\\" in lines and "\\" in lines.replace("\\\\", "").replace('\\"', ""):
            raise UnicodeError("an id has a control character")
        # No string has a raw line break in JSON.
        return f"({lines[1:-2].replace(LINE_BREAK, '),(')})"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)


def _columns(columns: dict[str, str]) -> str:
    """Columns of a JSON_TABLE, by place.

    Ids are compared as the tables' columns are, or no index would serve. They are wider than any
    column: JSON_TABLE cuts what is too long without a word, a column refuses it.
    """
    return ", ".join(
        f"{name} {'VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin' if kind == ID else 'BIGINT'}"
        f" PATH '$[{place}]'"
        for place, (name, kind) in enumerate(columns.items())
    )
