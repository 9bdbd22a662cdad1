"""The processes that are measured: each its own, on free ports, ended whatever happens.

Kafka, MariaDB and seenby are started as the tests start them (``tests.servers``); MariaDB gets
the buffer pool and the log of a server that does work. CPU time and memory are the operating
system's own count, children of a process included.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.error import HTTPError
from urllib.request import urlopen

from seenby.store.schema import migrate
from tests.servers.kafka import Kafka
from tests.servers.mariadb import MariaDB, query
from tests.servers.process import ServerError
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
KAFKA_HEAP = ("-Xmx1g", "-Xms1g", "-Xmn256m", "-XX:+AlwaysPreTouch")
"""As much as Kafka's own start script gives it. With a test's few MB it collects garbage several
times a second, some milliseconds each, and that is what a 99th percentile then shows."""

PARTITIONS = 16

BUFFER_POOL = 2 * 1024**3
REDO_LOG = 512 * 1024**2
"""Bytes. The tests' own 64 and 32 MB would measure MariaDB's page flushing."""

READY_WITHIN = 30.0

SESSION, UTIME, STIME, RSS = 3, 11, 12, 21
"""Fields of /proc/PID/stat behind the name (proc_pid_stat(5))."""


def family(pid: int) -> list[int]:
    """A process and its children: all of the session that it began."""
    members = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [member for member in members if (found := _stat(member)) and int(found[SESSION]) == pid]


def cpu(pid: int) -> float:
    """CPU seconds of a process and its children so far, to 10 ms."""
    fields = [found for member in family(pid) if (found := _stat(member))]
    return sum(int(found[UTIME]) + int(found[STIME]) for found in fields) / TICK


def memory(pid: int) -> int:
    """Bytes of a process and its children in memory."""
    pages = sum(int(fields[RSS]) for member in family(pid) if (fields := _stat(member)))
    return pages * PAGE


def pin(pid: int, cores: set[int]) -> None:
    """Let a process run on these cores only, the threads that it has included."""
    for member in family(pid):
        for thread in Path(f"/proc/{member}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def _stat(pid: int) -> list[str]:
    """What stands behind the name in /proc/PID/stat; nothing when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


class Clock:
    """How much CPU time some processes use from now on."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = {name: cpu(pid) for name, pid in pids.items()}

    def used(self) -> dict[str, float]:
        """Seconds since the beginning, by name."""
        return {name: max(0.0, cpu(pid) - self._before[name]) for name, pid in self._pids.items()}


class World:
    """Servers that start when they are first asked for, and end with the world."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ending = ExitStack()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @cached_property
    def kafka(self) -> Kafka:
        """The broker."""
        kafka = Kafka.launch(KAFKA_HEAP)
        self._ending.callback(kafka.dispose)
        return kafka

    @cached_property
    def mariadb(self) -> MariaDB:
        """The database server."""
        mariadb = MariaDB.launch()
        self._ending.callback(mariadb.dispose)
        query(
            mariadb.database(),
            f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL}",
            f"SET GLOBAL innodb_log_file_size = {REDO_LOG}",
        )
        return mariadb

    def database(self) -> str:
        """The address of an empty database with seenby's tables."""
        url = self.mariadb.database()
        migrate(url)
        return url

    def topic(self) -> str:
        """An empty topic, and one for updates beside it."""
        name = self.kafka.topic()
        self.kafka.create_topic(name, PARTITIONS)
        self.kafka.create_topic(f"{name}_updates", PARTITIONS)
        return name

    def settings(self, url: str, topic: str) -> dict[str, str]:
        """What an API or a gateway apart is told."""
        return {
            "SEENBY_DATABASE_URL": url,
            "KAFKA_BROKERS": self.kafka.brokers,
            "READ_RECEIPT_TOPIC": topic,
            "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_updates",
            # What a warning says is worth reading; a line per start is not.
            "SEENBY_LOG_LEVEL": "warning",
        }

    @contextmanager
    def running(self, role: str, settings: Mapping[str, str]) -> Iterator[Seenby]:
        """A process of seenby that is ready, and is killed at the end of the block."""
        self._number += 1
        folder = self.folder / str(self._number)
        folder.mkdir()
        process = Seenby(role, folder, settings, f"{role}{self._number}")
        try:
            process.process.start()
            until = time.monotonic() + READY_WITHIN
            while not is_ready(process):
                if not process.process.running or time.monotonic() > until:
                    raise ServerError(f"{process.name} is not ready\n{process.process.tail()}")
                time.sleep(0.005)
            yield process
        finally:
            process.kill()


def is_ready(process: Seenby) -> bool:
    """Whether it says so itself."""
    port = process.gateway_port if process.role == "gateway" else process.api_port
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (HTTPError, OSError):
        return False
