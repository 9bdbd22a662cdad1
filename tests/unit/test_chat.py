"""The use cases of a chat: who may, in which steps, and what other instances are told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from seenby.chat import PIECE, TOGETHER, Chat
from seenby.errors import BadInput, Forbidden, NotFound, StoreUnavailable
from seenby.metrics import Metrics
from seenby.model import ANYONE, Caller, Kind, Mark, NewMessage
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.rules import Rules
from seenby.service import Service
from seenby.store.conversations import MembersChange, NewConversation
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.store.threads import StoreThreads
from seenby.tally import Conversation, Message
from seenby.testing import FailingPublisher, ManualClock
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from seenby.store.sql import SqlStore

ANN = Caller("ann", everyone=False, expires_at=None)
BOB = Caller("bob", everyone=False, expires_at=None)
EVE = Caller("eve", everyone=False, expires_at=None)
NAMELESS = Caller("", everyone=False, expires_at=None)
NOW = 1_704_067_200_000


class Bench:
    """The use cases over a database in a file, and a bus that keeps what is published."""

    def __init__(self, url: str, rules: Rules) -> None:
        self.store = open_store(url, rules=rules)
        self.threads: StoreThreads[SqlStore] = StoreThreads(self.store)
        self.bus = FailingPublisher()
        self.relay = Relay(self.threads, self.bus, Metrics(), owner="n")
        self.recorder = Recorder(self.threads, self.relay, Metrics(), ManualClock(NOW / 1000))
        self.chat = Chat(self.recorder, self.threads, rules)
        self.service = Service(self.recorder, self.threads)

    async def group(self, *members: str, conversation_id: str = "c1") -> Conversation:
        """A conversation with exactly these members."""
        [found] = await self.chat.put(
            ANYONE, [NewConversation(conversation_id, "group", list(members))]
        )
        assert isinstance(found, Conversation)
        return found

    async def send(self, count: int, sender_id: str = "ann") -> list[str]:
        """So many messages, m1, m2, ..."""
        new = [NewMessage(f"m{number + 1}", "c1", sender_id) for number in range(count)]
        sent = await self.chat.register(ANYONE, new, now=NOW)
        assert [type(each) for each in sent] == [Message] * count
        return [each.msg_id for each in new]

    async def read(self, reader_id: str, *msg_ids: str) -> None:
        """Messages that are marked."""
        await self.service.mark(ANYONE, [Mark(each, reader_id, "", "") for each in msg_ids])

    def published(self, user_id: str) -> list[tuple[int, str]]:
        """Kind and message of what was published to a user."""
        return [(e.kind, e.msg_id) for e in self.events() if e.sender_id == user_id]

    def events(self) -> list[Any]:
        """All that was published."""
        return [event for event, _ in self.bus.published]


@asynccontextmanager
async def running(tmp_path: Path, **rules: Any) -> AsyncIterator[Bench]:
    """The use cases over an empty database, until the block ends."""
    url = f"sqlite:///{tmp_path / 'seenby.db'}"
    migrate(url)
    bench = Bench(url, Rules(**rules))
    bench.relay.start()
    bench.recorder.start()
    yield bench
    await bench.recorder.close()
    await bench.relay.close()
    await bench.threads.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """The same under the rules of an operator who has decided nothing."""
    async with running(tmp_path) as bench:
        yield bench


class TestWho:
    async def test_only_a_backend_registers(self, bench: Bench) -> None:
        """Nor may a user look at what is registered; not even an empty list is taken."""
        chat = bench.chat
        for asked in (
            chat.put(BOB, []),
            chat.change(BOB, []),
            chat.register(BOB, [], now=NOW),
            chat.conversation(BOB, "c1"),
            chat.members(BOB, "c1", after="", limit=1),
            chat.erase(BOB, "bob", now=NOW),
        ):
            with pytest.raises(Forbidden):
                await asked

    async def test_what_is_a_users_own(self, bench: Bench) -> None:
        """Others neither see nor change it."""
        chat = bench.chat
        for asked in (
            chat.unread_counts(EVE, "bob"),
            chat.unread(EVE, "bob", conversation_id=None, limit=1, offset=0),
            chat.read_conversation(EVE, "bob", "c1", None),
            chat.withdraw(EVE, "m1", "bob"),
            chat.prefer(EVE, "bob", "", send_receipts=False),
            chat.preferences(EVE, "bob"),
            chat.policy(EVE, "bob", ""),
            chat.receipts(EVE, "bob", ["m1"], after_id=0, limit=1),
            chat.not_read(EVE, "bob", "m1", after="", limit=1),
        ):
            with pytest.raises(Forbidden):
                await asked
        assert await chat.preferences(BOB, "bob") == {}

    async def test_a_token_of_nobody_sees_nothing(self, bench: Bench) -> None:
        """It is no backend's, so it is told to be somebody's; never shown everything."""
        with pytest.raises(BadInput):
            await bench.chat.receipts(NAMELESS, "", ["m1"], after_id=0, limit=1)
        with pytest.raises(BadInput):
            await bench.chat.not_read(NAMELESS, "", "m1", after="", limit=1)

    async def test_the_chats_own_topic_is_its_backend(self, bench: Bench) -> None:
        """What comes from there is registered without a token."""
        await bench.group("ann", "bob")
        [message, refused] = await bench.chat.from_topic(
            [NewMessage("m1", "c1", "ann"), NewMessage("m2", "nothing", "ann")]
        )
        assert isinstance(message, Message)
        assert isinstance(refused, NotFound)


class TestRegister:
    @pytest.mark.parametrize("size", [0, 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER])
    async def test_many_are_answered_in_order(self, bench: Bench, size: int) -> None:
        """However they are cut into pieces between which marks get a turn."""
        names = [f"c{number}" for number in range(size)]
        put = await bench.chat.put(ANYONE, [NewConversation(n, "group", ["ann"]) for n in names])
        changed = await bench.chat.change(ANYONE, [MembersChange(n, ["bob"], []) for n in names])
        for found, members in ((put, 1), (changed, 2)):
            assert found == [Conversation(name, "group", members, 0) for name in names]

    async def test_what_was_registered_stays_when_the_rest_fails(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each conversation is a transaction of its own, so all may be said again."""
        put = bench.store.conversations.put
        left = [1]

        def breaking(wanted: list[NewConversation]) -> list[Any]:
            if not left:
                raise StoreUnavailable("away")
            left.pop()
            return put(wanted)

        monkeypatch.setattr(bench.store.conversations, "put", breaking)
        wanted = [NewConversation(f"c{n}", "group", ["ann"]) for n in range(TOGETHER + 1)]
        with pytest.raises(StoreUnavailable):
            await bench.chat.put(ANYONE, wanted)
        assert (await bench.chat.conversation(ANYONE, f"c{TOGETHER - 1}")).members == 1
        with pytest.raises(NotFound):
            await bench.chat.conversation(ANYONE, f"c{TOGETHER}")


class TestReadConversation:
    async def test_step_by_step(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A transaction each; one receipt and event per message, and one word to the reader."""
        monkeypatch.setattr("seenby.store.recording.CHUNK", 2)
        await bench.group("ann", "bob")
        msg_ids = await bench.send(5)
        assert await bench.chat.read_conversation(BOB, "bob", "c1", None) == 5
        await eventually(lambda: len(bench.published("ann")) == 5)
        assert bench.published("ann") == [(Kind.RECEIPT, msg_id) for msg_id in msg_ids]
        # The last step of two finds what is left.
        assert bench.published("bob") == [
            (Kind.READ_SELF_UP_TO, msg_id) for msg_id in ("m2", "m4", "m5")
        ]
        assert [e.seq for e in bench.events() if e.sender_id == "ann"] == [1, 2, 3, 4, 5]

    async def test_what_was_read_stays_read(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A step that fails undoes no other; whoever asks again gets the rest."""
        monkeypatch.setattr("seenby.store.recording.CHUNK", 2)
        await bench.group("ann", "bob")
        await bench.send(5)
        read = bench.store.recording.read_conversation
        left = [1, 1]

        def breaking(*asked: Any, **how: Any) -> Any:
            if not left:
                raise StoreUnavailable("away")
            left.pop()
            return read(*asked, **how)

        with monkeypatch.context() as patched:
            patched.setattr(bench.store.recording, "read_conversation", breaking)
            with pytest.raises(StoreUnavailable):
                await bench.chat.read_conversation(BOB, "bob", "c1", None)
        [count] = await bench.chat.unread_counts(BOB, "bob")
        assert count.count == 1
        assert await bench.chat.read_conversation(BOB, "bob", "c1", None) == 1

    async def test_nobody_is_told_of_nothing(self, bench: Bench) -> None:
        """What is read already makes no receipt and no event."""
        await bench.group("ann", "bob")
        await bench.send(1)
        await bench.read("bob", "m1")
        before = await bench.service.heads(["ann", "bob"])
        assert await bench.chat.read_conversation(BOB, "bob", "c1", None) == 0
        await bench.read("bob", "m1")
        assert await bench.service.heads(["ann", "bob"]) == before

    async def test_an_own_device_is_not_told_where_that_is_off(self, tmp_path: Path) -> None:
        """SEENBY_SYNC_READER=false: the sender is told as ever."""
        async with running(tmp_path, sync_reader=False) as bench:
            await bench.group("ann", "bob")
            await bench.send(2)
            await bench.read("bob", "m1")
            await bench.chat.read_conversation(BOB, "bob", "c1", None)
            await eventually(lambda: len(bench.published("ann")) == 2)
            assert bench.published("bob") == []


class TestWithdraw:
    async def test_both_sides_are_told(self, bench: Bench) -> None:
        """The sender that it is withdrawn, the reader's own devices the new count."""
        await bench.group("ann", "bob")
        await bench.send(1)
        await bench.read("bob", "m1")
        receipt = await bench.chat.withdraw(BOB, "m1", "bob")
        assert (receipt.msg_id, receipt.reader_id, receipt.sender_id) == ("m1", "bob", "ann")
        await eventually(lambda: len(bench.events()) == 4)
        assert bench.published("ann") == [(Kind.RECEIPT, "m1"), (Kind.WITHDRAWN, "m1")]
        assert bench.published("bob") == [(Kind.READ_SELF, "m1"), (Kind.UNREAD_SELF, "m1")]
        with pytest.raises(NotFound):
            await bench.chat.withdraw(BOB, "m1", "bob")


class TestErase:
    async def test_in_pieces(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Marks are written in between, and the caller waits for the last."""
        pieces: list[int] = []
        step = bench.store.erasing.step

        def counting(user_id: str, *, limit: int) -> bool:
            pieces.append(limit)
            return step(user_id, limit=limit)

        monkeypatch.setattr(bench.store.erasing, "step", counting)
        await bench.group("ann", "bob")
        await bench.send(1)
        await bench.read("bob", "m1")
        await bench.chat.erase(ANYONE, "bob", now=NOW)
        assert set(pieces) == {PIECE}
        assert len(pieces) > 1
        [seen] = await bench.chat.receipts(ANN, "", ["m1"], after_id=0, limit=9)
        assert (seen.page.count, seen.page.receipts, seen.page.of) == (0, [], 0)


class TestReceipts:
    async def test_callers_see_receipts_of_their_own_messages_only(self, bench: Bench) -> None:
        """Contract, section 4: rows whose sender_id is the caller."""
        marks = [Mark("m1", "bob", "ann", "c9"), Mark("m1", "cid", "zoe", "c9")]
        await bench.service.mark(ANYONE, marks)

        async def seen(caller: Caller) -> list[str]:
            [seen] = await bench.chat.receipts(caller, "", ["m1"], after_id=0, limit=10)
            assert seen.page.count == len(seen.page.receipts)
            return [receipt.reader_id for receipt in seen.page.receipts]

        assert await seen(ANN) == ["bob"]
        assert await seen(EVE) == []
        assert await seen(ANYONE) == ["bob", "cid"]

    async def test_once_registered_the_message_says_whose_it_is(self, bench: Bench) -> None:
        """Whoever was named as its sender before, and was not, sees nothing any more."""
        await bench.service.mark(ANYONE, [Mark("m1", "bob", "eve", "c9")])
        await bench.group("ann", "bob")
        await bench.send(1)
        for caller, count in ((ANN, 1), (EVE, 0)):
            [seen] = await bench.chat.receipts(caller, "", ["m1"], after_id=0, limit=10)
            assert seen.page.count == count
