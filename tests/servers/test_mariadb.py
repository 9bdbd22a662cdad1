"""The tests' MariaDB does what the fault tests rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pymysql
import pytest

from tests.servers import mariadb
from tests.servers.mariadb import MariaDB, query
from tests.servers.ports import free_port
from tests.servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_database_is_fresh_and_writable(mariadb_server: MariaDB, mariadb_url: str) -> None:
    """Each database is empty, one's own, and takes tables and rows."""
    assert query(mariadb_url, "SHOW TABLES") == ()
    rows = query(
        mariadb_url, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "SELECT a FROM t"
    )
    assert rows == ((1,),)

    other = mariadb_server.database()
    assert other != mariadb_url
    assert query(other, "SHOW TABLES") == ()
    mariadb_server.drop(other)


def test_a_commit_is_on_disk(mariadb_url: str, restartable_mariadb: MariaDB) -> None:
    """Our server flushes at every commit: the setting that the store asks for."""
    assert query(mariadb_url, "SELECT @@innodb_flush_log_at_trx_commit") == ((1,),)


@pytest.mark.parametrize("end", [MariaDB.stop, MariaDB.kill])
def test_a_restart_keeps_port_and_data(
    end: Callable[[MariaDB], None], restartable_mariadb: MariaDB, mariadb_url: str
) -> None:
    """After an orderly end and after a kill the same URL has the same rows."""
    query(mariadb_url, "CREATE TABLE t (a INT) ENGINE=InnoDB", "INSERT INTO t VALUES (7)")

    end(restartable_mariadb)
    with pytest.raises(pymysql.err.OperationalError):
        query(mariadb_url, "SELECT 1")
    restartable_mariadb.start()

    assert query(mariadb_url, "SELECT a FROM t") == ((7,),)


def test_two_servers_stand_side_by_side(restartable_mariadb: MariaDB) -> None:
    """Two runs at once do not meet: each has its own port, data and end."""
    other = MariaDB.launch()
    try:
        assert other.port != restartable_mariadb.port
        query(other.database(), "SELECT 1")
    finally:
        other.dispose()
    query(restartable_mariadb.database(), "SELECT 1")


def test_a_taken_port_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, restartable_mariadb: MariaDB
) -> None:
    """A port that somebody takes between choice and use is replaced by another."""
    ports = [restartable_mariadb.port]
    monkeypatch.setattr(mariadb, "free_port", lambda: ports.pop() if ports else free_port())

    other = MariaDB.launch()
    try:
        assert other.port != restartable_mariadb.port
    finally:
        other.dispose()


def test_a_missing_server_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MariaDB is not installed, the failure names the command that installs it."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(ServerError, match="make servers"):
        MariaDB.launch()


def test_a_given_server_is_used_and_not_restarted(
    monkeypatch: pytest.MonkeyPatch, mariadb_url: str
) -> None:
    """The environment can name a server: databases come from it, starting it is refused."""
    monkeypatch.setenv(mariadb.GIVEN_URL, mariadb_url)
    given = MariaDB.given()
    assert given is not None
    assert not given.restartable

    url = given.database()
    assert query(url, "SHOW TABLES") == ()
    given.dispose()

    with pytest.raises(pymysql.err.OperationalError, match="Unknown database"):
        query(url, "SHOW TABLES")
    with pytest.raises(ServerError, match=mariadb.GIVEN_URL):
        given.stop()
