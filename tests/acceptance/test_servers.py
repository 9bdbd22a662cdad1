"""(b)-(e) On a real MariaDB and a real Kafka, and while they and the API come and go."""

from __future__ import annotations

import http.client
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from tests.acceptance.devices import Api, Device
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Launch
    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB
    from tests.servers.seenby import Seenby


ORIGINALS_RECORD = (
    '{"msg_id":"test-msg-123","sender_id":"user123","reader_id":"user456",'
    '"conversation_id":"conv789","read_at":1704067200,"device_id":"device-abc"}'
)
"""What the original's service puts into the topic: no seq."""


class Load:
    """Readers that mark in threads and keep what was answered; a failed mark is marked again.

    Args:
        apis: where to mark; each reader takes one.
        sender: whose messages are read.
        readers: how many mark at once.
    """

    def __init__(self, apis: list[str], sender: str, readers: int = 8) -> None:
        self.answered: dict[str, int] = {}
        self.failures: dict[str, int] = defaultdict(int)
        self.slowest = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(apis[n % len(apis)], sender, n), daemon=True)
            for n in range(readers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> set[str]:
        """Let every reader finish its mark; returns what was answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()
        return set(self.answered)

    def wait(self, count: int) -> None:
        """Return when so many more marks were answered."""
        goal = len(self.answered) + count
        wait_until(f"{count} more marks", lambda: len(self.answered) >= goal, 120)

    def _read(self, url: str, sender: str, reader: int) -> None:
        api = Api(url)
        number = 0
        while not self._stop.is_set():
            msg = f"{reader}-{number}"
            began = time.monotonic()
            try:
                status, document = api.request(
                    "POST",
                    "/api/v1/messages/read",
                    {
                        "msg_id": msg,
                        "reader_id": f"reader{reader}",
                        "sender_id": sender,
                        "conversation_id": "c",
                    },
                )
            except (OSError, http.client.HTTPException) as error:
                self._failed(type(error).__name__)
                continue
            if status != 200:
                self._failed(document["code"])
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            with self._lock:
                self.answered[msg] = document["receipt"]["id"]
            number += 1
        api.close()

    def _failed(self, why: str) -> None:
        with self._lock:
            self.failures[why] += 1
        time.sleep(0.02)


def all_arrived(device: Device, answered: set[str]) -> Callable[[Device], bool]:
    """Whether *device* has everything that was answered."""
    return lambda d: answered <= {receipt["msg_id"] for receipt in d.receipts}


def assert_whole(device: Device, answered: set[str]) -> None:
    """Each answered mark arrived, each seq once, in order, without a hole."""
    device.wait("all that was answered", all_arrived(device, answered), 120)
    assert device.seqs == list(range(1, len(device.seqs) + 1))
    messages = [receipt["msg_id"] for receipt in device.receipts]
    assert len(messages) == len(set(messages))


class TestApart:
    def test_one_api_two_gateways_three_devices(
        self, launch: Launch, servers: dict[str, str]
    ) -> None:
        """(b) Three devices over two gateways, one offline and back later: each gets all."""
        first = launch("serve", "migrator", SEENBY_DATABASE_URL=servers["SEENBY_DATABASE_URL"])
        first.stop()
        api = launch("api", **servers)
        one = launch("gateway", "one", **servers)
        two = launch("gateway", "two", **servers)
        reader = Api(api.api)
        everything = list(range(1, 101))
        with (
            Device(one.gateway, "sender", "phone") as phone,
            Device(two.gateway, "sender", "pc", hello={}) as pc,
        ):
            with Device(two.gateway, "sender", "tablet", hello={}) as tablet:
                for number in range(1, 31):
                    reader.mark(f"m{number}", "reader", "sender")
                tablet.wait_receipts(30)
                tablet.send({"type": "ack", "seq": 30})
            for number in range(31, 101):
                reader.mark(f"m{number}", "reader", "sender")
            phone.wait_receipts(100)
            pc.wait_receipts(100)
            with Device(one.gateway, "sender", "tablet", hello={}) as tablet_again:
                tablet_again.wait_receipts(70)

        reader.close()
        assert phone.seqs == everything
        assert pc.seqs == everything
        assert tablet.seqs == everything[:30]
        assert tablet_again.seqs == everything[30:]
        for gateway in (one, two):
            assert gateway.metric("seenby_rescued_total") == 0

    def test_two_apis_marking_for_one_sender(
        self, launch: Launch, servers: dict[str, str], migrated: None
    ) -> None:
        """Two API processes mark for the same sender at once: one order, nothing lost."""
        apis = [launch("api", f"api{n}", **servers) for n in range(2)]
        gateway = launch("gateway", **servers)
        with Device(gateway.gateway, "sender", "phone", hello={"batch": True}) as phone:
            load = Load([api.api for api in apis], "sender")
            load.wait(500)
            answered = load.stop()
            assert_whole(phone, answered)

        assert not load.failures
        assert gateway.metric("seenby_rescued_total") == 0

    def test_another_producer_on_the_topic(
        self,
        launch: Launch,
        servers: dict[str, str],
        migrated: None,
        kafka_server: Kafka,
        topic: str,
    ) -> None:
        """The original's record is pushed live; what nobody can read is a dead letter; on it goes.

        The records are in one partition, the unreadable one first.
        """
        kafka_server.create_topic(f"{topic}.dlq", partitions=1)
        api, gateway = launch("api", **servers), launch("gateway", **servers)
        reader = Api(api.api)
        other = Producer({"bootstrap.servers": kafka_server.brokers, "partitioner": "fnv1a"})
        with Device(gateway.gateway, "user123", "phone", hello={}) as phone:
            phone.wait("welcome", lambda d: bool(d.of("welcome")))
            for value in ("no JSON", ORIGINALS_RECORD):
                other.produce(topic, key="user123", value=value)
            assert other.flush(30) == 0
            phone.wait_receipts(1)
            reader.mark("m1", "user456", "user123")
            phone.wait_receipts(2)
        reader.close()
        theirs, ours = phone.receipts

        assert (theirs["msg_id"], theirs["read_at"]) == ("test-msg-123", 1704067200)
        assert "seq" not in theirs
        assert (ours["msg_id"], ours["seq"]) == ("m1", 1)
        assert kafka_server.console_consumer(f"{topic}.dlq") == ["no JSON"]

    def test_the_console_consumer_of_kafka_shows_the_event(
        self,
        launch: Launch,
        servers: dict[str, str],
        migrated: None,
        kafka_server: Kafka,
        topic: str,
    ) -> None:
        """The original's check with kafka-console-consumer shows the seed's JSON, and seq."""
        api = launch("api", **servers)
        reader = Api(api.api)
        receipt = reader.mark("test-msg-123", "user456", "user123", "conv789")
        reader.close()
        [line] = kafka_server.console_consumer(topic, count=1)
        seconds = time.mktime(time.strptime(receipt["read_at"], "%Y-%m-%dT%H:%M:%SZ"))

        assert line == (
            '{"msg_id":"test-msg-123","sender_id":"user123","reader_id":"user456",'
            f'"conversation_id":"conv789","read_at":{int(seconds - time.timezone)},'
            '"device_id":"","seq":1}'
        )


class TestFaults:
    def test_the_api_is_killed_again_and_again(
        self, launch: Launch, servers: dict[str, str], migrated: None
    ) -> None:
        """(c) kill -9 under load, five times: what was answered arrives once, in order."""
        api = launch("api", **servers)
        gateway = launch("gateway", **servers)
        with (
            Device(gateway.gateway, "sender", "phone") as phone,
            Device(gateway.gateway, "sender", "pc", hello={"batch": True}) as pc,
        ):
            load = Load([api.api], "sender")
            for _ in range(5):
                load.wait(150)
                api.kill()
                api.start()
            load.wait(100)
            answered = load.stop()
            assert_whole(phone, answered)
            assert_whole(pc, answered)

        assert load.failures, "no mark was under way at any kill: the test tests nothing"

    def test_a_gateway_is_killed(
        self, launch: Launch, servers: dict[str, str], migrated: None
    ) -> None:
        """A gateway is killed under load: the device resumes on another one, nothing is lost."""
        api = launch("api", **servers)
        one = launch("gateway", "one", **servers)
        two = launch("gateway", "two", **servers)
        device = Device(one.gateway, "sender", "pc", hello={})
        load = Load([api.api], "sender")
        device.wait_receipts(200)
        one.kill()
        device.wait("the cut", lambda d: d.closed is not None)
        device.close()
        seqs = device.seqs
        epoch = device.of("welcome")[0]["epoch"]
        hello = {"epoch": epoch, "seq": seqs[-1], "batch": True}
        with Device(two.gateway, "sender", "pc", hello=hello) as again:
            load.wait(100)
            answered = load.stop()
            have = {receipt["msg_id"] for receipt in device.receipts}
            again.wait("the rest", all_arrived(again, answered - have), 120)

        assert seqs + again.seqs == list(range(1, len(seqs) + len(again.seqs) + 1))

    def test_kafka_stops_for_a_while(
        self,
        launch: Launch,
        servers: dict[str, str],
        migrated: None,
        restartable_kafka: Kafka,
    ) -> None:
        """(d) Without Kafka marks are answered and pushed all the same; the outbox drains later."""
        api = launch("api", **servers)
        gateway = launch("gateway", **servers)
        with Device(gateway.gateway, "sender", "phone", hello={"batch": True}) as phone:
            load = Load([api.api], "sender", readers=4)
            load.wait(100)
            restartable_kafka.stop()
            load.wait(300)
            during = set(load.answered)
            phone.wait("what was marked meanwhile", all_arrived(phone, during), 90)
            wait_until("the outbox fills", lambda: api.metric("seenby_outbox_rows") > 0)
            restartable_kafka.start()
            load.wait(100)
            answered = load.stop()
            assert_whole(phone, answered)
            wait_until("the outbox is empty", lambda: outbox_is_empty(api), 90)

        assert not load.failures

    def test_everything_starts_without_kafka(
        self,
        launch: Launch,
        servers: dict[str, str],
        migrated: None,
        restartable_kafka: Kafka,
    ) -> None:
        """API and gateway start without Kafka, serve, and use it when it comes."""
        restartable_kafka.stop()
        api = launch("api", **servers)
        gateway = launch("gateway", **servers)
        reader = Api(api.api)
        with Device(gateway.gateway, "sender", "phone") as phone:
            reader.mark("m1", "reader", "sender")
            phone.wait_receipts(1)
            restartable_kafka.start()
            wait_until("the outbox is empty", lambda: outbox_is_empty(api), 90)
            reader.mark("m2", "reader", "sender")
            phone.wait_receipts(2)

        reader.close()
        assert phone.seqs == [1, 2]

    def test_mariadb_restarts(
        self,
        launch: Launch,
        servers: dict[str, str],
        migrated: None,
        restartable_mariadb: MariaDB,
    ) -> None:
        """(e) MariaDB away: 503 and nothing recorded; back: everything goes on by itself."""
        api = launch("api", SEENBY_STORE_RETRY="1", **servers)
        gateway = launch("gateway", **servers)
        with Device(gateway.gateway, "sender", "phone") as phone:
            load = Load([api.api], "sender", readers=4)
            load.wait(100)
            restartable_mariadb.stop()
            wait_until("a mark is refused", lambda: load.failures["store_unavailable"] > 0)
            restartable_mariadb.start()
            load.wait(200)
            restartable_mariadb.kill()
            restartable_mariadb.start()
            load.wait(200)
            answered = load.stop()
            assert_whole(phone, answered)

        assert set(load.failures) == {"store_unavailable"}


def outbox_is_empty(api: Seenby) -> bool:
    """Whether the API says that nothing is left to publish."""
    return api.metric("seenby_outbox_rows") == 0
