"""A MariaDB server of the tests' own: own data, own port, durable at every commit.

It can be stopped, killed and started again on the same port and data, as the fault tests need.
``SEENBY_TEST_MARIADB_URL`` (mysql://user:password@host:port) names a given server instead, whose
user may create databases; that one cannot be restarted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, unquote, urlsplit

import pymysql

from tests.servers.ports import free_port
from tests.servers.process import ServerError, ServerProcess
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

GIVEN_URL = "SEENBY_TEST_MARIADB_URL"
USER = "tests"
START_TRIES = 5


class MariaDB:
    """One MariaDB server, started by :meth:`launch` or given by :meth:`given`."""

    def __init__(
        self, url: str, directory: Path | None = None, options: Sequence[str] = ()
    ) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 3306
        self.user = unquote(parts.username or "root")
        self.password = unquote(parts.password or "")
        self._directory = directory
        self._databases: list[str] = []
        self._process = None if directory is None else self._make_process(directory, options)

    @classmethod
    def given(cls) -> Self | None:
        """The server that the environment names, if it names one."""
        url = os.environ.get(GIVEN_URL)
        return cls(url) if url else None

    @classmethod
    def launch(cls, options: Sequence[str] = ()) -> Self:
        """Make a fresh server and return when it answers.

        Args:
            options: of the server, such as --ssl-cert; they overrule our own.

        Raises:
            ServerError: MariaDB is not installed or did not start; the text says which.
        """
        directory = Path(tempfile.mkdtemp(prefix="seenby-mariadb-"))
        try:
            _install_data(directory)
            password = secrets.token_hex(8)
            _write_grants(directory, password)
            return cls._first_start(directory, password, options)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @classmethod
    def _first_start(cls, directory: Path, password: str, options: Sequence[str]) -> Self:
        for _ in range(START_TRIES - 1):
            server = cls(f"mysql://{USER}:{password}@127.0.0.1:{free_port()}", directory, options)
            try:
                server.start()
            except ServerError as error:
                if "ddress already in use" not in str(error):
                    raise
            else:
                return server
        server = cls(f"mysql://{USER}:{password}@127.0.0.1:{free_port()}", directory, options)
        server.start()
        return server

    @property
    def restartable(self) -> bool:
        """Whether the tests started it, and so may stop it."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._own().pid

    def start(self) -> None:
        """Start on the port and data it had before, and return when it answers."""
        process = self._own()
        process.start()
        try:
            wait_until(
                "MariaDB answers", lambda: not process.running or self._answers(), patience=120.0
            )
        except TimeoutError as error:
            process.kill()
            raise ServerError(f"{error}\n{process.tail()}") from None
        if not process.running:
            process.kill()
            raise ServerError(f"MariaDB ended at its start\n{process.tail()}")

    def ensure_running(self) -> None:
        """Start it when it is down: what a test that stopped it leaves to its fixture."""
        if not self._own().running:
            self.start()

    def stop(self) -> None:
        """Shut down in order."""
        self._own().stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._own().kill()

    def database(self) -> str:
        """Create a fresh, empty database with the server's defaults; returns its URL."""
        name = f"seenby_{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE `{name}`")
        self._databases.append(name)
        return (
            f"mysql://{quote(self.user, safe='')}:{quote(self.password, safe='')}"
            f"@{self.host}:{self.port}/{name}"
        )

    def drop(self, url: str) -> None:
        """Drop a database made by :meth:`database`; one that is already gone is no error."""
        name = urlsplit(url).path.lstrip("/")
        if self._process is None or self._process.running:
            self._execute(f"DROP DATABASE IF EXISTS `{name}`")
        self._databases.remove(name)

    def dispose(self) -> None:
        """End the server and remove all that it wrote; a given server loses our databases only."""
        if self._process is None or self._directory is None:
            for name in list(self._databases):
                self.drop(f"mysql:///{name}")
            return
        # Nobody wants this data any more: no need for an orderly end.
        self._process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _own(self) -> ServerProcess:
        if self._process is None:
            raise ServerError(f"a server given by {GIVEN_URL} is not ours to start or stop")
        return self._process

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        connection = pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            connect_timeout=30,
            autocommit=True,
            # A test that leaves a transaction open fails at the drop instead of hanging there.
            init_command="SET SESSION lock_wait_timeout = 30",
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)

    def _make_process(self, directory: Path, options: Sequence[str]) -> ServerProcess:
        command = [
            _program("mariadbd"),
            "--no-defaults",
            *_as_root(),
            f"--datadir={directory / 'data'}",
            f"--socket={directory / 'socket'}",
            f"--pid-file={directory / 'pid'}",
            f"--tmpdir={directory}",
            f"--init-file={directory / 'grants.sql'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-networking=0",
            "--skip-name-resolve",
            # What the store asks for, and checks at its start: a commit is on disk.
            "--innodb-flush-log-at-trx-commit=1",
            "--sync-binlog=1",
            # Small: two of them run beside two brokers on a laptop.
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--key-buffer-size=1M",
            "--performance-schema=0",
            "--max-connections=200",
            *options,
        ]
        return ServerProcess("MariaDB", command, directory / "log")


def query(url: str, *statements: str) -> tuple[tuple[Any, ...], ...]:
    """Run statements on a connection of their own; the rows of the last one."""
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database=parts.path.lstrip("/"),
        autocommit=True,
    )
    with closing(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def _program(name: str) -> str:
    # /usr/sbin is not on an ordinary user's PATH in Debian.
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ServerError(
            f"{name} is not installed: `make servers` (part of `make test`) installs MariaDB, "
            f"or name a running server in {GIVEN_URL}"
        )
    return path


def _as_root() -> list[str]:
    # mariadbd refuses to run as root unless told so. Not another user: a change of user would
    # also take away the signal that ends it when pytest dies.
    return ["--user=root"] if os.geteuid() == 0 else []


def _install_data(directory: Path) -> None:
    done = subprocess.run(
        [
            _program("mariadb-install-db"),
            "--no-defaults",
            *_as_root(),
            f"--datadir={directory / 'data'}",
            # Not the common one: a server that begins removes what others have there.
            f"--tmpdir={directory}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        raise ServerError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")


def _write_grants(directory: Path, password: str) -> None:
    # Run at every start of the server, so it must bear repetition. One statement, one line.
    grants = directory / "grants.sql"
    grants.write_text(
        f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n",
        encoding="ascii",
    )
