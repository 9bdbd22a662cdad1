"""Conversations as a chat uses them: its backend, its users' requests, and their devices.

On API and gateway apart with MariaDB and Kafka, and on one process with SQLite; tokens are asked
for. Each test has people and a group of its own.
"""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from seenby.store.schema import migrate
from tests.acceptance.devices import Api, Device
from tests.acceptance.test_auth import SECRET, token
from tests.servers.seenby import Seenby
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB

SETTINGS = {
    "SEENBY_AUTH": "jwt",
    "SEENBY_JWT_SECRET": SECRET,
    "SEENBY_AGGREGATE_OVER": "6",
    "SEENBY_COUNT_HIDDEN": "true",
}

numbers = itertools.count()


class Chat:
    """A group and its messages, asked by tokens of its users and of its backend.

    Args:
        api: where requests go.
        gateway: where devices connect.
        count: how many members; the first one is ``alice``, who sends, then ``bob`` and others.
    """

    def __init__(self, api: str, gateway: str, count: int = 5) -> None:
        number = next(numbers)
        names = ["alice", "bob", "carol", "dan", "eve", "fay", "gus", "hal", "ivy", "joe"]
        self.members = [f"{name}{number}" for name in names[:count]]
        self.alice, self.bob, self.carol, self.dan, *_ = self.members
        self.where = f"group{number}"
        self.number = number
        self._api = api
        self._gateway = gateway
        body = {"type": "group", "members": self.members}
        assert self.ok("", "PUT", f"conversations/{self.where}", body)["member_count"] == count

    def ask(self, user: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer, as a user; "" is the chat's backend."""
        bearer = token(user) if user else token("backend", scope="service")
        with closing(Api(self._api, bearer)) as link:
            return link.request(method, f"/api/v1/{path}", body)

    def ok(self, user: str, method: str, path: str, body: object = None) -> Any:
        """The answer to what is not refused."""
        status, answer = self.ask(user, method, path, body)
        assert status == 200, answer
        return answer

    def refused(self, user: str, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, answer = self.ask(user, method, path, body)
        assert answer["success"] is False
        return status, answer["code"]

    def send(self, count: int = 1) -> list[str]:
        """Alice's next messages, registered."""
        msg_ids = [f"m{next(numbers)}" for _ in range(count)]
        messages = [
            {"msg_id": msg_id, "conversation_id": self.where, "sender_id": self.alice}
            for msg_id in msg_ids
        ]
        for result in self.ok("", "POST", "messages/batch", {"messages": messages})["results"]:
            assert result["success"] is True
        return msg_ids

    def mark(self, msg_id: str, reader: str, **more: str) -> Any:
        """The receipt of a mark that names as little as it may."""
        body = {"msg_id": msg_id, "reader_id": reader, **more}
        return self.ok(reader, "POST", "messages/read", body)["receipt"]

    def withdraw(self, msg_id: str, reader: str) -> Any:
        """Take a receipt back."""
        body = {"msg_id": msg_id, "reader_id": reader}
        return self.ok(reader, "DELETE", "messages/read", body)["receipt"]

    def unread(self, user: str) -> int:
        """How much a user has not read, in all."""
        count: int = self.ok(user, "GET", f"messages/unread/count?user_id={user}")["count"]
        return count

    def seen(self, msg_id: str, *, unread: bool = False) -> Any:
        """What the sender is told of who has read a message, or has not."""
        more = "&unread=true" if unread else ""
        return self.ok(self.alice, "GET", f"messages/receipts?msg_id={msg_id}{more}")

    def readers(self, msg_id: str) -> list[str]:
        """By whom a message was read, as its sender is told."""
        return [receipt["reader_id"] for receipt in self.seen(msg_id)["receipts"]]

    def device(self, user: str, device: str = "pc", *, batch: bool = False) -> Device:
        """A device of seenby.v1 that is connected."""
        hello = {"device_id": device, "batch": batch}
        opened = Device(self._gateway, token=token(user), hello=hello)
        return opened.wait("welcome", lambda d: bool(d.of("welcome")))

    def silent(self, user: str) -> Device:
        """A device that knows the original's frames only."""
        return Device(self._gateway, device="old", token=token(user))


class Servers:
    """Where the processes are.

    Args:
        processes: API and gateway, or one that is both.
        brokers: Kafka's; "" where there is none.
    """

    def __init__(self, processes: list[Seenby], brokers: str) -> None:
        self.processes = processes
        self.brokers = brokers

    def chat(self, count: int = 5) -> Chat:
        """A new group."""
        return Chat(self.processes[0].api, self.processes[-1].gateway, count)


@pytest.fixture(scope="module")
def mariadb_and_kafka(mariadb_server: MariaDB, kafka_server: Kafka) -> Iterator[dict[str, str]]:
    """Settings for a fresh database and fresh topics."""
    url = mariadb_server.database()
    migrate(url)
    topic = kafka_server.topic()
    topics = {
        "READ_RECEIPT_TOPIC": topic,
        "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_updates",
        "KAFKA_GROUP_MSG_TOPIC": f"{topic}_messages",
    }
    for name in topics.values():
        kafka_server.create_topic(name)
    yield {"SEENBY_DATABASE_URL": url, "KAFKA_BROKERS": kafka_server.brokers, **topics}
    mariadb_server.drop(url)


@pytest.fixture(scope="module", params=["apart", "embedded"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """API and gateway on MariaDB and Kafka, or one process on SQLite."""
    folder = tmp_path_factory.mktemp(request.param)
    settings, roles = SETTINGS, ["serve"]
    if request.param == "apart":
        settings, roles = (
            SETTINGS | request.getfixturevalue("mariadb_and_kafka"),
            ["api", "gateway"],
        )
    processes = [Seenby(role, folder, settings).start() for role in roles]
    yield Servers(processes, settings.get("KAFKA_BROKERS", ""))
    for process in processes:
        process.kill()


@pytest.fixture
def chat(servers: Servers) -> Chat:
    """A group of five: Alice sends, Bob, Carol, Dan and Eve read."""
    return servers.chat()


class TestRegistering:
    def test_who_may_mark(self, chat: Chat) -> None:
        """(1) The sender is filled in, a wrong one is refused, and so is who was not there."""
        [msg_id] = chat.send()
        receipt = chat.mark(msg_id, chat.bob)
        stranger = f"stranger{chat.number}"
        wrong = {"msg_id": msg_id, "reader_id": chat.carol, "sender_id": chat.bob}
        theirs = {"msg_id": msg_id, "reader_id": stranger}
        unknown = {"msg_id": msg_id, "conversation_id": chat.where, "sender_id": stranger}

        assert (receipt["sender_id"], receipt["conversation_id"]) == (chat.alice, chat.where)
        assert chat.refused(chat.carol, "POST", "messages/read", wrong) == (422, "mismatch")
        assert chat.refused(stranger, "POST", "messages/read", theirs) == (403, "forbidden")
        assert chat.refused(chat.bob, "POST", "messages", unknown) == (403, "forbidden")
        assert chat.refused("", "POST", "messages", unknown) == (409, "conflict")

    def test_the_audience_is_fixed(self, chat: Chat) -> None:
        """(1) Who comes later changes no "of"; who leaves is counted only where they have read."""
        first, second = chat.send(2)
        chat.mark(first, chat.carol)
        change = {"add": [f"late{chat.number}"], "remove": [chat.carol]}
        chat.ok("", "POST", f"conversations/{chat.where}/members", change)

        wait_until("the leaver is settled", lambda: chat.seen(second)["member_count"] == 3)
        assert chat.seen(first)["member_count"] == 4
        members = chat.ok("", "GET", f"conversations/{chat.where}/members")["members"]
        assert members == sorted({*chat.members, *change["add"]} - {chat.carol})

    def test_only_the_backend_registers(self, chat: Chat) -> None:
        """Registering and erasing is for service tokens only; said again it changes nothing."""
        body = {"type": "group", "members": chat.members}
        path = f"conversations/{chat.where}"
        for method, place, what in (
            ("PUT", path, body),
            ("GET", path, None),
            ("POST", f"{path}/members", {"add": [chat.bob]}),
            ("DELETE", f"users/{chat.bob}", None),
        ):
            assert chat.refused(chat.bob, method, place, what) == (403, "forbidden")
        assert chat.ok("", "PUT", path, body) == chat.ok("", "GET", path)


class TestReceipts:
    def test_read_of(self, chat: Chat) -> None:
        """(2) Frames and pages say how many of how many; who has not read is told to the sender."""
        [msg_id] = chat.send()
        with chat.device(chat.alice) as pc, chat.silent(chat.alice) as old:
            for reader in (chat.bob, chat.carol):
                chat.mark(msg_id, reader)
            for device in (pc, old):
                device.wait_receipts(2)
                told = [(r["reader_id"], r["read"], r["of"]) for r in device.receipts]
                assert told == [(chat.bob, 1, 4), (chat.carol, 2, 4)]

        page, missing = chat.seen(msg_id), chat.seen(msg_id, unread=True)
        assert (page["count"], page["member_count"]) == (2, 4)
        assert chat.readers(msg_id) == [chat.bob, chat.carol]
        assert missing["unread"] == chat.members[3:]
        theirs = chat.ok(chat.bob, "GET", f"messages/receipts?msg_id={msg_id}")
        assert (theirs["count"], theirs["receipts"]) == (0, [])

    def test_unread(self, chat: Chat) -> None:
        """(3) What a user has not read is counted by conversation, and listed in order, by page."""
        msg_ids = chat.send(5)
        chat.mark(msg_ids[1], chat.bob)
        counts = chat.ok(chat.bob, "GET", f"messages/unread/count?user_id={chat.bob}")
        path = f"messages/unread?user_id={chat.bob}&limit=3"
        first = chat.ok(chat.bob, "GET", path)
        second = chat.ok(chat.bob, "GET", f"{path}&offset={first['next_offset']}")

        [here] = counts["conversations"]
        assert (counts["count"], here["conversation_id"], here["count"]) == (4, chat.where, 4)
        listed = [each["msg_id"] for page in (first, second) for each in page["messages"]]
        assert listed == [msg_ids[0], *msg_ids[2:]]
        assert chat.unread(chat.alice) == 0

    def test_a_whole_conversation(self, chat: Chat) -> None:
        """(4) Read up to a message, then the rest, then nothing; clients of batches get few."""
        msg_ids = chat.send(1000)
        with chat.device(chat.alice, batch=True) as pc:
            body = {"user_id": chat.bob, "conversation_id": chat.where}
            rows = [
                chat.ok(chat.bob, "POST", "conversations/read", each)["rows_affected"]
                for each in (body | {"up_to_msg_id": msg_ids[99]}, body, body)
            ]
            pc.wait_receipts(1000)
            frames = len(pc.frames)

        assert rows == [100, 900, 0]
        assert pc.seqs == list(range(1, 1001))
        assert [receipt["msg_id"] for receipt in pc.receipts] == msg_ids
        assert frames < 40
        assert chat.unread(chat.bob) == 0

    def test_own_devices(self, chat: Chat) -> None:
        """(5) The reader's other devices are told what is unread now; silent ones are not."""
        first, _, last = chat.send(3)
        with chat.device(chat.bob) as pc, chat.silent(chat.bob) as old:
            chat.mark(first, chat.bob, device_id="phone")
            body = {"user_id": chat.bob, "conversation_id": chat.where}
            chat.ok(chat.bob, "POST", "conversations/read", body)
            pc.wait("both", lambda d: len(d.of("read_self")) == 2)
            with chat.device(chat.bob, "tablet") as tablet:
                tablet.wait("both", lambda d: len(d.of("read_self")) == 2)
            one, all_of_it = pc.of("read_self")

        assert (one["msg_id"], one["unread"], one["device_id"]) == (first, 2, "phone")
        assert "up_to" not in one
        assert (all_of_it["msg_id"], all_of_it["unread"], all_of_it["up_to"]) == (last, 0, True)
        assert [frame["seq"] for frame in tablet.of("read_self")] == [1, 2]
        assert old.frames == []


class TestTakingBack:
    def test_both_sides_are_told(self, chat: Chat) -> None:
        """(6) The receipt goes, counts follow, both sides are told; a new mark is a new receipt."""
        [msg_id] = chat.send()
        with chat.device(chat.alice) as pc, chat.device(chat.bob) as own:
            first = chat.mark(msg_id, chat.bob)
            assert chat.withdraw(msg_id, chat.bob) == first
            body = {"msg_id": msg_id, "reader_id": chat.bob}
            again = chat.refused(chat.bob, "DELETE", "messages/read", body)
            assert chat.seen(msg_id)["count"] == 0
            assert chat.unread(chat.bob) == 1
            second = chat.mark(msg_id, chat.bob)
            pc.wait_receipts(2)
            own.wait("both", lambda d: len(d.of("read_self")) == 2)
            [withdrawn], [unread] = pc.of("read_withdrawn"), own.of("unread_self")

        assert again == (404, "not_found")
        assert second["id"] > first["id"]
        assert (withdrawn["reader_id"], withdrawn["read"], withdrawn["of"]) == (chat.bob, 0, 4)
        assert (unread["msg_id"], unread["unread"]) == (msg_id, 1)
        assert [receipt["read"] for receipt in pc.receipts] == [1, 1]


class TestPrivacy:
    def test_who_hides_is_counted_without_a_name(self, chat: Chat, servers: Servers) -> None:
        """(7) No name in frames, pages or logs; the reader's own count and devices as ever."""
        [msg_id] = chat.send()
        hide = {"send_receipts": False, "conversation_id": chat.where}
        chat.ok(chat.dan, "PUT", f"users/{chat.dan}/settings", hide)
        with chat.device(chat.alice) as pc, chat.device(chat.dan) as own:
            chat.mark(msg_id, chat.dan)
            pc.wait("the count", lambda d: bool(d.of("read_count")))
            own.wait("their own", lambda d: bool(d.of("read_self")))
            [count] = pc.of("read_count")
            frames = json.dumps(pc.frames)
        page, missing = chat.seen(msg_id), chat.seen(msg_id, unread=True)
        stream = chat.ok(chat.alice, "GET", f"users/{chat.alice}/receipts")
        policy = chat.ok(chat.dan, "GET", f"users/{chat.dan}/policy?conversation_id={chat.where}")

        assert (count["read"], count["of"]) == (1, 4)
        assert (page["count"], page["receipts"]) == (1, [])
        # As if unread: a name that was missing here would tell.
        assert chat.dan in missing["unread"]
        assert chat.unread(chat.dan) == 0
        assert chat.dan not in frames + json.dumps([page, stream])
        assert policy["send_receipts"] is False
        assert policy["decided_by"] == "conversation"
        assert policy["counted_without_name"] is True
        assert len(policy["why"]) == 3
        for process in servers.processes:
            assert chat.dan not in process.process.log.read_text(encoding="utf-8")


class TestLargeGroups:
    def test_counts_instead_of_names(self, servers: Servers) -> None:
        """(8) The first reader is told at once, the last one always, and no name but over REST."""
        chat = servers.chat(10)
        [msg_id] = chat.send()
        with chat.device(chat.alice) as pc, chat.silent(chat.alice) as old:
            for reader in chat.members[1:]:
                chat.mark(msg_id, reader)
            pc.wait("the last one", lambda d: bool(d.frames) and d.frames[-1].get("read") == 9)
            counts = [(frame["read"], frame["of"]) for frame in pc.of("read_count")]

        assert counts[0] == (1, 9)
        assert counts[-1] == (9, 9)
        assert counts == sorted(set(counts))
        assert pc.receipts == old.frames == []
        assert chat.readers(msg_id) == chat.members[1:]


class TestErasing:
    def test_a_person_is_gone(self, chat: Chat) -> None:
        """(9) A person leaves receipts, streams and devices; the counts are right without them."""
        msg_ids = chat.send(2)
        with chat.device(chat.bob) as own:
            for msg_id in msg_ids:
                chat.mark(msg_id, chat.bob)
                chat.mark(msg_id, chat.carol)
            own.wait("their own", lambda d: len(d.of("read_self")) == 2)
            own.send({"type": "ack", "seq": 2})
        chat.ok("", "DELETE", f"users/{chat.bob}")
        stream = chat.ok(chat.alice, "GET", f"users/{chat.alice}/receipts")
        theirs = chat.ok("", "GET", f"users/{chat.bob}/receipts")

        for msg_id in msg_ids:
            page = chat.seen(msg_id)
            assert (page["count"], page["member_count"]) == (1, 3)
            assert chat.readers(msg_id) == [chat.carol]
        assert [r["seq"] for r in stream["receipts"]] == [2, 4]
        assert chat.bob not in json.dumps(stream)
        assert theirs["receipts"] == theirs.get("updates", []) == []
        with chat.device(chat.alice, "new") as new:
            new.wait_receipts(2)
            assert new.seqs == [2, 4]


@pytest.mark.parametrize("servers", ["apart"], indirect=True)
class TestTheChatsTopic:
    def test_a_record_registers_a_message(
        self, servers: Servers, mariadb_and_kafka: dict[str, str]
    ) -> None:
        """A message of the chat's topic is registered by itself, and marked without a sender."""
        chat = servers.chat()
        msg_id = f"topic{chat.number}"
        record = {"msg_id": msg_id, "group_id": chat.where, "sender_id": chat.alice}
        producer = Producer({"bootstrap.servers": servers.brokers})
        value = json.dumps(record | {"timestamp": 1704067200})
        producer.produce(mariadb_and_kafka["KAFKA_GROUP_MSG_TOPIC"], value, chat.where)
        assert producer.flush(30) == 0
        wait_until("it is registered", lambda: chat.unread(chat.bob) == 1)
        with chat.device(chat.alice) as pc:
            receipt = chat.mark(msg_id, chat.bob)
            pc.wait_receipts(1)

        assert (receipt["sender_id"], receipt["conversation_id"]) == (chat.alice, chat.where)
        assert (pc.receipts[0]["read"], pc.receipts[0]["of"]) == (1, 4)
