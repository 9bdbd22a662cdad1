"""The command as a user runs it: a wrong start is refused in words, tools work together."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.store.schema import migrate
from tests.acceptance.devices import Api
from tests.servers.process import ServerProcess
from tests.servers.seenby import COMMAND
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Launch
    from tests.servers.kafka import Kafka


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, with no settings but these."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [str(COMMAND), *arguments],
        cwd=folder,
        env=kept | settings,
        capture_output=True,
        check=False,
        text=True,
        timeout=150,
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


class TestWrongStarts:
    @pytest.mark.parametrize(
        ("settings", "sentence"),
        [
            ({"SEENBY_API_PROT": "1"}, "SEENBY_API_PROT is not a setting of seenby; did you mean"),
            ({"KAFKA_BROKERS": "localhost"}, "KAFKA_BROKERS must be a list of host:port"),
            ({"SEENBY_API_HOST": "192.0.2.1"}, "SEENBY_API_HOST must be a loopback address while"),
            ({"SEENBY_AUTH": "jwt"}, "SEENBY_AUTH=jwt needs one of SEENBY_JWT_SECRET"),
            ({"SEENBY_DATABASE_URL": "oracle://x"}, "SEENBY_DATABASE_URL must be sqlite:///FILE"),
        ],
    )
    def test_a_wrong_setting(self, tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
        """A wrong setting is named with the accepted form, and nothing is started or made."""
        done = run(tmp_path, "serve", **settings)

        assert done.returncode == 2
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("variable", ["SEENBY_API_PORT", "SEENBY_GATEWAY_PORT"])
    def test_a_port_in_use(self, tmp_path: Path, taken_port: int, variable: str) -> None:
        """A port that is taken is named with its setting."""
        ports = {"SEENBY_API_PORT": "0", "SEENBY_GATEWAY_PORT": "0", variable: str(taken_port)}
        done = run(tmp_path, "serve", **ports)

        assert done.returncode == 2
        assert f"{variable} must be a free port: port {taken_port}" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("role", ["api", "gateway"])
    def test_no_tables_yet(self, tmp_path: Path, role: str) -> None:
        """API and gateway refuse a database without tables, and say the command."""
        done = run(tmp_path, role)

        assert done.returncode == 1
        assert "run: seenby migrate" in done.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("role", ["serve", "api", "gateway", "migrate"])
    def test_a_newer_schema(self, tmp_path: Path, role: str) -> None:
        """A database of a newer seenby is left alone by every command."""
        migrate(f"sqlite:///{tmp_path}/seenby.db")
        with closing(sqlite3.connect(tmp_path / "seenby.db")) as database, database:
            database.execute("UPDATE seenby_version SET version_num = '9999'")
        done = run(tmp_path, role, SEENBY_API_PORT="0", SEENBY_GATEWAY_PORT="0")

        assert done.returncode == 1
        assert "the database belongs to a newer seenby" in done.stderr
        assert "Traceback" not in done.stderr

    def test_no_database_server(self, tmp_path: Path, taken_port: int) -> None:
        """A database that does not answer ends the start with a sentence, without its password."""
        url = f"mysql://seenby:geheim@127.0.0.1:{taken_port}/seenby"
        done = run(tmp_path, "api", SEENBY_DATABASE_URL=url, SEENBY_STORE_RETRY="0.1")

        assert done.returncode == 1
        assert "the database is not available" in done.stderr
        assert "geheim" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


class TestStart:
    def test_it_says_what_runs_where_and_what_to_try(self, launch: Launch, tmp_path: Path) -> None:
        """A start that reports to people says where everything is, and a next step that works."""
        seenby = launch("serve", SEENBY_LOG_FORMAT="console")
        said = seenby.process.log.read_text(encoding="utf-8")
        [line] = [line for line in said.splitlines() if "mark msg-123" in line]
        _, *arguments = line.split()
        done = run(tmp_path, *arguments)

        assert f"watch user123 --gateway {seenby.gateway}" in said
        assert seenby.api in said
        assert seenby.gateway in said
        assert "sqlite:///" in said
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["sender_id"] == "user123"


class TestTrying:
    def test_watch_follows_over_a_restart(self, launch: Launch, tmp_path: Path) -> None:
        """`seenby watch` shows each receipt once, also those that came while it was cut off."""
        seenby = launch("serve")
        log = tmp_path / "watch.log"
        arguments = ["watch", "user123", "--device", "laptop", "--gateway", seenby.gateway]
        watch = ServerProcess("seenby watch", [str(COMMAND), *arguments], log)
        watch.start()

        def receipts() -> list[str]:
            lines = log.read_text(encoding="utf-8").splitlines()
            return [json.loads(line)["msg_id"] for line in lines if line.startswith("{")]

        try:
            wait_until("it is connected", lambda: "connected" in log.read_text(encoding="utf-8"))
            for number in range(3):
                done = run(
                    tmp_path,
                    "mark",
                    f"m{number}",
                    "--reader=user456",
                    "--sender=user123",
                    "--conversation=conv789",
                    f"--api={seenby.api}",
                )
                assert done.returncode == 0, done.stderr
            wait_until("three receipts", lambda: len(receipts()) == 3)
            seenby.kill()
            seenby.start()
            api = Api(seenby.api)
            api.mark("m3", "user456", "user123", "conv789")
            api.close()
            wait_until("the fourth", lambda: len(receipts()) == 4)
        finally:
            watch.kill()

        assert receipts() == ["m0", "m1", "m2", "m3"]

    def test_mark_without_an_api(self, tmp_path: Path, taken_port: int) -> None:
        """A mark that is refused is told with the reason, and ends with 2."""
        done = run(
            tmp_path, "mark", "m1", "--reader=a b", "--sender=s", "--conversation=c",
            f"--api=http://127.0.0.1:{taken_port}",
        )  # fmt: skip

        assert done.returncode == 2
        assert "must be 1 to 64 printable ASCII" in done.stderr


class TestTopics:
    def test_create_and_repeat(
        self, tmp_path: Path, kafka_server: Kafka, kafka_brokers: str, topic: str
    ) -> None:
        """`seenby topic create` makes the topics with the settings' size, and may be repeated."""
        settings = {
            "KAFKA_BROKERS": kafka_brokers,
            "READ_RECEIPT_TOPIC": topic,
            "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_updates",
            "KAFKA_GROUP_MSG_TOPIC": f"{topic}_messages",
            "SEENBY_TOPIC_REPLICATION": "1",
        }
        made = run(tmp_path, "topic", "create", **settings)
        found = run(tmp_path, "topic", "create", **settings)

        assert made.returncode == 0, made.stderr
        assert f"topic {topic} is created, with 16 partitions" in made.stdout
        assert f"topic {topic}_updates is created" in made.stdout
        for name in (topic, f"{topic}_updates", f"{topic}_messages"):
            assert f"topic {name}.dlq is created" in made.stdout
        # The chat's own topic is the chat's to make.
        assert f"topic {topic}_messages is" not in made.stdout
        assert found.returncode == 0, found.stderr
        assert found.stdout.count("exists already") == 5

    def test_too_many_replicas(self, tmp_path: Path, kafka_brokers: str, topic: str) -> None:
        """More replicas than brokers are refused by the setting's name."""
        done = run(
            tmp_path, "topic", "create", KAFKA_BROKERS=kafka_brokers, READ_RECEIPT_TOPIC=topic
        )

        assert done.returncode == 2
        assert "SEENBY_TOPIC_REPLICATION is 3" in done.stderr
