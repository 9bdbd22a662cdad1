"""What the chat's backend registers, on every adapter; all of it may be said again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from seenby.errors import Conflict, NotFound
from seenby.model import Mark, NewMessage
from seenby.rules import Rules
from seenby.store import conversations as module
from seenby.store.base import Want
from seenby.store.conversations import MembersChange, NewConversation
from seenby.tally import Conversation, Message
from tests.contract.store_adapters import NOW, rows
from tests.contract.store_chats import (
    change,
    chat,
    count,
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


@pytest.fixture(autouse=True)
def verified(store: SqlStore) -> Iterator[None]:
    """After every test all counters are what receipts and members say."""
    yield
    assert wrong(store) == []


def members(store: SqlStore, conversation_id: str = "c1") -> list[str]:
    """All who are members now."""
    return store.conversations.members(conversation_id, after="", limit=1000)


def times(store: SqlStore, user_id: str) -> list[tuple[int, int | None]]:
    """From when to when a user was in the conversation."""
    return rows(
        store, f"SELECT since, until FROM members WHERE user_id = '{user_id}' ORDER BY since"
    )


class TestPut:
    """Making and changing whole conversations."""

    def test_a_conversation_has_the_members_it_is_given(self, store: SqlStore) -> None:
        """Each once, whatever the order."""
        made = chat(store, ["cid", "ann", "bob", "ann"])
        assert made == Conversation("c1", "group", 3, 0) == store.conversations.get("c1")
        assert members(store) == ["ann", "bob", "cid"]

    def test_it_may_be_put_again(self, store: SqlStore) -> None:
        """Nothing changes, in the same call or in another."""
        wanted = NewConversation("c1", "private", ["ann", "bob"])
        made = Conversation("c1", "private", 2, 0)
        assert store.conversations.put([wanted, wanted]) == [made, made]
        before = rows(store, "SELECT * FROM members")
        assert store.conversations.put([wanted]) == [made]
        assert rows(store, "SELECT * FROM members") == before

    def test_afterwards_the_members_are_exactly_those(self, store: SqlStore) -> None:
        """Who stays has been there all the time; the others come now, or leave now."""
        chat(store)
        send(store, "m1")
        assert chat(store, ["bob", "dan"]) == Conversation("c1", "group", 2, 1)
        assert members(store) == ["bob", "dan"]
        assert times(store, "ann") == times(store, "cid") == [(0, 1)]
        assert times(store, "bob") == [(0, None)]
        assert times(store, "dan") == [(1, None)]

    def test_another_type_is_a_conflict_for_that_one_alone(self, store: SqlStore) -> None:
        """The conversations beside it are made, and it stays as it is."""
        chat(store)
        first, second, third = store.conversations.put(
            [
                NewConversation("c0", "group", ["ann"]),
                NewConversation("c1", "private", ["ann"]),
                NewConversation("c2", "group", ["ann"]),
            ]
        )
        assert isinstance(second, Conflict)
        assert (first, third) == (
            Conversation("c0", "group", 1, 0),
            Conversation("c2", "group", 1, 0),
        )
        assert members(store) == ["ann", "bob", "cid"]

    def test_a_conversation_may_be_empty(self, store: SqlStore) -> None:
        """All have left, or nobody has come yet."""
        chat(store)
        send(store, "m1")
        assert chat(store, []) == Conversation("c1", "group", 0, 1)
        assert chat(store, [], "c2") == Conversation("c2", "group", 0, 0)
        assert count(store, "m1") == (0, 0)

    def test_large_groups_go_in_pieces(
        self, store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is more than one statement holds is changed by several."""
        monkeypatch.setattr(module, "PIECE", 3)
        everybody = [f"u{number:02}" for number in range(20)]
        chat(store, everybody)
        assert members(store) == everybody
        send(store, "m1", sender_id="u03")
        assert chat(store, everybody[:4]) == Conversation("c1", "group", 4, 1)
        assert count(store, "m1") == (0, 3)


class TestChange:
    """Members who come and leave."""

    def test_members_come_and_leave(self, store: SqlStore) -> None:
        """What is so already is no change."""
        chat(store, ["ann", "bob"])
        assert change(store, add="cid bob cid", remove="ann nobody").members == 2
        assert members(store) == ["bob", "cid"]
        assert change(store, add="cid", remove="ann").members == 2

    def test_an_unknown_conversation_is_not_found(self, store: SqlStore) -> None:
        """The field is named; the changes beside it are made."""
        chat(store, ["ann"])
        unknown, changed = store.conversations.change(
            [MembersChange("c9", ["ann"], []), MembersChange("c1", ["bob"], [])]
        )
        assert isinstance(unknown, NotFound)
        assert "conversation_id" in str(unknown)
        assert changed == Conversation("c1", "group", 2, 0)
        assert store.conversations.get("c9") is None

    def test_members_are_paged_by_name(self, store: SqlStore) -> None:
        """Each once, those who have left not at all."""
        chat(store, ["ann", "bob", "cid", "dan"])
        send(store, "m1")
        change(store, remove="bob")
        page = store.conversations.members
        assert page("c1", after="", limit=2) == ["ann", "cid"]
        assert page("c1", after="cid", limit=2) == ["dan"]
        assert page("c9", after="", limit=2) == []

    def test_who_comes_later_has_nothing_to_read_of_what_came_before(self, store: SqlStore) -> None:
        """And changes no number of it."""
        chat(store)
        send(store, "m1")
        change(store, add="dan")
        send(store, "m2")
        assert (unread(store, "dan"), unread_ids(store, "dan")) == (1, ["m2"])
        assert (count(store, "m1"), count(store, "m2")) == ((0, 2), (0, 3))

    def test_who_comes_again_is_there_anew(self, store: SqlStore) -> None:
        """With a gap for what came meanwhile."""
        chat(store)
        send(store, "m1")
        change(store, remove="cid")
        send(store, "m2")
        change(store, add="cid")
        send(store, "m3")
        assert times(store, "cid") == [(0, 1), (2, None)]
        assert unread_ids(store, "cid") == ["m3"]
        assert [count(store, each) for each in ("m1", "m2", "m3")] == [(0, 1), (0, 1), (0, 2)]
        assert store.reading.sent_to("cid", ["m1", "m2", "m3", "m9"]) == {"m1", "m3"}

    @pytest.mark.parametrize("messages", [0, 1])
    def test_coming_and_leaving_between_two_messages_leaves_no_trace(
        self, store: SqlStore, messages: int
    ) -> None:
        """As often as one likes."""
        chat(store, ["ann", "bob"])
        send(store, *["m1"][:messages])
        for _ in range(3):
            change(store, add="cid")
            change(store, remove="cid")
        assert times(store, "cid") == []
        change(store, add="cid")
        assert times(store, "cid") == [(messages, None)]


class TestLeaving:
    """Who leaves is counted only where they have read."""

    def test_who_leaves_is_counted_where_they_had_read(self, store: SqlStore) -> None:
        """Neither their own messages nor what they had read changes its number."""
        chat(store, ["ann", "bob", "cid", "dan"])
        send(store, "m1", "m2")
        send(store, "m3", sender_id="cid")
        read(store, "cid", "m1")
        change(store, remove="cid")
        assert [count(store, each) for each in ("m1", "m2", "m3")] == [(1, 3), (0, 2), (0, 3)]

    def test_a_hidden_read_is_no_reason_to_count_them(
        self, adapter: Adapter, store: SqlStore
    ) -> None:
        """One that is counted without a name is; one that is not, is not."""
        for counts, conversation_id in ((True, "c1"), (False, "c2")):
            rules = Rules(forced=False, count_hidden=counts)
            other = adapter.open(rules=rules)
            chat(store, ["ann", "bob", "cid", "dan", "eve"], conversation_id)
            send(store, f"m-{conversation_id}", conversation_id=conversation_id)
            read(other, "bob", f"m-{conversation_id}")
            change(store, remove="bob", conversation_id=conversation_id)
            other.close()
        assert (count(store, "m-c1"), count(store, "m-c2")) == ((1, 4), (0, 3))

    def test_who_reads_after_leaving_is_counted_again(self, store: SqlStore) -> None:
        """They were members when it was sent; what came afterwards is not theirs."""
        chat(store)
        send(store, "m1")
        change(store, remove="cid")
        send(store, "m2")
        assert count(store, "m1") == (0, 1)
        read(store, "cid", "m1")
        assert (count(store, "m1"), count(store, "m2")) == ((1, 2), (0, 1))
        store.recording.withdraw("m1", "cid", now=NOW, lease=None)
        assert count(store, "m1") == (0, 1)


class TestRegister:
    """Messages."""

    def test_messages_are_numbered_in_their_order(self, store: SqlStore) -> None:
        """In each conversation from 1; sent when the chat says, or now."""
        chat(store)
        chat(store, ["ann", "bob"], "c2", "private")
        sent = store.conversations.register(
            [
                NewMessage("m9", "c1", "ann", 5),
                NewMessage("m8", "c2", "bob"),
                NewMessage("m7", "c1", "stranger"),
            ],
            now=NOW,
        )
        assert sent == [
            Message("m9", "c1", 1, "ann", 5, 2, 2, 0, 0, 0),
            Message("m8", "c2", 1, "bob", NOW, 1, 1, 0, 0, 0),
            Message("m7", "c1", 2, "stranger", NOW, 3, 3, 0, 0, 0),
        ]
        assert store.reading.messages(["m9", "m8", "m7", "m0"]) == {
            each.msg_id: each for each in sent if isinstance(each, Message)
        }
        assert [unread(store, each) for each in ("ann", "bob", "cid")] == [1, 2, 2]

    def test_none_are_none(self, store: SqlStore) -> None:
        """An empty batch is answered so."""
        assert store.conversations.register([], now=NOW) == []
        assert store.conversations.put([]) == store.conversations.change([]) == []

    def test_a_message_may_be_registered_again(self, store: SqlStore) -> None:
        """Answered as it stands, with what has been counted since; numbers are not used up."""
        chat(store)
        [first] = send(store, "m1")
        read(store, "bob", "m1")
        again = store.conversations.register(
            [NewMessage("m1", "c1", "ann", 77), NewMessage("m2", "c1", "ann")] * 2, now=NOW + 1
        )
        assert again[0] == again[2] == store.reading.messages(["m1"])["m1"]
        assert again[0] == replace(first, readers=1)
        assert again[1] == again[3] == Message("m2", "c1", 2, "ann", NOW + 1, 2, 2, 0, 0, 0)

    @pytest.mark.parametrize("batch", [False, True])
    def test_the_same_id_for_another_message_is_a_conflict(
        self, store: SqlStore, batch: bool
    ) -> None:
        """Another conversation or another sender; the first stands, in one batch too."""
        chat(store)
        chat(store, conversation_id="c2")
        calls = [
            [NewMessage("m1", "c1", "ann")],
            [NewMessage("m1", "c2", "ann"), NewMessage("m1", "c1", "bob")],
        ]
        if batch:
            calls = [[new for call in calls for new in call]]
        outcomes = [
            outcome for call in calls for outcome in store.conversations.register(call, now=NOW)
        ]
        assert [type(each) for each in outcomes] == [Message, Conflict, Conflict]
        assert rows(store, "SELECT conversation_id, sender_id FROM messages") == [("c1", "ann")]

    def test_an_unknown_conversation_is_not_found(self, store: SqlStore) -> None:
        """The field is named; the messages beside it are registered."""
        chat(store)
        unknown, known = store.conversations.register(
            [NewMessage("m1", "c9", "ann"), NewMessage("m2", "c1", "ann")], now=NOW
        )
        assert isinstance(unknown, NotFound)
        assert "conversation_id" in str(unknown)
        assert isinstance(known, Message)
        assert known.number == 1

    def test_nobody_is_told(self, store: SqlStore) -> None:
        """Streams do not move, nothing is to be published."""
        chat(store)
        read_early(store, "bob", "m1")
        before = store.heads(["ann", "bob"])
        send(store, "m1", "m2")
        assert store.heads(["ann", "bob"]) == before
        assert store.pages([Want("ann", 1, 10)])[0].events == []


class TestEarly:
    """Receipts that were there before their message."""

    def test_early_readers_are_counted(self, store: SqlStore) -> None:
        """For the message, and for themselves; a repeat answers the same receipt."""
        chat(store)
        receipt = read_early(store, "bob", "m1")
        [message] = send(store, "m1")
        assert (message.readers, count(store, "m1")) == (1, (1, 2))
        assert (unread(store, "bob"), unread(store, "cid")) == (0, 1)
        assert read(store, "bob", "m1") == [receipt]

    def test_a_false_name_is_corrected(self, store: SqlStore) -> None:
        """Sender, conversation and type are what is registered; so the true sender sees it."""
        chat(store)
        early = Mark("m1", "bob", "mallory", "elsewhere", "private")
        store.record([early], now=NOW, lease=None)
        send(store, "m1")
        [page] = store.receipts(["m1"], sender_id="ann", after_id=0, limit=10)
        [receipt] = page.receipts
        assert (receipt.sender_id, receipt.conversation_id, receipt.conversation_type) == (
            "ann",
            "c1",
            "group",
        )
        assert (page.count, page.of) == (1, 2)

    def test_who_was_not_sent_it_is_not_shown(self, store: SqlStore) -> None:
        """A stranger, and the sender under another's name; both keep their receipt."""
        chat(store)
        stranger = read_early(store, "mallory", "m1")
        own = read_early(store, "ann", "m1", sender_id="bob")
        send(store, "m1")
        [page] = store.receipts(["m1"], sender_id=None, after_id=0, limit=10)
        assert (page.count, page.of, page.receipts) == (0, 2, [])
        assert unread(store, "ann") == 0
        kept = rows(store, "SELECT id, hidden FROM receipts ORDER BY id")
        assert kept == [(stranger.id, 1), (own.id, 1)]

    def test_a_stranger_is_not_told_whose_it_is(self, store: SqlStore) -> None:
        """Whoever has guessed an id learns nothing by a repeat, nor by taking it back."""
        chat(store)
        guess = Mark("m1", "mallory", "somebody", "somewhere")
        [first] = store.record([guess], now=NOW, lease=None).outcomes
        send(store, "m1")
        again = Mark("m1", "mallory", "", "")
        assert store.record([again], now=NOW, lease=None).outcomes == [first]
        withdrawn = store.recording.withdraw("m1", "mallory", now=NOW, lease=None)
        assert (withdrawn.receipt, withdrawn.recorded.events) == (first, [])

    def test_a_hidden_reader_is_counted_for_themselves_only(
        self, adapter: Adapter, store: SqlStore
    ) -> None:
        """What was decided when the mark came stands."""
        chat(store)
        other = adapter.open(rules=Rules(forced=False))
        read_early(other, "bob", "m1")
        other.close()
        send(store, "m1")
        assert count(store, "m1") == (0, 2)
        assert unread(store, "bob") == 0

    def test_an_early_receipt_may_be_taken_back(self, store: SqlStore) -> None:
        """With the counters that followed it."""
        chat(store)
        read_early(store, "bob", "m1")
        send(store, "m1")
        store.recording.withdraw("m1", "bob", now=NOW, lease=None)
        assert (count(store, "m1"), unread(store, "bob")) == ((0, 2), 1)
