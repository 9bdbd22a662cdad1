"""Everything breaks at random while readers mark and devices come and go: what must hold, holds.

Each run takes another seed, and a failure names it: ``SEENBY_TEST_CHAOS_SEED`` repeats the same
faults in the same order. What the clients check by themselves stands in ``chaos``; here is what
breaks, and what the database and the logs must say in the end.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from seenby.store.schema import migrate
from seenby.store.sql import open_store
from tests.acceptance.devices import Api
from tests.faults.chaos import Client, Ledger, Reader
from tests.servers.seenby import Seenby, get
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from seenby.store.base import Head
    from seenby.store.sql import SqlStore
    from tests.faults.chaos import Kind
    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB

    Fault = Callable[[], None]

GIVEN_SEED = "SEENBY_TEST_CHAOS_SEED"

SETTINGS = {
    "SEENBY_STORE_RETRY": "2",
    # A slow device is closed soon.
    "SEENBY_SESSION_BYTES": "65536",
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

ARRIVES_WITHIN = 45.0
"""Seconds in which everything is everywhere once nothing breaks any more: what an instance had
committed and not published when it was killed is found by a comparison, every 30 seconds."""

SWEPT_WITHIN = 30.0
"""Seconds in which the outbox is empty when all its leases have run out."""

AWAY = "seenby: the database is not available"
"""The last word of a process that finds no database at its start."""


@pytest.fixture
def seed() -> int:
    """The seed of this run."""
    return int(os.environ.get(GIVEN_SEED) or secrets.randbelow(10**6))


class Faults:
    """What breaks, and how it is mended again. All of it happens in the calling thread.

    Args:
        chance: decides what breaks, and for how long.
        processes: are started again, as by a supervisor, when they find no database.
    """

    def __init__(self, chance: random.Random, processes: Sequence[Seenby]) -> None:
        self.kinds: list[Fault] = []
        self.told: list[str] = []
        self._chance = chance
        self._processes = processes
        self._broken: dict[object, tuple[float, Fault]] = {}
        self._began = time.monotonic()

    def rage(self, seconds: float) -> None:
        """Break things for so long, then mend them all."""
        end = time.monotonic() + seconds
        following = time.monotonic()
        while time.monotonic() < end:
            self._mend(time.monotonic())
            if time.monotonic() >= following:
                self._chance.choice(self.kinds)()
                following = time.monotonic() + self._chance.uniform(0.2, 2.5)
            time.sleep(0.02)
        while self._broken:
            self._mend(time.monotonic())
            time.sleep(0.02)
        wait_until(
            "every process serves", lambda: self._supervise() and all(map(alive, self._processes))
        )

    def killing(self, processes: Sequence[Seenby]) -> Fault:
        """One of them dies and is started again."""

        def fault() -> None:
            process = self._chance.choice(processes)
            if process not in self._broken:
                process.kill()
                self._break(process, f"{process.name} killed", process.process.start)

        return fault

    def draining(self, processes: Sequence[Seenby]) -> Fault:
        """One of them is told to end, does so, and is started again."""

        def fault() -> None:
            process = self._chance.choice(processes)
            if process not in self._broken and process.process.running:
                process.process.send(signal.SIGTERM)

                def back() -> None:
                    process.stop()
                    process.process.start()

                self._break(process, f"{process.name} drains", back)

        return fault

    def pausing(self, processes: Sequence[Seenby]) -> Fault:
        """One of them stands still for a while."""

        def fault() -> None:
            process = self._chance.choice(processes)
            if process not in self._broken and process.process.running:
                process.process.send(signal.SIGSTOP)
                self._break(
                    process,
                    f"{process.name} stands still",
                    lambda: process.process.send(signal.SIGCONT),
                )

        return fault

    def ending(self, server: MariaDB | Kafka, how: Callable[[], None], back: Fault) -> Fault:
        """The server ends, or stands still, until *back* mends it."""

        def fault() -> None:
            if server not in self._broken:
                how()
                self._break(server, f"{type(server).__name__} {how.__name__}", back)

        return fault

    def doing(self, what: Callable[[], object]) -> Fault:
        """Something is done that breaks nothing for long."""

        def fault() -> None:
            what()
            self._tell(what.__name__)

        return fault

    def _break(self, what: object, told: str, back: Fault) -> None:
        self._tell(told)
        self._broken[what] = (time.monotonic() + self._chance.choice([0, 0.3, 1, 3, 5]), back)

    def _mend(self, now: float) -> None:
        for what, (until, back) in list(self._broken.items()):
            if until <= now:
                back()
                del self._broken[what]
        self._supervise()

    def _supervise(self) -> bool:
        """Start what has ended because the database was away when it started."""
        for process in self._processes:
            if process not in self._broken and not process.process.running:
                last = process.process.tail().splitlines()[-1]
                assert last.startswith(AWAY), f"{process.name} has ended: {process.process.tail()}"
                self._tell(f"{process.name} found no database")
                process.process.start()
        return True

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self._began:.1f} {what}")


def alive(process: Seenby) -> bool:
    """Whether a process answers."""
    port = process.gateway_port if process.role == "gateway" else process.api_port
    try:
        return bool(get(f"http://127.0.0.1:{port}/health"))
    except OSError:
        return False


class Stage:
    """Processes, clients and readers of one test.

    Args:
        seed: of everything that is left to chance.
        database: the address of the database.
        apis: where readers mark.
        gateways: where devices connect.
    """

    def __init__(
        self, seed: int, database: str, apis: Sequence[Seenby], gateways: Sequence[Seenby]
    ) -> None:
        self.chance = random.Random(seed)
        self.ledger = Ledger(seed, apis, gateways)
        self.processes = [*apis, *(gateway for gateway in gateways if gateway not in apis)]
        self.faults = Faults(self.chance, self.processes)
        self._database = database
        self._heads: dict[str, Head] = {}
        self._clients = [
            Client(self.ledger, sender, kind, self._child(), batch=batch, slow=slow)
            for sender in self.ledger.senders
            for kind, batch, slow in DEVICES
        ]
        self._readers = [
            Reader(self.ledger, way, self._child())
            for way in ("http", "http", "batch", "socket", "socket")
        ]

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
                thread.join(60)
        assert not any(thread.is_alive() for thread in (*self._readers, *self._clients))
        self._compare_logs()
        self._assert_no_problems()

    def _settle(self) -> None:
        """Nothing breaks any more: all that was marked arrives, and the outbox empties."""
        self._wait_marks(50)
        self.ledger.peace.set()
        self.ledger.no_more_marks.set()
        for reader in self._readers:
            reader.join(60)
        with closing(open_store(self._database)) as store:
            # A mark whose reader was cut off may still be recorded now, so heads are asked again.
            following = [client for client in self._clients if client.kind != "live"]

            def all_arrived() -> bool:
                _, self._heads = store.heads(self.ledger.senders)
                return all(client.seq == self._heads[client.sender].head for client in following)

            self._wait("every device has everything", all_arrived, ARRIVES_WITHIN)
            epoch, heads = store.heads(self.ledger.senders)
            # The leases of what was killed would run out by themselves, in half a minute.
            waiting = store.connections.run(lambda link: link.rows("SELECT id FROM outbox"))
            store.release([number for (number,) in waiting])
            self._wait("the outbox is empty", lambda: store.outbox().rows == 0, SWEPT_WITHIN)
            for sender, ends in heads.items():
                self._compare_stream(store, sender, epoch, ends)
            self._compare_answers(store)

    def _wait_marks(self, count: int) -> None:
        goal = len(self.ledger.answered) + count
        self._wait("marks go on", lambda: len(self.ledger.answered) >= goal, 60)

    def _wait(self, what: str, condition: Callable[[], bool], patience: float) -> None:
        try:
            wait_until(what, condition, patience)
        except TimeoutError as error:
            places = [f"{client.name} {client.seq}" for client in self._clients]
            self.ledger.problem(f"{error}; {self._heads} {places}")
            self._assert_no_problems()

    def _compare_stream(self, store: SqlStore, sender: str, epoch: str, ends: Head) -> None:
        """Over REST: no gap, no double; as many receipts as seqs; what was pushed, was that."""
        stream: list[tuple[int, tuple[str, str]]] = []
        after: int | None = ends.floor
        with closing(Api(self.ledger.apis[0].api)) as api:
            while after is not None:
                query = f"after={after}&epoch={epoch}&limit=1000"
                status, page = api.request("GET", f"/api/v1/users/{sender}/receipts?{query}")
                assert status == 200, page
                stream += [(r["seq"], (r["msg_id"], r["reader_id"])) for r in page["receipts"]]
                after = page.get("next_after")
        [(receipts,)] = store.connections.run(
            lambda connection: connection.rows(
                f"SELECT COUNT(*) FROM receipts WHERE sender_id = '{sender}'"
            )
        )
        pushed = self.ledger.stream(sender)
        if [seq for seq, _ in stream] != list(range(ends.floor + 1, ends.head + 1)):
            self.ledger.problem(f"the stream of {sender} is not whole: {ends}")
        if receipts != ends.head or len({key for _, key in stream}) != len(stream):
            self.ledger.problem(f"{sender} has {receipts} receipts, and a stream of {ends}")
        if any(pushed.get(seq, key) != key for seq, key in stream):
            self.ledger.problem(f"devices of {sender} were sent something else than its stream")

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
            bad = [line for line in process.log_lines() if line["level"] in ("error", "critical")]
            if bad or "Traceback" in process.process.log.read_text(errors="replace"):
                self.ledger.problem(f"{process.name} logged {bad[:3]} {process.process.tail()}")

    def _assert_no_problems(self) -> None:
        ledger = self.ledger
        assert not ledger.problems, "\n".join(
            [
                f"{GIVEN_SEED}={ledger.seed}: {len(ledger.problems)} problems, the first ones:",
                *ledger.problems[:20],
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
    updates_topic = f"{topic}_updates"
    for name in (topic, updates_topic):
        kafka_server.create_topic(name)
    migrate(mariadb_url)
    settings = SETTINGS | {
        "SEENBY_DATABASE_URL": mariadb_url,
        "KAFKA_BROKERS": kafka_server.brokers,
        "READ_RECEIPT_TOPIC": topic,
        "READ_RECEIPT_UPDATES_TOPIC": updates_topic,
    }
    apis = [Seenby("api", tmp_path, settings, f"api{n}") for n in range(2)]
    gateways = [Seenby("gateway", tmp_path, settings, f"gateway{n}") for n in range(3)]
    stage = Stage(seed, mariadb_url, apis, gateways)
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
        """Processes, MariaDB and Kafka die, drain and stand still: nothing lost, all in order."""
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
            faults.rage(20)

        assert apart.ledger.failures, "no mark was under way at any fault: the test tests nothing"

    def test_the_bus_brings_everything_while_it_is_healthy(self, apart: Stage) -> None:
        """Devices come and go as they like, gateways drain: nothing has to be rescued."""
        gateways = apart.ledger.gateways
        apart.faults.kinds = [apart.faults.draining(gateways)]
        with apart.play():
            apart.faults.rage(8)

        rescued = [gateway.metric("seenby_rescued_total") for gateway in gateways]
        assert rescued == [0, 0, 0], f"{GIVEN_SEED}={apart.ledger.seed}"


class TestEmbedded:
    def test_it_is_killed_again_and_again(self, embedded: Stage) -> None:
        """Killed under load: every answered mark is there, and each device has each seq."""
        embedded.faults.kinds = [embedded.faults.killing(embedded.processes)]
        with embedded.play():
            embedded.faults.rage(8)

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
