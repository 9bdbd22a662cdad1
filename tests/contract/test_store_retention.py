"""Old messages leave with their receipts, from the start of a conversation; counts stay exact."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from seenby.model import Mark, NewMessage, Receipt
from seenby.rules import Rules
from seenby.store import retention as module
from seenby.store.conversations import MembersChange, NewConversation
from tests.contract.store_adapters import NOW, rows
from tests.contract.store_chat import clear, contents, differences, ending_after
from tests.contract.store_chats import settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

RULES = Rules(aggregate_over=4)
OLD = NOW - 1
"""When what is old was sent or read; what was at NOW is not."""

GROUP = ["ann", "bob", "eve", "joe", "kim", "leo"]


@pytest.fixture
def chat(adapter: Adapter) -> Iterator[SqlStore]:
    """An empty store."""
    with closing(adapter.open(rules=RULES)) as opened:
        clear(opened)
        yield opened
        clear(opened)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of rows is much."""
    monkeypatch.setattr(module, "LEAVING", 3)
    monkeypatch.setattr(module, "MEMBERS", 2)


def register(store: SqlStore, *messages: tuple[str, int], sender_id: str = "ann") -> None:
    """Messages of conversation ``c``, and when they were sent."""
    store.conversations.register(
        [NewMessage(msg_id, "c", sender_id, sent_at) for msg_id, sent_at in messages], now=NOW
    )


def read(store: SqlStore, reader_id: str, *msg_ids: str, now: int = OLD, sender: str = "") -> None:
    """Marks, all of which are recorded."""
    marks = [Mark(msg_id, reader_id, sender, "wild" if sender else "") for msg_id in msg_ids]
    outcomes = store.record(marks, now=now, lease=None).outcomes
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)


def expire(store: SqlStore, limit: int = 1000, before: int = NOW) -> None:
    """Take out all that is old, and see at each commit that the counters are right."""
    while store.retention.expire(before=before, limit=limit):
        assert differences(store) == []


def messages(store: SqlStore) -> list[str]:
    """Those that are left, in order."""
    found = rows(store, "SELECT msg_id FROM messages ORDER BY conversation_id, number")
    return [msg_id for (msg_id,) in found]


def receipts(store: SqlStore) -> list[tuple[str, str]]:
    """Message and reader of those that are left."""
    found = rows(store, "SELECT msg_id, reader_id FROM receipts ORDER BY msg_id, reader_id")
    return [(msg_id, reader_id) for msg_id, reader_id in found]


def unread(store: SqlStore) -> dict[str, int]:
    """How many messages of ``c`` each member has not read."""
    return dict(
        rows(
            store,
            "SELECT i.user_id, c.last - i.base - i.done FROM members AS i JOIN conversations AS c"
            " ON c.conversation_id = i.conversation_id"
            " WHERE i.conversation_id = 'c' AND i.until IS NULL",
        )
    )


def fill(store: SqlStore) -> None:
    """A group of which eight messages are old and two are not, read by some; and others."""
    store.conversations.put(
        [
            NewConversation("c", "group", GROUP),
            NewConversation("other", "private", ["ann", "bob"]),
        ]
    )
    for number in range(10):
        register(store, (f"m{number}", OLD if number < 8 else NOW), sender_id=GROUP[number % 2])
        if number == 4:
            store.conversations.change([MembersChange("c", ["mia"], ["leo"])])
            settle(store)
    store.conversations.register([NewMessage("o", "other", "ann", OLD)], now=NOW)
    for reader, msg_ids in {
        "eve": ["m0", "m1", "m2", "m3", "m8"],
        "joe": ["m1", "m4", "m9"],
        "bob": ["m0", "m8", "o"],
        "leo": ["m0", "m3"],
        "mia": ["m6", "m9"],
    }.items():
        read(store, reader, *msg_ids)
    store.recording.read_conversation("kim", "c", "m5", now=OLD, lease=None)
    read(store, "wim", "w1", sender="ann")
    read(store, "wim", "w2", sender="ann", now=NOW)


LEFT = {"ann": 1, "bob": 0, "eve": 1, "joe": 1, "kim": 2, "mia": 1}
"""What is unread of m8, which ann has sent, and of m9, which bob has."""


def test_old_messages_leave_with_their_receipts(chat: SqlStore) -> None:
    """And what was unread of them is unread no longer; what is not old is left alone."""
    fill(chat)
    expire(chat)
    assert messages(chat) == ["m8", "m9"]
    assert receipts(chat) == [
        ("m8", "bob"),
        ("m8", "eve"),
        ("m9", "joe"),
        ("m9", "mia"),
        ("w2", "wim"),
    ]
    assert unread(chat) == LEFT
    pending = rows(chat, "SELECT msg_id FROM pending_counts ORDER BY msg_id")
    assert [msg_id for (msg_id,) in pending] == ["m8", "m9"]


def test_an_old_message_stays_behind_one_that_is_not(chat: SqlStore) -> None:
    """Only what is at the start of a conversation leaves, by the order of registration."""
    chat.conversations.put([NewConversation("c", "group", GROUP)])
    register(chat, ("m1", OLD), ("m2", NOW), ("m3", OLD), ("m4", OLD))
    read(chat, "bob", "m1", "m3")
    expire(chat)
    assert messages(chat) == ["m2", "m3", "m4"]
    assert receipts(chat) == [("m3", "bob")]
    assert unread(chat)["bob"] == 2


def test_what_stands_in_the_way_hides_nothing(chat: SqlStore) -> None:
    """Conversations of which nothing can leave keep no other waiting, however many they are."""
    for number in range(6):
        chat.conversations.put([NewConversation(f"stuck{number}", "group", GROUP)])
        chat.conversations.register(
            [
                NewMessage(f"s{number}-{place}", f"stuck{number}", "ann", sent_at)
                for place, sent_at in enumerate((NOW, OLD - 10))
            ],
            now=NOW,
        )
    chat.conversations.put([NewConversation("c", "group", GROUP)])
    register(chat, ("m1", OLD))
    expire(chat, limit=2)
    assert "m1" not in messages(chat)
    assert len(messages(chat)) == 12


def test_receipts_leave_with_their_message_whenever_they_came(chat: SqlStore) -> None:
    """A message that is gone is not read by anyone; one that stays keeps its readers."""
    chat.conversations.put([NewConversation("c", "group", GROUP)])
    register(chat, ("m1", OLD), ("m2", NOW))
    read(chat, "bob", "m1", now=NOW + 5)
    read(chat, "bob", "m2", now=OLD)
    expire(chat)
    assert receipts(chat) == [("m2", "bob")]


def test_receipts_of_unregistered_messages_leave_by_their_own_time(chat: SqlStore) -> None:
    """However many, and whatever stands between them."""
    chat.conversations.put([NewConversation("c", "group", GROUP)])
    register(chat, ("m", NOW))
    for number in range(10):
        read(chat, f"r{number}", "w", sender="ann")
    read(chat, "bob", "m")
    read(chat, "r10", "w", sender="ann")
    read(chat, "r11", "w", sender="ann", now=NOW)
    expire(chat, limit=2)
    assert receipts(chat) == [("m", "bob"), ("w", "r11")]
    read(chat, "r12", "w", sender="ann", now=NOW)
    expire(chat, before=NOW + 1)
    assert receipts(chat) == []


def test_a_receipt_whose_message_is_registered_in_time_stays(chat: SqlStore) -> None:
    """It is the message's then, and leaves with it."""
    read(chat, "bob", "m", sender="ann")
    chat.conversations.put([NewConversation("c", "group", GROUP)])
    register(chat, ("m", NOW))
    expire(chat)
    assert receipts(chat) == [("m", "bob")]


@pytest.mark.parametrize("piece", [1, 2, 3, 4])
def test_a_receipt_whose_message_is_registered_meanwhile_stays(
    adapter: Adapter, chat: SqlStore, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """It is counted, so it must not go."""
    chat.conversations.put([NewConversation("c", "group", GROUP)])
    read(chat, "bob", "m", sender="ann")
    run = chat.connections.run
    runs = 0

    def running(work: Any, **how: bool) -> object:
        nonlocal runs
        runs += 1
        if runs == piece:
            with closing(adapter.open(rules=RULES)) as other:
                register(other, ("m", NOW))
        return run(work, **how)

    with monkeypatch.context() as patched:
        patched.setattr(chat.connections, "run", running)
        while chat.retention.expire(before=NOW, limit=10):
            pass
    assert runs > piece
    assert receipts(chat) == [("m", "bob")]
    assert differences(chat) == []


def test_with_nothing_old_nothing_is_touched(chat: SqlStore) -> None:
    """The answer is 0, and all stays as it is."""
    assert chat.retention.expire(before=NOW, limit=100) == 0
    fill(chat)
    before = contents(chat)
    assert chat.retention.expire(before=OLD, limit=100) == 0
    assert contents(chat) == before


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_the_size_of_the_pieces_makes_no_difference(chat: SqlStore, limit: int) -> None:
    """The same is left, and the counters are right after each."""
    fill(chat)
    expire(chat, limit=limit)
    assert messages(chat) == ["m8", "m9"]
    assert unread(chat) == LEFT
    assert len(receipts(chat)) == 5


def test_who_left_before_what_is_left_is_forgotten(chat: SqlStore) -> None:
    """Nothing depends on when they were here; those who are here stay."""
    fill(chat)
    expire(chat)
    assert rows(chat, "SELECT * FROM members WHERE user_id = 'leo'") == []
    assert set(unread(chat)) == set(LEFT)


@pytest.mark.usefixtures("small_pieces")
def test_the_end_of_the_process_at_any_moment_changes_nothing(
    adapter: Adapter, chat: SqlStore
) -> None:
    """Whoever goes on comes to the same; the counters are right all the way."""
    fill(chat)
    expire(chat, limit=4)
    whole = settled(contents(chat))
    after = 0
    ended = True
    while ended:
        after += 1
        clear(chat)
        fill(chat)
        with closing(adapter.open(rules=RULES)) as first:
            ended = ending_after(first, after, lambda store=first: without_looking(store))  # type: ignore[misc]
        assert differences(chat) == []
        with closing(adapter.open(rules=RULES)) as fresh:
            expire(fresh, limit=4)
        assert settled(contents(chat)) == whole
    assert after > 15


def without_looking(store: SqlStore) -> None:
    """All that is older than NOW, in no more transactions than it takes."""
    while store.retention.expire(before=NOW, limit=4):
        pass


def settled(found: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    """The same without members' rows that may be forgotten sooner or later."""
    return found | {"members": [row for row in found["members"] if row[1] != "leo"]}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(("reader_id", "msg_id"), [("bob", "m0"), ("kim", "m2"), ("kim", "m5")])
def test_a_receipt_may_be_taken_back_between_two_pieces(
    chat: SqlStore, reader_id: str, msg_id: str
) -> None:
    """Or be made; what was given up comes to count again, and is given up again."""
    pieces = 0
    while True:
        pieces += 1
        clear(chat)
        fill(chat)
        for _ in range(pieces):
            chat.retention.expire(before=NOW, limit=3)
        if (msg_id, reader_id) not in receipts(chat):
            break
        chat.recording.withdraw(msg_id, reader_id, now=OLD, lease=None)
        assert differences(chat) == []
        read(chat, reader_id, msg_id)
        assert differences(chat) == []
        chat.recording.withdraw(msg_id, reader_id, now=OLD, lease=None)
        expire(chat, limit=3)
        assert unread(chat) == LEFT
    assert pieces > 2


@pytest.mark.usefixtures("small_pieces")
def test_marks_go_on_meanwhile(adapter: Adapter, chat: SqlStore) -> None:
    """Of old messages and new ones, by those who read one by one or all at once."""
    fill(chat)
    new = [f"n{number}" for number in range(40)]
    failed: list[BaseException] = []

    def go_on(reader_id: str) -> None:
        try:
            with closing(adapter.open(rules=RULES)) as other:
                for number, msg_id in enumerate(new):
                    if reader_id == "ann":
                        register(other, (msg_id, OLD if number < 20 else NOW))
                    elif number % 5 == 0:
                        other.recording.read_conversation(reader_id, "c", None, now=NOW, lease=None)
                    else:
                        marks = [Mark(f"m{number % 10}", reader_id, "", "")]
                        other.record(marks, now=NOW, lease=None)
        except BaseException as error:  # noqa: BLE001 -- told below
            failed.append(error)

    threads = [threading.Thread(target=go_on, args=(user,)) for user in ("ann", "joe", "kim")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        chat.retention.expire(before=NOW, limit=3)
    for thread in threads:
        thread.join()
    assert failed == []
    expire(chat, limit=3)
    assert messages(chat) == ["m8", "m9", *new]
    assert differences(chat) == []
