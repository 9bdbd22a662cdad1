"""Fixtures for all tests. A server starts when the first test asks for it, once per worker.

A server that is missing is a failure that says what to do, never a skip. The one skip here is
for tests that must restart a server when the environment gave one that is not ours to restart.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.kafka import GIVEN_BROKERS, Kafka
from tests.servers.mariadb import GIVEN_URL, MariaDB

if TYPE_CHECKING:
    from collections.abc import Iterator


# A shell that starts a run in the background has it ignore Ctrl-C, and all its children with it;
# some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection(session: pytest.Session) -> None:
    """Each worker compiles its share of the test modules, and finds the others' shares cached.

    pytest rewrites every assert, which takes a worker twice as long as all else of a collection;
    in a fresh checkout all of them would do it for every module at the same time.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode:
        return
    root = Path(__file__).parents[1]
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for file in sorted(root.glob("tests/**/test_*.py"))[number::count]:
        # What is wrong with a module is told when it is collected: it is imported again then.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("error")
            importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A MariaDB server for this run."""
    server = MariaDB.given() or MariaDB.launch()
    yield server
    server.dispose()


@pytest.fixture
def mariadb_url(mariadb_server: MariaDB) -> Iterator[str]:
    """The URL of a fresh, empty database on the run's MariaDB."""
    url = mariadb_server.database()
    yield url
    mariadb_server.drop(url)


@pytest.fixture
def restartable_mariadb(mariadb_server: MariaDB) -> Iterator[MariaDB]:
    """The run's MariaDB for a test that stops it; it runs again afterwards, whatever happened."""
    if not mariadb_server.restartable:
        pytest.skip(f"{GIVEN_URL} names a server that the tests may not restart")
    yield mariadb_server
    mariadb_server.ensure_running()


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[Kafka]:
    """A Kafka broker for this run."""
    server = Kafka.given() or Kafka.launch()
    yield server
    server.dispose()


@pytest.fixture
def kafka_brokers(kafka_server: Kafka) -> str:
    """What goes into KAFKA_BROKERS to reach the run's Kafka."""
    return kafka_server.brokers


@pytest.fixture
def topic(kafka_server: Kafka) -> str:
    """The name of a topic that nobody has used; ``kafka_server.create_topic`` creates it."""
    return kafka_server.topic()


@pytest.fixture
def restartable_kafka(kafka_server: Kafka) -> Iterator[Kafka]:
    """The run's Kafka for a test that stops it; it runs again afterwards, whatever happened."""
    if not kafka_server.restartable:
        pytest.skip(f"{GIVEN_BROKERS} names brokers that the tests may not restart")
    yield kafka_server
    kafka_server.ensure_running()
