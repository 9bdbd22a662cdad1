"""Which database SEENBY_DATABASE_URL means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from seenby.errors import ConfigError
from seenby.store.connections import Dialect
from seenby.store.mysql import DRIVERS, Mysql
from seenby.store.sqlite import Sqlite
from seenby.store.statements import Words

if TYPE_CHECKING:
    from seenby.store.connections import Connection

ACCEPTED = (
    "SEENBY_DATABASE_URL must be sqlite:///FILE, mysql://USER:PASSWORD@HOST:PORT/DATABASE"
    " or mariadb://USER:PASSWORD@HOST:PORT/DATABASE"
    " (with the driver named, if need be: mysql+pymysql://... or mysql+mysqldb://...)"
)


class Database(Dialect, Words, Protocol):
    """A kind of database: how it behaves, and how it is spoken to."""

    def durability_warnings(self, connection: Connection) -> list[str]:
        """Sentences about settings under which a commit may be lost on power failure."""
        ...


def database_at(url: str) -> Database:
    """The kind of database at *url*. Nothing is opened.

    Raises:
        ConfigError: the address has another form, or its driver is not installed. The sentence
            does not repeat the address, which may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(ACCEPTED) from None
    kind, _, driver = parsed.drivername.partition("+")
    if kind == "sqlite" and driver in {"", "pysqlite"}:
        return Sqlite(parsed)
    if (
        kind in {"mysql", "mariadb"}
        and driver in {"", *DRIVERS}
        and parsed.host
        and parsed.database
    ):
        return Mysql(parsed, driver)
    raise ConfigError(ACCEPTED)
