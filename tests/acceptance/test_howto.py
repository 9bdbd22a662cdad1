"""docs/howto: the commands of chat-backend.md as they stand, and what both pages say in words.

Beside what ``tests.docs.reader`` says: who watches has a terminal of their own, and a block of
frames is what some terminal shows next. Addresses and topics are the test's own.
"""

from __future__ import annotations

import shlex
import sys
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.devices import Api
from tests.docs.pages import DOCS, Block, blocks_of
from tests.docs.reader import Reader, form
from tests.servers.kafka import program
from tests.servers.ports import free_port
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Launch
    from tests.servers.kafka import Kafka
    from tests.servers.process import ServerProcess

    Read = Callable[..., "Backend"]
    Start = Callable[..., "Chat"]

FROM_KAFKA = "Messages from Kafka"
SERVE = "seenby serve"


def blocks() -> list[Block]:
    """All blocks of the page, in order."""
    return list(blocks_of(DOCS / "howto/chat-backend.md"))


def frames(block: Block) -> bool:
    """Whether it is what a socket is sent."""
    return block.text.startswith('{"type":')


def serves(block: Block) -> bool:
    """Whether it starts seenby."""
    return block.text.strip() == "make run" or block.text.strip().endswith(SERVE)


class Watch:
    """A terminal in which somebody watches; ``shown`` lines of it are on the page so far."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.shown = 0
        wait_until("it is connected", lambda: "connected" in self._log())

    def rest(self) -> list[str]:
        """The frames that the page has not shown yet."""
        told = [line for line in self._log().splitlines() if line.startswith("{")]
        return [form(line) for line in told[self.shown :]]

    def _log(self) -> str:
        return self.process.log.read_text(encoding="utf-8")


class Backend(Reader):
    """Somebody who does what the page says, and watches in terminals what it says they show.

    Args:
        folder: where.
        settings: of the shell, from the start.
        instead: what is the reader's own: addresses and topics, by what the page says.
        apart: API and gateway are two processes.
    """

    def __init__(
        self, folder: Path, settings: dict[str, str], instead: dict[str, str], *, apart: bool
    ) -> None:
        api, gateway = free_port(), free_port()
        roles = {"seenby api": (api,), "seenby gateway": (gateway,)}
        self.watches: list[Watch] = []
        self._roles = roles if apart else {SERVE: (api, gateway)}
        super().__init__(
            folder,
            {"localhost:8080": f"127.0.0.1:{api}", **instead},
            self._roles,
            settings={
                "SEENBY_API_PORT": str(api),
                "SEENBY_GATEWAY_PORT": str(gateway),
                "SEENBY_DRAIN_SECONDS": "0.5",
                **settings,
            },
            later=[FROM_KAFKA],
        )
        (folder / ".venv").symlink_to(sys.prefix)

    def do(self, block: Block, answer: str) -> None:
        """Start seenby, watch, or run a command."""
        command = self.mine(block.text).strip()
        if serves(block):
            command = command.replace("make run", ".venv/bin/seenby serve")
            for role in self._roles:
                self.stop(role)
            for role in self._roles:
                self.start(role, command.replace(SERVE, role))
        elif " watch " in command:
            terminal = self.terminal(f"watch-{len(self.watches)}", command)
            self.watches.append(Watch(terminal))
        else:
            super().do(block, answer)

    def is_answer(self, block: Block) -> bool:
        """Frames are no answer: some terminal shows them."""
        return super().is_answer(block) and not frames(block)

    def see(self, block: Block) -> None:
        """Some terminal shows these frames next."""
        if not frames(block):
            return
        wanted = [form(line) for line in block.text.splitlines()]

        def shown() -> bool:
            for watch in self.watches:
                if watch.rest()[: len(wanted)] == wanted:
                    watch.shown += len(wanted)
                    return True
            return False

        try:
            wait_until("a terminal shows it", shown)
        except TimeoutError:
            raise AssertionError((wanted, [watch.rest() for watch in self.watches])) from None

    def close(self) -> None:
        """Close all terminals."""
        super().close()
        for watch in self.watches:
            watch.process.kill()


@pytest.fixture
def reader(tmp_path: Path, kafka_server: Kafka, topic: str) -> Iterator[Read]:
    """``reader(settings, apart=...)``: one with Kafka's programs and topics of their own."""
    readers: list[Backend] = []
    (tmp_path / "bin").mkdir()
    for name, main in (
        ("kafka-console-producer.sh", "org.apache.kafka.tools.ConsoleProducer"),
        ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ):
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(program(main))} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    topics = {
        "read_receipt_events": topic,
        "read_receipt_updates": f"{topic}_updates",
        "group_msg": f"{topic}_messages",
    }

    def make(settings: dict[str, str], *, apart: bool = False) -> Backend:
        names = ("READ_RECEIPT_TOPIC", "READ_RECEIPT_UPDATES_TOPIC", "KAFKA_GROUP_MSG_TOPIC")
        mine = dict(zip(names, topics.values(), strict=True)) | {"KAFKA_GROUP_ID": topic}
        instead = {"localhost:9092": kafka_server.brokers, **topics}
        readers.append(Backend(tmp_path, mine | settings, instead, apart=apart))
        return readers[-1]

    yield make
    for each in readers:
        each.close()


def unseen(reader: Backend) -> list[str]:
    """The frames that came and are not on the page."""
    return [line for watch in reader.watches for line in watch.rest()]


def test_the_page_is_as_it_says(reader: Read) -> None:
    """Each command answers what the page shows, and each frame that comes is on the page."""
    one = reader({})
    one.follow(blocks())

    assert unseen(one) == []


def test_the_page_on_mariadb_and_kafka(reader: Read, mariadb_url: str) -> None:
    """The same commands have the same answers on API, gateway, MariaDB and Kafka."""
    page = blocks()
    one = reader({"SEENBY_DATABASE_URL": mariadb_url}, apart=True)
    one.run(".venv/bin/seenby migrate")
    from_kafka = (block for block in page if block.heading == FROM_KAFKA)
    topics = list(takewhile(lambda block: not serves(block), from_kafka))
    one.follow(topics)
    one.follow([block for block in page if block not in topics])

    assert unseen(one) == []


class Chat:
    """A group of alice and four readers, over HTTP."""

    def __init__(self, url: str) -> None:
        self.api = Api(url)
        self.members("alice", "bob", "carol", "dan", "eve")
        self.send("m1")

    def ask(self, method: str, path: str, body: object = None, expect: int = 200) -> Any:
        """The answer, which must have this status."""
        status, answer = self.api.request(method, f"/api/v1/{path}", body)
        assert status == expect, answer
        return answer

    def members(self, *user_ids: str) -> Any:
        """These are the members."""
        group = {"type": "group", "members": user_ids}
        return self.ask("PUT", "conversations/team", group)

    def send(self, msg_id: str, sender: str = "alice", **more: str) -> Any:
        """Register a message."""
        message = {"msg_id": msg_id, "conversation_id": "team", "sender_id": sender}
        return self.ask("POST", "messages", message | more)

    def mark(self, msg_id: str, reader: str, expect: int = 200, **more: str) -> Any:
        """Mark as read."""
        return self.ask(
            "POST", "messages/read", {"msg_id": msg_id, "reader_id": reader, **more}, expect
        )

    def hide(self, user_id: str) -> None:
        """Somebody hides."""
        self.ask("PUT", f"users/{user_id}/settings", {"send_receipts": False})

    def read_of(self, msg_id: str, viewer: str = "alice") -> tuple[int, int]:
        """How many have read a message, of how many."""
        answer = self.ask("GET", f"messages/receipts?msg_id={msg_id}&user_id={viewer}")
        return answer["count"], answer["member_count"]

    def unread(self, user_id: str) -> int:
        """How much somebody has not read."""
        count: int = self.ask("GET", f"messages/unread/count?user_id={user_id}")["count"]
        return count


@pytest.fixture
def start(launch: Launch) -> Iterator[Start]:
    """``start(**settings)``: the chat on a server with these settings."""
    chats: list[Chat] = []

    def make(**settings: str) -> Chat:
        chats.append(Chat(launch("serve", **settings).api))
        return chats[-1]

    yield make
    for chat in chats:
        chat.api.close()


class TestWhenToCall:
    def test_every_call_may_be_repeated(self, start: Start) -> None:
        """A repeat of members or of a message changes nothing; another sender is refused."""
        chat = start()
        before = chat.members("alice", "bob", "carol", "dan", "eve")
        change = {"add": ["bob"], "remove": ["zoe"]}
        first = chat.send("m1")

        assert chat.ask("POST", "conversations/team/members", change) == before
        assert chat.send("m1") == first
        other = {"msg_id": "m1", "conversation_id": "team", "sender_id": "bob"}
        assert chat.ask("POST", "messages", other, expect=409)["code"] == "conflict"

    def test_the_conversation_comes_first(self, start: Start) -> None:
        """A message of a conversation that is not registered is refused with 404."""
        message = {"msg_id": "m9", "conversation_id": "nowhere", "sender_id": "alice"}

        assert start().ask("POST", "messages", message, expect=404)["code"] == "not_found"

    def test_a_mark_that_overtakes_its_message(self, start: Start) -> None:
        """It counts when the message is registered, if it names sender and conversation."""
        chat = start()
        chat.mark("m2", "bob", sender_id="alice", conversation_id="team")
        chat.mark("m2", "carol", expect=400)
        chat.send("m2")

        assert chat.read_of("m2") == (1, 4)
        assert (chat.unread("bob"), chat.unread("carol")) == (1, 2)

    def test_registered_messages_only(self, start: Start) -> None:
        """With SEENBY_UNREGISTERED=reject a mark that overtakes its message is answered 404."""
        chat = start(SEENBY_UNREGISTERED="reject")

        chat.mark("m2", "bob", expect=404, sender_id="alice", conversation_id="team")

    def test_back_filling_in_silence(self, start: Start) -> None:
        """With receipts forced off unread counts follow, and no sender is told or counts."""
        chat = start(SEENBY_RECEIPTS_FORCED="off", SEENBY_SYNC_READER="false")
        up_to = {"user_id": "bob", "conversation_id": "team", "up_to_msg_id": "m1"}
        chat.send("m2", sent_at="2026-01-01T00:00:00Z")

        assert chat.ask("POST", "conversations/read", up_to)["rows_affected"] == 1
        assert chat.unread("bob") == 1
        assert chat.read_of("m1") == (0, 4)
        assert [chat.ask("GET", f"users/{u}/receipts")["head"] for u in ("alice", "bob")] == [0, 0]

    def test_who_comes_and_goes(self, start: Start) -> None:
        """Bots send without being members, leavers count where they read, the rest starts anew."""
        chat = start()
        chat.send("m2", sender="bot")
        chat.mark("m1", "bob")
        chat.members("alice", "carol", "dan", "eve", "leo")
        assert (chat.read_of("m1"), chat.read_of("m2", "bot")) == ((1, 4), (0, 4))
        chat.mark("m1", "leo", expect=403)
        chat.mark("m2", "bob")
        assert chat.read_of("m2", "bot") == (1, 5)
        chat.members("alice", "bob", "carol", "dan", "eve", "leo")

        assert (chat.unread("leo"), chat.unread("bob")) == (0, 0)


class TestPrivacy:
    def test_who_hides_looks_like_who_has_not_read(self, start: Start) -> None:
        """A hidden reader is in no count and no list of readers, whoever asks."""
        chat = start(SEENBY_RECEIPTS_VISIBLE_TO="members")
        chat.hide("bob")
        chat.mark("m1", "bob")
        for viewer in ("&user_id=alice", "&user_id=carol", ""):
            seen = chat.ask("GET", f"messages/receipts?msg_id=m1{viewer}")
            left = chat.ask("GET", f"messages/receipts?msg_id=m1&unread=true{viewer}")
            assert (seen["count"], seen["receipts"], left["unread"][0]) == (0, [], "bob")

        assert chat.unread("bob") == 0
        assert chat.ask("GET", "users/alice/receipts")["head"] == 0

    def test_a_leaving_shows_who_was_counted(self, start: Start) -> None:
        """Of hidden readers who leave, those who were counted stay in the audience."""
        chat = start(SEENBY_COUNT_HIDDEN="true")
        chat.hide("bob")
        chat.mark("m1", "bob")
        chat.members("alice", "dan", "eve")

        assert chat.read_of("m1") == (1, 3)

    @pytest.mark.parametrize(("count_hidden", "count"), [("true", 2), ("false", 1)])
    def test_a_wish_changes_no_receipt(self, start: Start, count_hidden: str, count: int) -> None:
        """Who was named stays named, who was hidden stays hidden, whatever is wished later."""
        chat = start(SEENBY_COUNT_HIDDEN=count_hidden)
        chat.hide("bob")
        chat.mark("m1", "bob")
        chat.mark("m1", "carol")
        chat.ask("PUT", "users/bob/settings", {"send_receipts": True})
        chat.hide("carol")
        seen = chat.ask("GET", "messages/receipts?msg_id=m1")

        assert [receipt["reader_id"] for receipt in seen["receipts"]] == ["carol"]
        assert seen["count"] == count

    def test_who_hides_sees_no_names(self, start: Start) -> None:
        """With SEENBY_RECIPROCAL a sender who hides gets counts of crowds, and no list."""
        chat = start(SEENBY_RECIPROCAL="true")
        chat.hide("alice")
        chat.mark("m1", "bob")
        seen = chat.ask("GET", "messages/receipts?msg_id=m1&user_id=alice")
        left = chat.ask("GET", "messages/receipts?msg_id=m1&user_id=alice&unread=true")
        told = chat.ask("GET", "users/alice/receipts")

        assert (seen["count"], seen["receipts"], seen["names"]) == (1, [], False)
        assert (left["unread"], left["names"]) == ([], False)
        assert told["receipts"] == []
        assert [update["type"] for update in told["updates"]] == ["read_count"]
