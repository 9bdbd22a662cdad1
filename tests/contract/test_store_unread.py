"""What is unread, who has read and who has not, on every adapter."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.model import Mark, NewMessage
from seenby.rules import Rules
from seenby.store import recording
from seenby.store.base import ReceiptPage
from seenby.store.reading import UnreadCount
from tests.contract.store_adapters import NOW, rows
from tests.contract.store_chats import (
    change,
    chat,
    read,
    read_early,
    send,
    unread,
    unread_ids,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

FIVE = ["ann", "bob", "cid", "dan", "eve"]


@pytest.fixture(autouse=True)
def verified(store: SqlStore) -> Iterator[None]:
    """After every test all counters are what receipts and members say."""
    yield
    assert wrong(store) == []


def pages(
    store: SqlStore, *msg_ids: str, sender_id: str | None = None, after_id: int = 0, limit: int = 10
) -> list[ReceiptPage]:
    """Pages of receipts."""
    return store.receipts(msg_ids, sender_id=sender_id, after_id=after_id, limit=limit)


class TestUnread:
    """Of a user."""

    def test_counts_are_by_conversation(self, store: SqlStore) -> None:
        """In the order of their ids, those that are read left out."""
        for conversation_id in ("c3", "c1", "c2"):
            chat(store, conversation_id=conversation_id)
        chat(store, ["ann", "bob"], "p1", "private")
        send(store, "m1", "m2", conversation_id="c3")
        send(store, "m3", conversation_id="c1")
        send(store, "m4", conversation_id="c2")
        send(store, "m5", conversation_id="p1")
        read(store, "bob", "m1", "m4")
        assert store.reading.unread_counts("bob") == [
            UnreadCount("c1", "group", 1),
            UnreadCount("c3", "group", 1),
            UnreadCount("p1", "private", 1),
        ]
        assert store.reading.unread_counts("ann") == store.reading.unread_counts("eve") == []

    def test_messages_come_the_oldest_first(self, store: SqlStore) -> None:
        """Each conversation in its own order, the next one always the oldest; in pages."""
        chat(store)
        chat(store, conversation_id="c2")
        store.conversations.register(
            [
                NewMessage("m5", "c2", "ann", 20),
                NewMessage("m4", "c1", "ann", 20),
                NewMessage("m3", "c1", "ann", 10),
                NewMessage("m2", "c1", "ann", 20),
                NewMessage("own", "c1", "bob", 5),
            ],
            now=NOW,
        )
        assert unread_ids(store, "bob") == ["m4", "m3", "m2", "m5"]
        assert unread_ids(store, "bob", "c1") == ["m4", "m3", "m2"]
        assert unread_ids(store, "bob", "c9") == []
        assert unread_ids(store, "ann") == ["own"]
        page = store.reading.unread("bob", conversation_id=None, limit=2, offset=1)
        assert [message.msg_id for message in page] == ["m3", "m2"]
        known = store.reading.messages(["m3", "m2"])
        assert page == [known["m3"], known["m2"]]
        assert store.reading.unread("bob", conversation_id=None, limit=2, offset=4) == []

    def test_reading_in_any_order_counts_down_to_nothing(self, store: SqlStore) -> None:
        """The list and the counter agree at every step; taking back counts up again."""
        chat(store)
        sent = [f"m{number}" for number in range(6)]
        send(store, *sent)
        for each in ("m3", "m0", "m5", "m1", "m4", "m2"):
            read(store, "bob", each)
            sent.remove(each)
            assert (unread(store, "bob"), unread_ids(store, "bob")) == (len(sent), sent)
        store.recording.withdraw("m1", "bob", now=NOW, lease=None)
        assert (unread(store, "bob"), unread_ids(store, "bob")) == (1, ["m1"])

    def test_each_piece_of_a_conversation_is_looked_for_behind_the_one_before(
        self, store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is read already is not looked at again, however long the conversation is."""
        monkeypatch.setattr(recording, "CHUNK", 2)
        chat(store)
        send(store, *(f"m{number}" for number in range(1, 6)))
        reached = []
        more = True
        while more:
            step = store.recording.read_conversation("bob", "c1", None, now=NOW, lease=None)
            more = step.more
            reached += rows(store, "SELECT base FROM members WHERE user_id = 'bob'")
        assert reached == [(2,), (4,), (5,)]

    def test_who_has_left_has_nothing_unread(self, store: SqlStore) -> None:
        """And who comes again, only what comes from then on."""
        chat(store)
        send(store, "m1", "m2")
        read(store, "cid", "m1")
        change(store, remove="cid")
        assert (unread(store, "cid"), unread_ids(store, "cid")) == (0, [])
        change(store, add="cid")
        assert (unread(store, "cid"), unread_ids(store, "cid")) == (0, [])
        send(store, "m3")
        assert (unread(store, "cid"), unread_ids(store, "cid")) == (1, ["m3"])

    def test_a_hidden_reader_has_read(self, adapter: Adapter, store: SqlStore) -> None:
        """For themselves it is as for everybody."""
        chat(store)
        send(store, "m1", "m2")
        with closing(adapter.open(rules=Rules(forced=False))) as other:
            read(other, "bob", "m1")
        assert (unread(store, "bob"), unread_ids(store, "bob")) == (1, ["m2"])


class TestSentTo:
    """Who may mark a message, and see who has."""

    def test_a_message_was_sent_to_those_who_were_members(self, store: SqlStore) -> None:
        """Not to its sender, nor to who came later, nor to strangers; who left keeps it."""
        chat(store)
        send(store, "m1")
        change(store, add="dan", remove="cid")
        send(store, "m2", sender_id="bob")
        asked = ["m1", "m2", "nothing"]
        assert {user: store.reading.sent_to(user, asked) for user in (*FIVE, "x")} == {
            "ann": {"m2"},
            "bob": {"m1"},
            "cid": {"m1"},
            "dan": {"m2"},
            "eve": set(),
            "x": set(),
        }
        assert store.reading.sent_to("ann", []) == set()
        assert store.reading.messages([]) == {}


class TestNotRead:
    """Who has not read a message."""

    def test_those_who_have_not_read_are_named_in_order(self, store: SqlStore) -> None:
        """In pages; never the sender, nor who came later, nor who has left."""
        chat(store, FIVE)
        send(store, "m1", sender_id="bob")
        change(store, add="fay", remove="eve")
        assert store.reading.not_read("m1", after="", limit=10) == ["ann", "cid", "dan"]
        assert store.reading.not_read("m1", after="ann", limit=1) == ["cid"]
        read(store, "cid", "m1")
        assert store.reading.not_read("m1", after="", limit=10) == ["ann", "dan"]
        assert store.reading.not_read("m9", after="", limit=10) == []

    @pytest.mark.parametrize("counted", [False, True])
    def test_hidden_readers_look_as_if_they_had_not(
        self, adapter: Adapter, store: SqlStore, counted: bool
    ) -> None:
        """Whether they are counted or not: the list gives nobody away."""
        chat(store, FIVE)
        send(store, "m1")
        with closing(adapter.open(rules=Rules(forced=False, count_hidden=counted))) as other:
            read(other, "bob", "m1")
        assert store.reading.not_read("m1", after="", limit=10) == ["bob", "cid", "dan", "eve"]


class TestReceipts:
    """Who has read messages, by name and by number."""

    def test_a_registered_message_says_of_how_many(self, store: SqlStore) -> None:
        """Read by nobody too; one that is not registered does not say it."""
        chat(store)
        send(store, "m1", "m2")
        [receipt] = read(store, "bob", "m1")
        early = read_early(store, "bob", "m3")
        assert pages(store, "m3", "m2", "m1", "m0") == [
            ReceiptPage("m3", 1, [early], None),
            ReceiptPage("m2", 0, [], 2),
            ReceiptPage("m1", 1, [receipt], 2),
            ReceiptPage("m0", 0, [], None),
        ]

    def test_a_message_asked_for_twice_is_answered_twice(self, store: SqlStore) -> None:
        """In the order in which it was asked for."""
        chat(store)
        send(store, "m1")
        [receipt] = read(store, "bob", "m1")
        assert pages(store, "m1", "m0", "m1") == [
            ReceiptPage("m1", 1, [receipt], 2),
            ReceiptPage("m0", 0, [], None),
            ReceiptPage("m1", 1, [receipt], 2),
        ]

    def test_pages_go_on_after_a_receipt(self, store: SqlStore) -> None:
        """Each page says the whole count."""
        chat(store, FIVE)
        send(store, "m1")
        receipts = [read(store, reader, "m1")[0] for reader in ("dan", "bob", "cid")]
        assert pages(store, "m1", limit=2) == [ReceiptPage("m1", 3, receipts[:2], 4)]
        assert pages(store, "m1", after_id=receipts[1].id) == [
            ReceiptPage("m1", 3, receipts[2:], 4)
        ]
        assert pages(store, "m1", after_id=receipts[2].id) == [ReceiptPage("m1", 3, [], 4)]

    @pytest.mark.parametrize("counted", [False, True])
    def test_a_hidden_reader_is_on_no_page(
        self, adapter: Adapter, store: SqlStore, counted: bool
    ) -> None:
        """But in the number, where the rules say so."""
        chat(store, FIVE)
        send(store, "m1")
        with closing(adapter.open(rules=Rules(forced=False, count_hidden=counted))) as other:
            read(other, "bob", "m1")
        [receipt] = read(store, "cid", "m1")
        assert pages(store, "m1") == [ReceiptPage("m1", 1 + counted, [receipt], 4)]

    def test_a_hidden_reader_of_an_unregistered_message_is_not_counted(
        self, adapter: Adapter, store: SqlStore
    ) -> None:
        """There is no crowd to hide in."""
        with closing(adapter.open(rules=Rules(forced=False, count_hidden=True))) as other:
            read_early(other, "bob", "m1")
        assert pages(store, "m1") == [ReceiptPage("m1", 0, [], None)]
        receipt = read_early(store, "cid", "m1")
        assert pages(store, "m1") == [ReceiptPage("m1", 1, [receipt], None)]

    def test_others_messages_are_as_if_they_were_not_there(self, store: SqlStore) -> None:
        """Neither names nor numbers, registered or not."""
        chat(store)
        send(store, "m1")
        read(store, "bob", "m1")
        read_early(store, "bob", "m2")
        store.record([Mark("m2", "cid", "dan", "c1")], now=NOW, lease=None)
        assert pages(store, "m1", "m2", sender_id="eve") == [
            ReceiptPage("m1", 0, [], None),
            ReceiptPage("m2", 0, [], None),
        ]
        [of_ann, of_dan] = [pages(store, "m2", sender_id=each)[0] for each in ("ann", "dan")]
        assert ([each.reader_id for each in of_ann.receipts], of_ann.count) == (["bob"], 1)
        assert ([each.reader_id for each in of_dan.receipts], of_dan.count) == (["cid"], 1)
