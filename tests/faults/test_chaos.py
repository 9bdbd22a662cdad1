"""Everything breaks at random while readers mark and devices come and go: what must hold, holds.

Each run takes another seed, and a failure names it: ``SEENBY_TEST_CHAOS_SEED`` repeats the same
faults in the same order. What the clients check by themselves stands in ``chaos``; here is what
breaks, and what the database and the logs must say in the end.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from seenby.store.schema import migrate
from seenby.store.sql import open_store
from tests.acceptance.devices import Api
from tests.faults.breaking import Faults
from tests.faults.chaos import Client, Ledger, Reader
from tests.faults.chat import (
    AGGREGATE_OVER,
    CIRCLES,
    HIDDEN,
    Book,
    Circle,
    Guests,
    Registrar,
    prepare,
)
from tests.faults.truth import Truth
from tests.servers.seenby import Seenby
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from threading import Thread

    from seenby.store.base import Head
    from seenby.store.sql import SqlStore
    from tests.faults.chaos import Kind
    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB

GIVEN_SEED = "SEENBY_TEST_CHAOS_SEED"

SETTINGS = {
    "SEENBY_STORE_RETRY": "2",
    # A slow device is closed soon.
    "SEENBY_SESSION_BYTES": "65536",
    "SEENBY_AGGREGATE_OVER": str(AGGREGATE_OVER),
    "SEENBY_COUNT_HIDDEN": "true",
}

DEVICES: tuple[tuple[Kind, bool, bool], ...] = (
    ("live", False, False),
    ("silent", False, False),
    ("silent", False, True),
    ("seq", False, False),
    ("seq", True, True),
    ("position", False, False),
    ("position", True, False),
)
"""Of each sender: how it keeps its position, whether it takes batches, whether it is slow."""

OWN_DEVICES: tuple[tuple[str, Kind, bool], ...] = (
    ("named0", "seq", True),
    ("named0", "position", False),
    ("named0", "silent", False),
    ("veiled0", "seq", False),
    ("veiled0", "position", True),
)
"""Of readers of the chat: whose, how it keeps its position, whether it takes batches."""

pytestmark = pytest.mark.timeout(600)
"""Seconds. Whatever else the machine does, the limits of the steps come first."""

PATIENCE = 120.0
"""Seconds for each step towards the end once nothing breaks any more. The longest by far: what an
instance had committed and not published when it was killed is found by a comparison, every 30
seconds."""


@pytest.fixture
def seed() -> int:
    """The seed of this run."""
    return int(os.environ.get(GIVEN_SEED) or secrets.randbelow(10**6))


class Stage:
    """Processes, clients and readers of one test.

    Args:
        seed: of everything that is left to chance.
        database: the address of the database.
        apis: where readers mark.
        gateways: where devices connect.
        brokers: Kafka's; "" where there is none.
    """

    def __init__(
        self,
        seed: int,
        database: str,
        apis: Sequence[Seenby],
        gateways: Sequence[Seenby],
        brokers: str = "",
    ) -> None:
        self.chance = random.Random(seed)
        self.ledger = Ledger(seed, apis, gateways)
        self.processes = [*apis, *(gateway for gateway in gateways if gateway not in apis)]
        self.faults = Faults(self.chance, self.processes)
        self._database = database
        self._brokers = brokers
        self._environment = apis[0].environment
        self._heads: dict[str, Head] = {}
        self._read: object = None
        self._book: Book | None = None
        self._truth: Truth | None = None
        self._clients = [
            Client(self.ledger, sender, kind, self._child(), batch=batch, slow=slow)
            for sender in self.ledger.senders
            for kind, batch, slow in DEVICES
        ]
        self._readers: list[Thread] = [
            Reader(self.ledger, way, self._child())
            for way in ("http", "http", "batch", "socket", "socket")
        ]

    def chat(self) -> None:
        """A chat is at it too, with all that it can do."""
        ledger, book = self.ledger, Book()
        prepare(ledger, book, self._child())
        self._clients += [
            Client(ledger, user, kind, self._child(), batch=batch)
            for user, kind, batch in OWN_DEVICES
        ]
        topic = self._environment.get("KAFKA_GROUP_MSG_TOPIC", "")
        self._readers = [
            *self._readers[2:],
            Registrar(ledger, book, self._child(), self._brokers, topic),
            Guests(ledger, book, self._child()),
            *(Circle(ledger, book, self._child(), users) for users in CIRCLES),
        ]
        self._book = book

    def _child(self) -> random.Random:
        return random.Random(self.chance.random())

    @contextmanager
    def play(self) -> Iterator[None]:
        """Clients and readers are at it; in the end the truth is compared with what they saw."""
        for thread in (*self._clients, *self._readers):
            thread.start()
        try:
            yield
            self._settle()
        finally:
            self.ledger.no_more_marks.set()
            self.ledger.over.set()
            for thread in (*self._readers, *self._clients):
                thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in (*self._readers, *self._clients))
        self._compare_logs()
        self._assert_no_problems()

    def _settle(self) -> None:
        """Nothing breaks any more: all that was marked arrives, and the outbox empties."""
        self._wait_marks(50)
        if self._book is not None:
            self._wait("the chat has done all it can", self._book.is_full)
        self.ledger.peace.set()
        self.ledger.no_more_marks.set()
        for reader in self._readers:
            reader.join(PATIENCE)
        with closing(open_store(self._database)) as store:
            truth, book = Truth(store, self.ledger), self._book
            self._wait("every count is told", truth.counts_are_told)
            if book is not None:
                self._wait(
                    "the chat's topic is registered", lambda: truth.topic_is_registered(book)
                )
            self._wait("every device has everything", lambda: self._arrived(store))
            # The leases of what was killed would run out by themselves, in half a minute.
            waiting = store.connections.run(lambda link: link.rows("SELECT id FROM outbox"))
            store.release([number for (number,) in waiting])
            self._wait("the outbox is empty", lambda: store.outbox().rows == 0)
            epoch, heads = store.heads(self.ledger.senders)
            if self._book is None:
                for sender, ends in heads.items():
                    self._compare_stream(store, sender, epoch, ends)
            else:
                self._compare_chat(Truth(store, self.ledger), self._book, epoch)
            self._compare_answers(store)

    def _arrived(self, store: SqlStore) -> bool:
        """Whether every device has all there is; more may yet come from who was cut off."""
        users = sorted({client.sender for client in self._clients})
        _, self._heads = store.heads(users)
        # An erasure changes the streams and not their heads.
        told = store.connections.run(
            lambda connection: connection.rows("SELECT COUNT(msg_id) FROM events")
        )
        if (self._heads, told) != self._read:
            self._read, self._truth = (self._heads, told), Truth(store, self.ledger)
        return all((client.seq or 0) >= self._goal(client) for client in self._clients)

    def _goal(self, client: Client) -> int:
        """The last seq that a device must get; it may have one more, that was erased afterwards."""
        if client.kind == "live":
            return client.seq or 0
        if self._book is None or self._truth is None:
            return self._heads[client.sender].head
        return self._truth.last(client.sender, silent=client.kind == "silent")

    def _wait_marks(self, count: int) -> None:
        goal = len(self.ledger.answered) + count
        self._wait("marks go on", lambda: len(self.ledger.answered) >= goal)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        try:
            wait_until(what, condition, PATIENCE)
        except TimeoutError as error:
            places = [f"{client.name} {client.seq}" for client in self._clients]
            self.ledger.problem(f"{error}; {self._heads} {places}")
            self._assert_no_problems()

    def _compare_stream(self, store: SqlStore, sender: str, epoch: str, ends: Head) -> None:
        """Over REST: no gap, no double; as many receipts as seqs; what was pushed, was that."""
        stream = [
            (receipt["seq"], (receipt["msg_id"], receipt["reader_id"]))
            for receipt in self._stream(sender, epoch, ends.floor)
        ]
        [(receipts,)] = store.connections.run(
            lambda connection: connection.rows(
                f"SELECT COUNT(*) FROM receipts WHERE sender_id = '{sender}'"
            )
        )
        pushed = {
            seq: (told.msg_id, told.reader_id) for seq, told in self.ledger.stream(sender).items()
        }
        if [seq for seq, _ in stream] != list(range(ends.floor + 1, ends.head + 1)):
            self.ledger.problem(f"the stream of {sender} is not whole: {ends}")
        if receipts != ends.head or len({key for _, key in stream}) != len(stream):
            self.ledger.problem(f"{sender} has {receipts} receipts, and a stream of {ends}")
        if any(pushed.get(seq, key) != key for seq, key in stream):
            self.ledger.problem(f"devices of {sender} were sent something else than its stream")

    def _stream(self, user: str, epoch: str, after: int | None) -> list[dict[str, Any]]:
        """A stream over REST."""
        stream: list[dict[str, Any]] = []
        with closing(Api(self.ledger.apis[0].api)) as api:
            while after is not None:
                query = f"after={after}&epoch={epoch}&limit=1000"
                status, page = api.request("GET", f"/api/v1/users/{user}/receipts?{query}")
                assert status == 200, page
                stream += [*page["receipts"], *page.get("updates", [])]
                after = page.get("next_after")
        return sorted(stream, key=lambda event: event["seq"])

    def _compare_chat(self, truth: Truth, book: Book, epoch: str) -> None:
        """What was answered, counted and told of the chat is one and the same."""
        truth.compare_devices(sorted({client.sender for client in self._clients}))
        truth.compare_streams()
        truth.compare_book(book)
        truth.compare_counts()
        truth.compare_names(book)
        truth.compare_counters(self._environment)
        for sender in self.ledger.senders:
            stream = self._stream(sender, epoch, 0)
            if [event["seq"] for event in stream] != truth.shown(sender, silent=False):
                self.ledger.problem(f"the stream of {sender} over REST is not whole")
            if HIDDEN in str(stream):
                self.ledger.problem(f"the stream of {sender} over REST names who hides")
        if self._brokers:
            topic = self._environment["READ_RECEIPT_TOPIC"]
            updates = self._environment["READ_RECEIPT_UPDATES_TOPIC"]
            truth.compare_topics(book, self._brokers, (topic, updates))

    def _compare_answers(self, store: SqlStore) -> None:
        """What was answered is there, as it was answered."""
        there: dict[tuple[str, str], tuple[str, int]] = {
            (msg_id, reader_id): (sender_id, number)
            for msg_id, reader_id, sender_id, number in store.connections.run(
                lambda connection: connection.rows(
                    "SELECT msg_id, reader_id, sender_id, id FROM receipts"
                )
            )
        }
        lost = [key for key, fact in self.ledger.answered.items() if there.get(key) != fact]
        if lost:
            self.ledger.problem(f"{len(lost)} answered marks are lost: {lost[:5]}")

    def _compare_logs(self) -> None:
        """No process has ended by itself, and none has logged an error."""
        for process in self.processes:
            if not process.process.running:
                self.ledger.problem(f"{process.name} has ended: {process.process.tail()}")
            log = process.process.log.read_text(encoding="utf-8", errors="replace")
            if HIDDEN in log:
                named = [line for line in log.splitlines() if HIDDEN in line]
                self.ledger.problem(f"{process.name} logged who hides: {named[:3]}")
            bad = [line for line in process.log_lines() if line["level"] in ("error", "critical")]
            if bad or "Traceback" in log:
                self.ledger.problem(f"{process.name} logged {bad[:3]} {process.process.tail()}")

    def _assert_no_problems(self) -> None:
        ledger = self.ledger
        assert not ledger.problems, "\n".join(
            [
                f"{GIVEN_SEED}={ledger.seed}: {len(ledger.problems)} problems, the first ones:",
                *(problem[:1000] for problem in ledger.problems[:20]),
                "what broke, by seconds:",
                *self.faults.told,
                f"marks that failed: {dict(ledger.failures)}",
            ]
        )


@pytest.fixture
def apart(
    tmp_path: Path, mariadb_url: str, kafka_server: Kafka, topic: str, seed: int
) -> Iterator[Stage]:
    """Two APIs and three gateways on MariaDB and Kafka."""
    updates_topic, messages_topic = f"{topic}_updates", f"{topic}_messages"
    for name in (topic, updates_topic, messages_topic):
        kafka_server.create_topic(name)
    migrate(mariadb_url)
    settings = SETTINGS | {
        "SEENBY_DATABASE_URL": mariadb_url,
        "KAFKA_BROKERS": kafka_server.brokers,
        "READ_RECEIPT_TOPIC": topic,
        "READ_RECEIPT_UPDATES_TOPIC": updates_topic,
        "KAFKA_GROUP_MSG_TOPIC": messages_topic,
        "KAFKA_GROUP_ID": f"{topic}_group",
    }
    apis = [Seenby("api", tmp_path, settings, f"api{n}") for n in range(2)]
    gateways = [Seenby("gateway", tmp_path, settings, f"gateway{n}") for n in range(3)]
    stage = Stage(seed, mariadb_url, apis, gateways, kafka_server.brokers)
    yield from started(stage)


@pytest.fixture
def embedded(tmp_path: Path, seed: int) -> Iterator[Stage]:
    """All in one process on SQLite."""
    serve = Seenby("serve", tmp_path, SETTINGS)
    yield from started(Stage(seed, serve.environment["SEENBY_DATABASE_URL"], [serve], [serve]))


def started(stage: Stage) -> Iterator[Stage]:
    """The stage with its processes, which end with the test."""
    for process in stage.processes:
        process.process.start()
    for process in stage.processes:
        process.wait_alive()
    yield stage
    for process in stage.processes:
        process.kill()


class TestApart:
    def test_everything_breaks(
        self, apart: Stage, restartable_mariadb: MariaDB, restartable_kafka: Kafka
    ) -> None:
        """Processes, MariaDB and Kafka die, drain and stand still: nothing lost, all in order.

        Nor does anybody hear of who hides, and every counter is right.
        """
        apart.chat()
        faults, maria, kafka = apart.faults, restartable_mariadb, restartable_kafka
        faults.kinds = [
            *[faults.killing(apart.processes)] * 2,
            faults.draining(apart.processes),
            *[faults.pausing(apart.processes)] * 2,
            faults.ending(maria, maria.kill, maria.start),
            faults.ending(maria, maria.stop, maria.start),
            faults.ending(kafka, kafka.kill, kafka.start),
            faults.ending(kafka, kafka.pause, kafka.resume),
        ]
        with apart.play():
            faults.rage(20, lambda: bool(apart.ledger.failures))

        assert apart.ledger.failures, "no mark was under way at any fault: the test tests nothing"

    def test_the_bus_brings_everything_while_it_is_healthy(self, apart: Stage) -> None:
        """Devices come and go as they like, gateways drain: nothing has to be rescued.

        A gateway that is not yet joined to the bus looks into the store instead, and should; one
        that is joined says what the bus did not bring.
        """
        gateways = apart.ledger.gateways
        apart.faults.kinds = [apart.faults.draining(gateways)]
        with apart.play():
            apart.faults.rage(8)

        lines = [line for gateway in gateways for line in gateway.log_lines()]
        missed = [line for line in lines if line["event"] == "bus_missed_receipts"]
        assert missed == [], f"{GIVEN_SEED}={apart.ledger.seed}"
        assert sum(line["event"] == "feed_healthy" for line in lines) >= len(gateways)


class TestEmbedded:
    def test_it_is_killed_again_and_again(self, embedded: Stage) -> None:
        """Killed under load: every answer holds, each device has its stream, counters are right."""
        embedded.chat()
        embedded.faults.kinds = [embedded.faults.killing(embedded.processes)]
        with embedded.play():
            embedded.faults.rage(8, lambda: bool(embedded.ledger.failures))

        assert embedded.ledger.failures, "no mark was under way at any kill: it tests nothing"

    def test_epochs_change_and_streams_are_trimmed(self, embedded: Stage) -> None:
        """Whoever cannot be served whole is told so; what follows is in order all the same."""
        embedded.ledger.excused = True
        faults, chance = embedded.faults, embedded.chance
        database = embedded.processes[0].environment["SEENBY_DATABASE_URL"]

        def new_epoch() -> None:
            with closing(open_store(database)) as store:
                store.new_epoch()

        def trim() -> None:
            before = int((time.time() - chance.choice([0, 0.5, 2])) * 1000)
            with closing(open_store(database)) as store:
                store.trim(before=before, limit=chance.choice([10, 100, 1000]))

        faults.kinds = [
            faults.doing(new_epoch),
            *[faults.doing(trim)] * 3,
            faults.killing(embedded.processes),
            faults.pausing(embedded.processes),
        ]
        with embedded.play():
            faults.rage(8)
