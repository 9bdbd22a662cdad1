"""Conversations under races and kills: whoever comes at the same time, each receipt counts once."""

from __future__ import annotations

import http.client
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from seenby.model import Kind
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from tests.acceptance.devices import Api, Device
from tests.servers.seenby import Seenby
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.timeout(600)
"""Seconds. Whatever else the machine does, the limits of the steps come first."""

MESSAGES = 2000

FEW_FRAMES = 40
"""For 2,000 receipts, of which some 350 fit into a frame: pieces come as the bus delivers them."""


CROWD = 29
"""Of messages to more than this, a count is told."""


class Chat:
    """Some APIs on one database, and a gateway.

    Args:
        apis: where it is asked, in turns.
        gateway: where devices connect.
    """

    def __init__(self, apis: list[Seenby], gateway: Seenby) -> None:
        self.apis = apis
        self.gateway = gateway
        self._store = open_store(apis[0].environment["SEENBY_DATABASE_URL"])

    def ask(
        self, method: str, path: str, body: object = None, *, at: int = 0, but: Iterable[int] = ()
    ) -> Any:
        """The answer of an API; one with a status of *but* is None."""
        with closing(Api(self.apis[at % len(self.apis)].api)) as link:
            status, answer = link.request(method, f"/api/v1/{path}", body)
        assert status == 200 or status in but, (path, body, status, answer)
        return answer if status == 200 else None

    def put(self, where: str, *members: str) -> None:
        """Register a group."""
        self.ask("PUT", f"conversations/{where}", {"type": "group", "members": members})

    def send(self, where: str, sender: str, msg_ids: list[str], *, at: int = 0) -> None:
        """Register messages."""
        messages = [
            {"msg_id": msg_id, "conversation_id": where, "sender_id": sender} for msg_id in msg_ids
        ]
        for start in range(0, len(messages), 500):
            body = {"messages": messages[start : start + 500]}
            answer = self.ask("POST", "messages/batch", body, at=at)
            assert all(result["success"] for result in answer["results"])

    def mark(self, msg_id: str, reader: str, *, at: int = 0, but: Iterable[int] = ()) -> Any:
        """Mark a registered message."""
        body = {"msg_id": msg_id, "reader_id": reader}
        return self.ask("POST", "messages/read", body, at=at, but=but)

    def read_all(self, where: str, reader: str, *, at: int = 0, but: Iterable[int] = ()) -> int:
        """Read a conversation; how many receipts that made."""
        body = {"user_id": reader, "conversation_id": where}
        answer = self.ask("POST", "conversations/read", body, at=at, but=but)
        return answer["rows_affected"] if answer else 0

    def unread(self, reader: str) -> int:
        """How much a user has not read."""
        count: int = self.ask("GET", f"messages/unread/count?user_id={reader}")["count"]
        return count

    def events(self, user: str, kind: Kind) -> list[Any]:
        """What a stream tells of one kind: seq, msg_id, reader_id, at, amount, audience."""
        return self.rows(
            "SELECT seq, msg_id, reader_id, at, amount, audience FROM events"
            f" WHERE user_id = '{user}' AND kind = {kind:d} ORDER BY seq"
        )

    def receipts(self, reader: str) -> int:
        """How many receipts of a reader there are."""
        [(count,)] = self.rows(f"SELECT COUNT(*) FROM receipts WHERE reader_id = '{reader}'")
        return int(count)

    def rows(self, statement: str) -> list[Any]:
        """What the database says."""
        return self._store.connections.run(lambda connection: connection.rows(statement))

    def close(self) -> None:
        """Every counter is right; then all ends."""
        verifying = self._store.verifying
        wrong = [
            difference
            for conversation_id in verifying.conversations("", 10_000)
            for difference in verifying.verify(conversation_id, repair=False)
        ]
        self._store.close()
        assert wrong == []


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each of them returns, all begun at the same moment."""
    together = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        together.wait(PATIENCE)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))


class Race:
    """What happens in one conversation until all messages are sent; each method is for a thread.

    Attributes:
        rows: what each reading of the whole has answered, by reader.
        taken_back: how many receipts, by reader; one thread of each takes back.
    """

    MESSAGES = 400

    def __init__(self, chat: Chat) -> None:
        self.rows: dict[str, list[int]] = {"bob": [], "carol": []}
        self.taken_back = Counter[str]()
        self._chat = chat
        self._sent: list[str] = []
        self._over = threading.Event()

    def send(self) -> None:
        """Five messages at a time."""
        for start in range(0, self.MESSAGES, 5):
            some = [f"m{number}" for number in range(start, start + 5)]
            self._chat.send("team", "alice", some, at=start // 5)
            self._sent += some
        self._over.set()

    def come_and_go(self) -> None:
        """Carol leaves, and is back."""
        while not self._over.is_set():
            for at, what in enumerate(["remove", "add"]):
                body = {what: ["carol"]}
                self._chat.ask("POST", "conversations/team/members", body, at=at)

    def read_all(self, reader: str, at: int) -> None:
        """Again and again; who has left may not."""
        while not self._over.is_set():
            self.rows[reader].append(self._chat.read_all("team", reader, at=at, but=[403]))

    def mark(self, reader: str, at: int) -> None:
        """What was sent last; what was sent while the reader was away is refused."""
        while not self._over.is_set():
            for msg_id in self._sent[-3:]:
                self._chat.mark(msg_id, reader, at=at, but=[403])

    def take_back(self, reader: str, at: int) -> None:
        """Some of what was sent lately, if it was read."""
        while not self._over.is_set():
            for msg_id in self._sent[-20::7]:
                body = {"msg_id": msg_id, "reader_id": reader}
                answer = self._chat.ask("DELETE", "messages/read", body, at=at, but=[404])
                self.taken_back[reader] += answer is not None


@pytest.fixture(params=["apart", "embedded"])
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chat]:
    """Two APIs and a gateway on MariaDB and Kafka; or all in one process on SQLite."""
    settings = {"SEENBY_AGGREGATE_OVER": str(CROWD)}
    if request.param == "apart":
        url: str = request.getfixturevalue("mariadb_url")
        kafka: Kafka = request.getfixturevalue("kafka_server")
        topic: str = request.getfixturevalue("topic")
        for name in (topic, f"{topic}_updates"):
            kafka.create_topic(name)
        migrate(url)
        settings |= {
            "SEENBY_DATABASE_URL": url,
            "KAFKA_BROKERS": kafka.brokers,
            "READ_RECEIPT_TOPIC": topic,
            "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_updates",
            "KAFKA_GROUP_MSG_TOPIC": f"{topic}_messages",
        }
        apis = [Seenby("api", tmp_path, settings, f"api{n}") for n in range(2)]
        gateway = Seenby("gateway", tmp_path, settings)
    else:
        gateway = Seenby("serve", tmp_path, settings)
        apis = [gateway]
    processes = {*apis, gateway}
    try:
        for process in processes:
            process.process.start()
        for process in processes:
            process.wait_alive()
        with closing(Chat(apis, gateway)) as chat:
            yield chat
    finally:
        for process in processes:
            process.kill()


class TestMarks:
    def test_the_same_mark_twice_at_once(self, chat: Chat) -> None:
        """Two processes take one mark at the same moment: one receipt, told once to each side."""
        msg_ids = [f"m{number}" for number in range(100)]
        chat.put("team", "alice", "bob", "carol")
        chat.send("team", "alice", msg_ids)
        for msg_id in msg_ids:
            one, two = at_once(
                *(partial(chat.mark, msg_id, "bob", at=at) for at in range(2)),
            )
            assert one == two

        assert chat.receipts("bob") == 100
        told = chat.events("alice", Kind.RECEIPT)
        assert [(msg_id, count, of) for _, msg_id, _, _, count, of in told] == [
            (msg_id, 1, 2) for msg_id in msg_ids
        ]
        own = chat.events("bob", Kind.READ_SELF)
        assert [(msg_id, unread) for _, msg_id, _, _, unread, _ in own] == [
            (msg_id, 99 - number) for number, msg_id in enumerate(msg_ids)
        ]

    def test_many_readers_of_one_message(self, chat: Chat) -> None:
        """Many readers over both processes: the receipts count up from 1, each number once."""
        readers = [f"reader{number}" for number in range(CROWD)]
        msg_ids = [f"m{number}" for number in range(10)]
        chat.put("team", "alice", *readers)
        chat.send("team", "alice", msg_ids)

        def read(number: int) -> None:
            for place, msg_id in enumerate(msg_ids):
                chat.mark(msg_id, readers[number], at=number + place)

        at_once(*(partial(read, number) for number in range(CROWD)))

        counts: dict[str, list[int]] = defaultdict(list)
        for _, msg_id, _, _, count, of in chat.events("alice", Kind.RECEIPT):
            counts[msg_id].append(count)
            assert of == CROWD
        assert counts == {msg_id: list(range(1, CROWD + 1)) for msg_id in msg_ids}
        for msg_id in msg_ids:
            page = chat.ask("GET", f"messages/receipts?msg_id={msg_id}")
            assert (page["count"], page["member_count"]) == (CROWD, CROWD)


class TestWholeConversations:
    def test_races(self, chat: Chat) -> None:
        """Reading all races marks, taking back, new messages and leaving: each receipt counts once.

        A mark that made a receipt is told to the reader's own devices; so they are counted there.
        """
        chat.put("team", "alice", "bob", "carol", "dan")
        race = Race(chat)
        at_once(
            race.send,
            race.come_and_go,
            *(partial(race.read_all, "bob", at) for at in range(2)),
            *(partial(race.mark, "bob", at) for at in range(2)),
            partial(race.take_back, "bob", 1),
            partial(race.read_all, "carol", 0),
            partial(race.mark, "carol", 1),
            partial(race.take_back, "carol", 0),
        )
        for reader in ("bob", "carol"):
            rows = sum(race.rows[reader]) + chat.read_all("team", reader)

            made = rows + len(chat.events(reader, Kind.READ_SELF))
            told = [e for e in chat.events("alice", Kind.RECEIPT) if e[2] == reader]
            back = [e for e in chat.events("alice", Kind.WITHDRAWN) if e[2] == reader]
            assert len(told) == made
            assert len(back) == len(chat.events(reader, Kind.UNREAD_SELF))
            assert len(back) == race.taken_back[reader] > 0
            assert chat.receipts(reader) == made - len(back)
            assert chat.unread(reader) == 0
        assert chat.receipts("bob") == Race.MESSAGES
        assert chat.unread("dan") == Race.MESSAGES

    def test_killed_in_the_middle(self, chat: Chat) -> None:
        """Kill -9 after a part of it: asked again, the rest is read; nothing twice, few frames."""
        chat.put("team", "alice", "bob")
        chat.put("other", "alice", "carol")
        chat.send("other", "alice", [f"other{number}" for number in range(MESSAGES)])
        killed = chat.apis[0]
        with Device(chat.gateway.gateway, "alice", "pc", hello={"batch": True}) as pc:
            pc.wait("welcome", lambda d: bool(d.of("welcome")), PATIENCE)
            error: BaseException | None = None
            first = attempt = 0
            # An answer that comes before the kill was no kill in the middle.
            for attempt in range(5):
                msg_ids = [f"{attempt}-{number}" for number in range(MESSAGES)]
                chat.send("team", "alice", msg_ids)
                before = chat.receipts("bob")
                with ThreadPoolExecutor(1) as thread:
                    asked = thread.submit(chat.read_all, "team", "bob")
                    wait_for_receipts(chat, "bob", before + 500)
                    killed.kill()
                    error = asked.exception(PATIENCE)
                killed.start()
                first = chat.receipts("bob") - before
                rest = chat.read_all("team", "bob")
                assert first + rest == MESSAGES
                if error is not None and rest > 0:
                    break
            assert isinstance(error, OSError | http.client.HTTPException)
            assert 500 <= first < MESSAGES
            assert chat.read_all("team", "bob") == 0
            count = (attempt + 1) * MESSAGES
            if chat.gateway is not killed:
                pc.wait_receipts(count, 2 * PATIENCE)
        epoch, seq = pc.of("welcome")[0]["epoch"], (pc.seqs or [0])[-1]
        hello = {"batch": True, "epoch": epoch, "seq": seq}
        with Device(chat.gateway.gateway, "alice", "pc", hello=hello) as again:
            again.wait_receipts(count - len(pc.seqs), 2 * PATIENCE)
            assert pc.seqs + again.seqs == list(range(1, count + 1))
            frames = len(pc.frames) + len(again.frames)
            assert frames <= FEW_FRAMES * (attempt + 1)

        told = chat.events("alice", Kind.RECEIPT)
        assert len({msg_id for _, msg_id, *_ in told}) == len(told) == count

    def test_a_chunk_is_in_one_piece(self, chat: Chat) -> None:
        """Others mark for the same sender meanwhile: the seqs of a chunk follow each other."""
        chat.put("team", "alice", "bob")
        chat.send("team", "alice", [f"m{number}" for number in range(MESSAGES)])
        going, over = threading.Event(), threading.Event()

        def mark_others() -> None:
            number = 0
            while not over.is_set():
                body = {"msg_id": f"x{number}", "reader_id": "carol"}
                body |= {"sender_id": "alice", "conversation_id": "other"}
                chat.ask("POST", "messages/read", body, at=1)
                number += 1
                going.set()

        def read_all() -> int:
            assert going.wait(PATIENCE)
            try:
                return chat.read_all("team", "bob")
            finally:
                over.set()

        assert at_once(mark_others, read_all)[1] == MESSAGES

        chunks: dict[int, list[int]] = defaultdict(list)
        for seq, _, reader, at, *_ in chat.events("alice", Kind.RECEIPT):
            if reader == "bob":
                chunks[at].append(seq)
        assert len(chunks) == 4
        ends = [seq for chunk in chunks.values() for seq in (chunk[0], chunk[-1])]
        assert ends[-1] - ends[0] >= MESSAGES, "nobody marked in between: it tests nothing"
        for chunk in chunks.values():
            assert all(after == before + 1 for before, after in pairwise(chunk))


class TestCounts:
    def test_whoever_held_it_back_is_killed(self, chat: Chat) -> None:
        """A count that was held back is told by another instance, or after the restart."""
        readers = [f"reader{number}" for number in range(CROWD + 1)]
        chat.put("crowd", "alice", *readers)
        killed = chat.apis[0]
        msg_id = ""
        held_back: list[tuple[str]] = []
        while not held_back:
            # On a machine that was busy for a second it may be told already.
            msg_id = f"m{chat.receipts('reader0')}"
            chat.send("crowd", "alice", [msg_id])
            for reader in readers[:5]:
                chat.mark(msg_id, reader)
            killed.kill()
            held_back = chat.rows("SELECT msg_id FROM pending_counts")
            if chat.gateway is killed or not held_back:
                killed.start()
        assert held_back == [(msg_id,)]
        wait_until("it is told", lambda: chat.rows("SELECT COUNT(*) FROM pending_counts") == [(0,)])
        told = [
            (count, of)
            for _, about, _, _, count, of in chat.events("alice", Kind.COUNT)
            if about == msg_id
        ]
        with Device(chat.gateway.gateway, "alice", "pc", hello={}) as pc:
            pc.wait(
                "the last count",
                lambda d: bool(d.frames) and d.frames[-1].get("read") == 5,
                PATIENCE,
            )
            frames = [frame for frame in pc.of("read_count") if frame["msg_id"] == msg_id]

        assert told[0] == (1, CROWD + 1)
        assert told[-1] == (5, CROWD + 1)
        assert told == sorted(set(told))
        assert [(frame["read"], frame["of"]) for frame in frames] == told


def wait_for_receipts(chat: Chat, reader: str, count: int) -> None:
    """Return at once when there are so many; a pause in between would be too late for a kill."""
    wait_until(f"{count} receipts", lambda: any(chat.receipts(reader) >= count for _ in range(100)))
