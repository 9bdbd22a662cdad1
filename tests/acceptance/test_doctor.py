"""`seenby doctor` on real servers: well, and with one thing after the other wrong."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_command import run
from tests.servers.mariadb import query
from tests.servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Launch
    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB


@pytest.fixture
def place(mariadb_url: str, kafka_server: Kafka, topic: str) -> dict[str, str]:
    """Settings for the run's servers, on free ports; no topic is there yet, and one broker."""
    return {
        "SEENBY_DATABASE_URL": mariadb_url,
        "KAFKA_BROKERS": kafka_server.brokers,
        "READ_RECEIPT_TOPIC": topic,
        "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_updates",
        "KAFKA_GROUP_MSG_TOPIC": f"{topic}_messages",
        "SEENBY_TOPIC_REPLICATION": "1",
        "SEENBY_API_PORT": str(free_port()),
        "SEENBY_GATEWAY_PORT": str(free_port()),
    }


def examined(folder: Path, settings: dict[str, str], status: int = 0) -> dict[str, dict[str, str]]:
    """The findings by check, of several of one check the last."""
    done = run(folder, "doctor", "--json", **settings)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr == ""
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["ok"] is (status == 0)
    return {item["check"]: item for item in document["findings"]}


def bad(found: dict[str, dict[str, str]]) -> set[str]:
    """The checks that found something."""
    return {check for check, item in found.items() if item["level"] != "ok"}


@contextmanager
def set_global(url: str, name: str, value: str) -> Iterator[None]:
    """A setting of the server's is another for a while."""
    [(before,)] = query(url, f"SELECT @@GLOBAL.{name}")
    query(url, f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        query(url, f"SET GLOBAL {name} = {before}")


def test_everything_is_well(tmp_path: Path, place: dict[str, str], topic: str) -> None:
    """After `migrate` and `topic create` there is nothing left to do; before, both are named."""
    before = examined(tmp_path, place, status=1)
    assert before["schema"]["todo"] == "seenby migrate"
    assert before[f"topic {topic}"]["todo"] == "seenby topic create"
    assert before[f"topic {topic}.dlq"]["todo"] == "seenby topic create"
    for command in (["migrate"], ["topic", "create"]):
        assert run(tmp_path, *command, **place).returncode == 0
    after = examined(tmp_path, place)
    assert bad(after) == set()
    assert "MariaDB" in after["database"]["found"]
    assert after[f"topic {topic}"]["found"] == "16 partitions, 1 replica"
    assert after["isolation"]["level"] == "ok"
    assert "is free" in after["API port"]["found"]


def test_a_database_that_may_lose_commits(
    tmp_path: Path, mariadb_server: MariaDB, mariadb_url: str
) -> None:
    """Each setting that lets it is named, with what it should be, and no password is told."""
    settings = {"SEENBY_DATABASE_URL": mariadb_url}
    with set_global(mariadb_url, "innodb_flush_log_at_trx_commit", "2"):
        found = examined(tmp_path, settings, status=1)
    assert found["commits"]["level"] == "warning"
    assert "innodb_flush_log_at_trx_commit is 2" in found["commits"]["found"]
    assert found["commits"]["todo"].startswith("set it to 1")
    wrong = mariadb_url.replace(mariadb_server.password, "wrong-password")
    for url in (mariadb_url, wrong, mariadb_url + "_none"):
        done = run(tmp_path, "doctor", SEENBY_DATABASE_URL=url)
        assert done.returncode == 1
        assert mariadb_server.password not in done.stdout + done.stderr
        assert "wrong-password" not in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert "✗ database: " in done.stdout or url == mariadb_url


def test_topics_that_are_not_as_promised(
    tmp_path: Path, place: dict[str, str], kafka_server: Kafka, topic: str
) -> None:
    """What is wrong with each is told, with Kafka's own command against it."""
    kafka_server.create_topic(topic, settings={"retention.ms": "3600000"})
    kafka_server.create_topic(
        f"{topic}_few",
        partitions=4,
        settings={"retention.ms": "60000", "cleanup.policy": "compact"},
    )
    found = examined(
        tmp_path,
        {
            **place,
            "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_few",
            "READ_RECEIPT_TOPIC": f"{topic}_no",
        },
        status=1,
    )
    assert found[f"topic {topic}_no"]["level"] == "error"
    assert found[f"topic {topic}_no"]["todo"] == "seenby topic create"
    assert "retention.ms is 60000" in found[f"topic {topic}_few"]["found"]
    assert found[f"topic {topic}_few"]["todo"].startswith("kafka-configs.sh")
    assert found["partitions"]["todo"] == "set SEENBY_TOPIC_PARTITIONS=4"
    differing = examined(
        tmp_path, {**place, "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_few"}, status=1
    )
    assert f"--topic {topic}_few --partitions 16" in differing["partitions"]["todo"]


def test_a_seenby_that_runs_is_no_hindrance(launch: Launch, tmp_path: Path) -> None:
    """Its ports are held by itself; its database is this version's."""
    seenby = launch("serve")
    found = examined(tmp_path, {name: seenby.environment[name] for name in (
        "SEENBY_API_PORT", "SEENBY_GATEWAY_PORT", "SEENBY_DATABASE_URL")})  # fmt: skip
    assert bad(found) == set()
    assert "a seenby that runs" in found["API port"]["found"]
    assert "a seenby that runs" in found["gateway port"]["found"]


def test_everything_is_wrong(tmp_path: Path) -> None:
    """All of it is told at once, each with what to do, and nothing is made."""
    done = run(
        tmp_path,
        "doctor",
        SEENBY_DATABASE_URL="mysql://u:geheim-geheim@127.0.0.1:1/x",
        KAFKA_BROKERS="127.0.0.1:1",
        SEENBY_API_HOST="192.0.2.1",
        SEENBY_AUTH="jwt",
        SEENBY_JWT_KEY_FILE=str(tmp_path / "none.pem"),
        SEENBY_ALLOWED_ORIGINS="https://a.example.com",
        SEENBY_GATEWAY_URL="ws://b.example.com/ws",
        SEENBY_LOG_FROMAT="json",
    )
    assert done.returncode == 1
    assert done.stderr == ""
    for words in (
        "✗ settings: SEENBY_LOG_FROMAT is not a setting of seenby; did you mean SEENBY_LOG_FORMAT?",
        "✗ settings: SEENBY_JWT_KEY_FILE must be a PEM file",
        "✗ database: mysql://u:***@127.0.0.1:1/x",
        "✗ Kafka: 127.0.0.1:1 does not answer",
        "✗ API port: 192.0.2.1 is no address of this machine",
        "! tokens: not looked at",
        "✗ origins: pages of https://a.example.com",
    ):
        assert words in done.stdout
    assert "geheim" not in done.stdout
    assert list(tmp_path.iterdir()) == []
