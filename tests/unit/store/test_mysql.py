"""MySQL and MariaDB without a server: versions, drivers, what errors and settings mean."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import make_url

from seenby.errors import ConfigError, SchemaError
from seenby.store.connections import Fault
from seenby.store.mysql import Mysql, literal

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPICursor

    from seenby.store.connections import Connection

URL = make_url("mysql://ann:secret@localhost/seenby")

DRIVERS = ["mysqldb", "pymysql"]


def driver_error(driver: str, kind: str, *arguments: object) -> Exception:
    """One of a driver's errors."""
    module = importlib.import_module({"mysqldb": "MySQLdb", "pymysql": "pymysql.err"}[driver])
    error: Exception = getattr(module, kind)(*arguments)
    return error


class Cursor:
    """A cursor on a server of some version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.statements: list[str] = []

    def execute(self, statement: str) -> None:
        """Keep the statement."""
        self.statements.append(statement)

    def fetchall(self) -> list[tuple[str]]:
        """The version is all that is asked for."""
        return [(self.version,)]


class Variables:
    """A connection to a server with some settings."""

    def __init__(self, **settings: str) -> None:
        self.settings = {
            "innodb_flush_log_at_trx_commit": "1",
            "innodb_doublewrite": "ON",
            "log_bin": "OFF",
            "sync_binlog": "0",
        } | settings

    def rows(self, statement: str) -> list[tuple[str, str]]:
        """The settings; a server does not know all of them."""
        return [(name, value) for name, value in self.settings.items() if value]


@pytest.mark.parametrize(
    ("version", "returning"),
    [
        ("10.6.18-MariaDB", True),
        ("10.11.6-MariaDB-0+deb12u1-log", True),
        ("11.8.2-MariaDB-ubu2404", True),
        ("8.0.mysql_aurora.3.08.0", False),
        ("8.0.36", False),
        ("8.4.0-log", False),
        ("9.1.0", False),
    ],
)
def test_a_server_that_is_new_enough_is_set_up(version: str, returning: bool) -> None:
    """MariaDB from 10.6, MySQL from 8.0; only MariaDB returns what it inserts."""
    database, cursor = Mysql(URL, "pymysql"), Cursor(version)
    database.prepare(cast("DBAPICursor", cursor))
    assert database.returning is returning
    assert "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED" in cursor.statements


@pytest.mark.parametrize("version", ["10.5.23-MariaDB", "10.3.39-MariaDB", "5.7.44-log", "5.6.51"])
def test_an_old_server_is_refused_in_words(version: str) -> None:
    """It has no JSON_TABLE; the sentence says what is needed and what is there."""
    with pytest.raises(SchemaError, match=r"(MariaDB 10\.6|MySQL 8\.0) or newer is needed") as told:
        Mysql(URL, "pymysql").prepare(cast("DBAPICursor", Cursor(version)))
    assert version in str(told.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        ("", "''"),
        ("it's", r"'it\'s'"),
        ('say "a"', "'say \"a\"'"),
        ("\\", r"'\\'"),
        ("\\'", r"'\\\''"),
        ([("a", 1)], '("a",1)'),
        ([(1,), (2,)], "(1),(2)"),
        ([("a", "b"), ("c", "d")], '("a","b"),("c","d")'),
        ([("],[", "[]")], '("],[","[]")'),
        ([('"', "'")], r"""("\"","'")"""),
        ([("\\", '\\"')], r'("\\","\\\"")'),
        ([("\\n", "\\u0041")], r'("\\n","\\u0041")'),
    ],
    ids=str,
)
def test_values_are_written_as_the_server_reads_them(value: object, text: str) -> None:
    """Quotes and backslashes stay part of the value, whatever stands beside them."""
    assert literal(value) == text


@pytest.mark.parametrize(
    "wrong", ["\n", "\x00", "\x0c", "\\\n", '"\t', "caf\u00e9", "\ud83d"], ids=ascii
)
def test_a_list_has_ids_only(wrong: str) -> None:
    """What JSON would write in a way that SQL reads otherwise is refused."""
    with pytest.raises(UnicodeError):
        literal([("fine", wrong)])


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("kind", "code", "fault"),
    [
        ("OperationalError", 1205, Fault.PASSING),
        ("OperationalError", 1213, Fault.PASSING),
        ("OperationalError", 1020, Fault.PASSING),
        ("OperationalError", 1040, Fault.PASSING),
        ("OperationalError", 1203, Fault.PASSING),
        ("OperationalError", 1159, Fault.PASSING),
        ("OperationalError", 2003, Fault.PASSING),
        ("OperationalError", 2006, Fault.PASSING),
        ("OperationalError", 2013, Fault.PASSING),
        ("InternalError", 1927, Fault.PASSING),
        ("ProgrammingError", 2014, Fault.PASSING),
        ("InterfaceError", 0, Fault.PASSING),
        ("IntegrityError", 1062, Fault.RACE),
        ("DataError", 1406, Fault.REFUSED),
        ("DataError", 9999, Fault.REFUSED),
        ("OperationalError", 1366, Fault.REFUSED),
        ("IntegrityError", 1048, Fault.REFUSED),
        ("OperationalError", 1045, Fault.AWAY),
        ("OperationalError", 1049, Fault.AWAY),
        ("OperationalError", 1290, Fault.AWAY),
        ("ProgrammingError", 1146, Fault.AWAY),
        ("ProgrammingError", 1064, Fault.AWAY),
        ("InternalError", 1030, Fault.AWAY),
    ],
)
def test_errors_mean_what_their_number_says(
    driver: str, kind: str, code: int, fault: Fault
) -> None:
    """The class that a driver raises differs; the number is the server's."""
    database = Mysql(URL, driver)
    error = driver_error(driver, kind, code, "words")
    assert isinstance(error, database.errors)
    assert database.fault(error) is fault


@pytest.mark.parametrize("driver", DRIVERS)
def test_errors_without_a_number_are_understood(driver: str) -> None:
    """A broken socket is passing; what says nothing at all is not."""
    database = Mysql(URL, driver)
    assert isinstance(ConnectionResetError(), database.errors)
    assert database.fault(ConnectionResetError()) is Fault.PASSING
    assert database.fault(driver_error(driver, "OperationalError")) is Fault.AWAY
    assert database.fault(driver_error(driver, "OperationalError", "odd")) is Fault.AWAY


def test_the_faster_driver_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the other; with neither, the sentence says what to install, not the password."""
    missing: set[str] = set()
    real = importlib.import_module

    def import_module(name: str) -> Any:
        if name in missing:
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert Mysql(URL, "").url.drivername == "mysql+mysqldb"
    missing.add("MySQLdb")
    assert Mysql(URL, "").url.drivername == "mysql+pymysql"
    with pytest.raises(ConfigError, match="the driver mysqldb is not installed"):
        Mysql(URL, "mysqldb")
    missing.add("pymysql")
    with pytest.raises(ConfigError, match="install PyMySQL or mysqlclient") as told:
        Mysql(URL, "")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, []),
        ({"innodb_doublewrite": ""}, []),
        ({"innodb_flush_log_at_trx_commit": "2"}, ["innodb_flush_log_at_trx_commit is 2"]),
        ({"innodb_flush_log_at_trx_commit": "0"}, ["innodb_flush_log_at_trx_commit is 0"]),
        ({"innodb_flush_log_at_trx_commit": "3"}, []),
        ({"innodb_doublewrite": "OFF"}, ["innodb_doublewrite is OFF"]),
        ({"innodb_doublewrite": "DETECT_ONLY"}, ["innodb_doublewrite is DETECT_ONLY"]),
        ({"innodb_doublewrite": "fast"}, []),
        ({"log_bin": "ON", "sync_binlog": "1"}, []),
        ({"log_bin": "ON", "sync_binlog": "0"}, ["sync_binlog is 0"]),
        ({"log_bin": "ON", "sync_binlog": "100"}, ["sync_binlog is 100"]),
        (
            {"innodb_flush_log_at_trx_commit": "2", "innodb_doublewrite": "0", "log_bin": "ON"},
            ["innodb_flush_log_at_trx_commit", "innodb_doublewrite", "sync_binlog"],
        ),
    ],
    ids=str,
)
def test_settings_that_may_lose_a_commit_are_named(
    settings: dict[str, str], named: list[str]
) -> None:
    """With their value and the better one; safe ones are not mentioned."""
    warnings = Mysql(URL, "pymysql").durability_warnings(cast("Connection", Variables(**settings)))
    assert len(warnings) == len(named)
    for warning, name in zip(warnings, named, strict=True):
        assert name in warning
        assert "set it to" in warning
