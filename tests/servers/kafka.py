"""A Kafka broker of the tests' own: one KRaft node from its Maven Central jars, no container.

It can be stopped, killed, paused and started again on the same ports and data.
``SEENBY_TEST_KAFKA_BROKERS`` (host:port,...) names given brokers instead; those cannot be stopped.
The jars are put in place by ``scripts/install-test-servers``.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.ports import free_port
from tests.servers.process import ServerError, ServerProcess
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GIVEN_BROKERS = "SEENBY_TEST_KAFKA_BROKERS"
POM = Path(__file__).with_name("kafka-pom.xml")
START_TRIES = 5

ANSWER_WITHIN = 10.0
"""Seconds after which a broker is asked again."""

AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._PARTIAL,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
        KafkaError.INVALID_REPLICATION_FACTOR,
    }
)
"""What a broker says, or does not say, that has just gone or come; the last: it is fenced."""

# A test's broker lives for minutes: a fast start counts, a fast steady state does not.
JVM_SMALL = [
    "-Xms64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    # What Java itself has to say is not for standard output, which some tests read.
    "-Xlog:disable",
    "-Xlog:all=warning:stderr",
]
LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
]


class Kafka:
    """One broker, started by :meth:`launch`, or some given by :meth:`given`.

    Attributes:
        brokers: What goes into KAFKA_BROKERS.
        listeners: The same for further listeners, by name.
    """

    def __init__(
        self,
        brokers: str,
        directory: Path | None = None,
        cluster_id: str | None = None,
        jvm: Sequence[str] = (),
    ) -> None:
        self.brokers = brokers
        self.listeners: dict[str, str] = {}
        self._cluster_id = cluster_id
        self._directory = directory
        self._process = None if directory is None else _broker(directory, jvm)

    @classmethod
    def given(cls) -> Self | None:
        """The brokers that the environment names, if it names some."""
        brokers = os.environ.get(GIVEN_BROKERS)
        return cls(brokers) if brokers else None

    @classmethod
    def launch(
        cls,
        jvm: Sequence[str] = (),
        *,
        listeners: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """Make a fresh broker and return when it answers.

        Args:
            jvm: options for the Java machine, such as more memory than a test needs.
            listeners: further listeners, each with its security protocol.
            settings: further settings of the broker.

        Raises:
            ServerError: The jars or Java are missing, or it did not start; the text says which.
        """
        for attempt in range(1, START_TRIES + 1):
            try:
                return cls._first_start(jvm, listeners or {}, settings or {})
            except ServerError as error:
                if "ddress already in use" not in str(error) or attempt == START_TRIES:
                    raise
        raise AssertionError("not reached")

    @classmethod
    def _first_start(
        cls, jvm: Sequence[str], listeners: Mapping[str, str], settings: Mapping[str, str]
    ) -> Self:
        directory = Path(tempfile.mkdtemp(prefix="seenby-kafka-"))
        try:
            port = free_port()
            places = {name: f"127.0.0.1:{free_port()}" for name in listeners}
            _write_config(
                directory, port, free_port(), _listening(port, places, listeners) | dict(settings)
            )
            server = cls(f"127.0.0.1:{port}", directory, _format(directory), jvm)
            server.listeners = places
            server.start()
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
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
        """Start on the ports and data it had before, and return when it answers."""
        process = self._own()
        process.start()
        try:
            wait_until(
                "Kafka answers", lambda: not process.running or self._answers(), patience=120.0
            )
        except TimeoutError as error:
            process.kill()
            raise ServerError(f"{error}\n{process.tail()}") from None
        if not process.running:
            process.kill()
            raise ServerError(f"Kafka ended at its start\n{process.tail()}")

    def ensure_running(self) -> None:
        """Start or resume it: what a test that stopped or paused it leaves to its fixture."""
        if self._own().running:
            self.resume()
            wait_until("Kafka answers", self._answers)
        else:
            self.start()

    def stop(self) -> None:
        """Shut down in order (SIGTERM)."""
        self._own().stop()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self._own().kill()

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing answers (SIGSTOP)."""
        self._own().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after :meth:`pause` (SIGCONT)."""
        self._own().send(signal.SIGCONT)

    def topic(self) -> str:
        """The name of a topic that nobody has used; it is not created."""
        return f"seenby_{secrets.token_hex(6)}"

    def create_topic(
        self, name: str, partitions: int = 16, settings: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic without replicas and return when every partition has a leader.

        Records stay, unless *settings* say otherwise: the tests' are of any year, and a broker
        removes at once what is older than its retention, every five minutes, read or not.
        """
        config = {"retention.ms": "-1", **(settings or {})}
        topic = NewTopic(name, partitions, replication_factor=1, config=config)
        unsure = False

        # Both with a client of its own each time: one that met a broker while that had just been
        # fenced, after a pause, waits for half a minute or longer.

        def is_made() -> bool:
            nonlocal unsure
            admin = self._admin()
            asked = admin.create_topics([topic], request_timeout=ANSWER_WITHIN)[name]
            try:
                asked.result(ANSWER_WITHIN * 2)
            except TimeoutError:
                unsure = True
            except KafkaException as error:
                code = error.args[0].code()
                if unsure and code == KafkaError.TOPIC_ALREADY_EXISTS:
                    return True
                if code not in AWAY:
                    raise
                unsure = True
            else:
                return True
            return False

        def has_leaders() -> bool:
            try:
                found = self._admin().list_topics(timeout=ANSWER_WITHIN).topics.get(name)
            except KafkaException:
                return False
            return (
                found is not None
                and len(found.partitions) == partitions
                and all(part.leader >= 0 for part in found.partitions.values())
            )

        wait_until(f"topic {name} is made", is_made)
        wait_until(f"topic {name} has its leaders", has_leaders)

    def console_consumer(
        self, topic: str, *arguments: str, count: int = 1, patience: float = 30.0
    ) -> list[str]:
        """What kafka-console-consumer.sh shows of a topic from its beginning.

        Args:
            topic: The topic to read.
            *arguments: Further arguments, such as "--property", "print.key=true".
            count: It ends after so many messages,
            patience: or when for so many seconds none has come; what came is returned then.

        Returns:
            The lines on its standard output, one for each message.
        """
        done = subprocess.run(
            [
                *_java("org.apache.kafka.tools.consumer.ConsoleConsumer"),
                "--bootstrap-server",
                self.brokers,
                "--topic",
                topic,
                "--from-beginning",
                "--max-messages",
                str(count),
                "--timeout-ms",
                str(int(patience * 1000)),
                *arguments,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=patience + 90.0,
        )
        lines = done.stdout.splitlines()
        # The tool exits with 1 when it ran out of time, though what it printed is good.
        if done.returncode != 0 and "TimeoutException" not in done.stderr:
            raise ServerError(f"the console consumer failed:\n{done.stdout}{done.stderr}")
        return lines

    def dispose(self) -> None:
        """End the broker and remove all that it wrote; given brokers are left as they are."""
        if self._process is not None and self._directory is not None:
            # Nobody wants this data any more: no need for an orderly end.
            self._process.kill()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _own(self) -> ServerProcess:
        if self._process is None:
            raise ServerError(f"brokers given by {GIVEN_BROKERS} are not ours to start or stop")
        return self._process

    def _admin(self) -> AdminClient:
        # The library logs every refused connection to stderr, which is the normal case here
        # until the broker is up.
        return AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})

    def _answers(self) -> bool:
        # By its cluster id, since another run's broker may have taken the port.
        try:
            found = self._admin().list_topics(timeout=5.0)
        except KafkaException:
            return False
        return found.cluster_id == self._cluster_id and len(found.brokers) > 0


def jars() -> Path:
    """The folder with Kafka's jars.

    Raises:
        ServerError: They are not there; the text says what to do.
    """
    folder = _cache() / f"kafka-{_version()}"
    if not folder.is_dir():
        raise ServerError(
            f"Kafka's jars are not in {folder}: `make servers` (part of `make test`) puts them "
            f"there, or name running brokers in {GIVEN_BROKERS}"
        )
    return folder


def archive() -> Path:
    """Where the classes that a broker loads lie ready for this Java: see kafka_archive.

    Raises:
        ServerError: Java or the jars are missing.
    """
    made = Path(_java_program()).resolve().stat()
    return jars() / f"classes-{made.st_size}-{made.st_mtime_ns}.jsa"


def _cache() -> Path:
    # The same rule as in scripts/install-test-servers.
    cache = os.environ.get("SEENBY_TEST_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "seenby"


def _version() -> str:
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text(encoding="utf-8"))
    if found is None:
        raise ServerError(f"{POM} names no kafka.version")
    return found.group(1)


def program(main: str) -> list[str]:
    """How one of Kafka's own programs begins, by its class; its arguments follow."""
    return _java(main)


def _java(main: str, *jvm: str, heap: str = "256m") -> list[str]:
    made = archive()
    # An archive cannot be made from an archive.
    mapped = made.exists() and not any("Archive" in option for option in jvm)
    shared = [f"-XX:SharedArchiveFile={made}"] if mapped else []
    options = [f"-Xmx{heap}", *JVM_SMALL, *shared, *jvm, *LOGGING]
    return [_java_program(), *options, "-cp", f"{jars()}/*", main]


def _java_program() -> str:
    java = shutil.which("java")
    if java is None:
        raise ServerError(
            "java is not installed: `make servers` (part of `make test`) installs it, "
            f"or name running brokers in {GIVEN_BROKERS}"
        )
    return java


def _broker(directory: Path, jvm: Sequence[str]) -> ServerProcess:
    command = [*_java("kafka.Kafka", *jvm, heap="512m"), str(directory / "server.properties")]
    return ServerProcess("Kafka", command, directory / "log")


def _listening(
    port: int, places: Mapping[str, str], protocols: Mapping[str, str]
) -> dict[str, str]:
    """Settings for listeners beside the plain one."""
    own = f"PLAINTEXT://127.0.0.1:{port}"
    known = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", **protocols}
    return {
        "advertised.listeners": ",".join([own, *(f"{n}://{at}" for n, at in places.items())]),
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in known.items()),
    }


def _write_config(
    directory: Path, port: int, controller_port: int, more: Mapping[str, str]
) -> None:
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{more['advertised.listeners']},CONTROLLER://127.0.0.1:{controller_port}",
        "log.dirs": str(directory / "data"),
        "auto.create.topics.enable": "false",
        # One node: the inner topics have one replica each.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the restarted node waits for its old session to end.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Small: fewer threads, no large buffers, index files not made ahead at full size.
        "num.network.threads": "2",
        "num.io.threads": "2",
        "log.cleaner.dedupe.buffer.size": "4194304",
        "log.index.size.max.bytes": "1048576",
        **more,
    }
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (directory / "server.properties").write_text(lines, encoding="utf-8")


def _format(directory: Path) -> str:
    """Prepare the data folder; returns the id of the new cluster."""
    cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    done = subprocess.run(
        [
            *_java("kafka.tools.StorageTool"),
            "format",
            # Not "-t ID": an id may begin with a dash.
            f"--cluster-id={cluster_id}",
            "--config",
            str(directory / "server.properties"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        raise ServerError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
    return cluster_id
