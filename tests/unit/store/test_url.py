"""Which addresses name a database, and what is said about the others."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from seenby.errors import ConfigError
from seenby.store import sqlite
from seenby.store.connections import Fault
from seenby.store.mysql import Mysql
from seenby.store.sql import open_store
from seenby.store.sqlite import Sqlite
from seenby.store.url import database_at


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("mysql://u:p@h/d", "mysql+mysqldb"),
        ("mysql://u:p@h:3307/d", "mysql+mysqldb"),
        ("mariadb://u:p@h/d", "mysql+mysqldb"),
        ("mysql+pymysql://u:p@h/d", "mysql+pymysql"),
        ("mariadb+pymysql://u:p@h/d", "mysql+pymysql"),
        ("mysql+mysqldb://u:p@h/d?charset=utf8mb4", "mysql+mysqldb"),
    ],
)
def test_mysql_and_mariadb_are_one_kind(url: str, driver: str) -> None:
    """By either name, with the driver named or chosen; the rest of the address is kept."""
    database = database_at(url)
    assert isinstance(database, Mysql)
    assert database.url.drivername == driver
    assert database.url.render_as_string(hide_password=False).split("://")[1] == url.split("://")[1]


def test_a_password_may_have_any_character() -> None:
    """Written as percent signs and hex digits, as in every URL."""
    assert database_at("mysql://u:p%40%2F%25%3A@h/d").url.password == "p@/%:"


def test_a_file_need_not_exist_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder must; a path without a leading slash begins at the working directory."""
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///seenby.db", f"sqlite:///{tmp_path}/seenby.db", "sqlite+pysqlite:///x"):
        database = database_at(url)
        assert isinstance(database, Sqlite)
        assert database.missing
    Path("seenby.db").touch()
    assert not database_at("sqlite:///seenby.db").missing


@pytest.mark.parametrize(
    "url",
    [
        "",
        "seenby.db",
        "://",
        "postgresql://u:secret@h/d",
        "mysql://",
        "mysql:///d",
        "mysql://u:secret@h",
        "mysql://u:secret@h/",
        "mysql+asyncmy://u:secret@h/d",
        "mysql://u:secret@h:port/d",
        "sqlite+aiosqlite:///x.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/x.db",
        "sqlite:////no/such/folder/x.db",
    ],
)
def test_another_address_is_refused_in_words(url: str) -> None:
    """The sentence names the setting and a form that is accepted; it repeats no password."""
    with pytest.raises(ConfigError, match="SEENBY_DATABASE_URL") as told:
        open_store(url)
    assert "secret" not in str(told.value)


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no RETURNING."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigError, match=r"3\.35 or newer is needed"):
        database_at(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (sqlite3.SQLITE_BUSY, Fault.PASSING),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Fault.PASSING),
        (sqlite3.SQLITE_BUSY_RECOVERY, Fault.PASSING),
        (sqlite3.SQLITE_LOCKED, Fault.PASSING),
        (sqlite3.SQLITE_PROTOCOL, Fault.PASSING),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Fault.RACE),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, Fault.RACE),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, Fault.REFUSED),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, Fault.REFUSED),
        (sqlite3.SQLITE_MISMATCH, Fault.REFUSED),
        (sqlite3.SQLITE_FULL, Fault.AWAY),
        (sqlite3.SQLITE_IOERR_FSYNC, Fault.AWAY),
        (sqlite3.SQLITE_READONLY, Fault.AWAY),
        (sqlite3.SQLITE_CORRUPT, Fault.AWAY),
        (sqlite3.SQLITE_CANTOPEN, Fault.AWAY),
        (sqlite3.SQLITE_NOTADB, Fault.AWAY),
    ],
)
def test_sqlites_errors_mean_what_their_code_says(tmp_path: Path, code: int, fault: Fault) -> None:
    """The low byte is the kind; two of its kinds of constraint are lost races."""
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    database = database_at(f"sqlite:///{tmp_path}/x.db")
    assert isinstance(error, database.errors)
    assert database.fault(error) is fault


def test_sqlites_errors_without_a_code_are_understood(tmp_path: Path) -> None:
    """A value of a wrong kind is refused; a closed connection cannot serve."""
    database = database_at(f"sqlite:///{tmp_path}/x.db")
    assert database.fault(sqlite3.DataError("too big")) is Fault.REFUSED
    assert database.fault(sqlite3.ProgrammingError("closed")) is Fault.AWAY
    assert sqlite3.sqlite_version_info >= sqlite.OLDEST
