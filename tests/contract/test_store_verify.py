"""Spoilt counters are found and put right, on every adapter; right ones are left alone."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from seenby.store import verifying as module
from seenby.store.verifying import Difference
from tests.contract.store_adapters import NOW, rows
from tests.contract.store_adapters import change as spoil
from tests.contract.store_chats import change, chat, read, send, unread, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seenby.store.connections import Row
    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

SPOILT = {
    "UPDATE conversations SET members = 9 WHERE conversation_id = 'c1'": Difference(
        "conversations.members", "c1", 9, 4
    ),
    "UPDATE messages SET readers = 7 WHERE msg_id = 'm2'": Difference(
        "messages.readers", "m2", 7, 1
    ),
    "UPDATE messages SET audience = 0 WHERE msg_id = 'm1'": Difference(
        "messages.audience", "m1", 0, 3
    ),
    "UPDATE messages SET audience = 8 WHERE msg_id = 'm4'": Difference(
        "messages.audience", "m4", 8, 3
    ),
    "UPDATE members SET done = 5 WHERE user_id = 'bob'": Difference("members.done", "bob", 5, 2),
    "UPDATE members SET done = -1 WHERE user_id = 'dan'": Difference("members.done", "dan", -1, 1),
}


@pytest.fixture(autouse=True)
def lived_in(store: SqlStore) -> Iterator[None]:
    """Two conversations in which people have come, left, sent and read; they are right at last."""
    chat(store, ["ann", "bob", "cid", "dan"])
    chat(store, ["ann", "bob"], "c2", "private")
    send(store, "m1", "m2", "m3")
    send(store, "x1", "x2", conversation_id="c2")
    read(store, "cid", "m1")
    read(store, "bob", "m2", "m3", "x1")
    change(store, remove="cid", add="eve")
    send(store, "m4", sender_id="dan")
    read(store, "cid", "m3")
    yield
    assert wrong(store) == []


def everything(store: SqlStore) -> list[object]:
    """All rows with counters."""
    return [
        rows(store, f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        for table in ("conversations", "members", "messages", "receipts")
    ]


@pytest.mark.parametrize("piece", [1, 100_000], ids=["small", "large"])
def test_what_is_right_is_left_alone(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """In pieces of any size."""
    monkeypatch.setattr(module, "PIECE", piece)
    before = everything(store)
    assert store.verifying.verify("c1", repair=True) == []
    assert store.verifying.verify("c2", repair=True) == []
    assert everything(store) == before


@pytest.mark.parametrize("piece", [1, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("statement", SPOILT, ids=[each.split()[3] for each in SPOILT])
def test_a_spoilt_counter_is_found_and_put_right(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, statement: str, piece: int
) -> None:
    """It is said where, what stood there, and what should have; nothing else is touched."""
    monkeypatch.setattr(module, "PIECE", piece)
    before = everything(store)
    spoil(store, f"{statement}{' AND ' + HERE if 'members SET' in statement else ''}")
    spoilt = everything(store)
    assert store.verifying.verify("c1", repair=False) == [SPOILT[statement]]
    assert everything(store) == spoilt
    assert store.verifying.verify("c2", repair=True) == []
    assert store.verifying.verify("c1", repair=True) == [SPOILT[statement]]
    assert everything(store) == before


HERE = "conversation_id = 'c1'"


def test_all_at_once_are_put_right(store: SqlStore) -> None:
    """Both counters of one message too."""
    before = everything(store)
    spoil(store, "UPDATE conversations SET members = members + 1")
    spoil(store, "UPDATE messages SET readers = readers + 1, audience = audience + 1")
    spoil(store, "UPDATE members SET done = done + 1 WHERE until IS NULL")
    found = [
        difference
        for each in store.verifying.conversations("", 10)
        for difference in store.verifying.verify(each, repair=True)
    ]
    assert len(found) == 2 + 2 * 6 + 6
    assert {difference.found - difference.right for difference in found} == {1}
    assert everything(store) == before


def test_a_compacted_base_is_verified_from_there(store: SqlStore) -> None:
    """Up to base all is done, whoever counted it."""
    store.recording.read_conversation("bob", "c1", None, now=1, lease=None)
    send(store, "m5")
    assert unread(store, "bob") == 1
    spoil(store, "UPDATE members SET done = 4 WHERE user_id = 'bob' AND conversation_id = 'c1'")
    assert store.verifying.verify("c1", repair=True) == [Difference("members.done", "bob", 4, 0)]
    assert unread(store, "bob") == 1


def test_a_base_over_what_is_unread_is_found_and_put_right(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the oldest messages, which may be about to leave: their unread were given up."""
    before = everything(store)
    spoil(store, f"UPDATE members SET base = 4, done = 0 WHERE user_id = 'bob' AND {HERE}")
    assert store.verifying.verify("c1", repair=False) == []
    monkeypatch.setattr(module, "LEAVING", 1)
    assert store.verifying.verify("c1", repair=True) == [Difference("members.done", "bob", 0, -1)]
    assert everything(store) == before
    monkeypatch.setattr(module, "LEAVING", 0)
    assert store.verifying.verify("c1", repair=False) == []


def test_all_of_a_conversation_is_seen_at_one_moment(
    adapter: Adapter, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks, withdrawals and leavings between two pieces are not seen, and do not wait."""
    monkeypatch.setattr(module, "PAGE", 1)
    monkeypatch.setattr(module, "PIECE", 1)
    compare = module.Right.compare
    with closing(adapter.open()) as other:

        def go_on(right: module.Right, messages: Sequence[module.Sent], receipts: list[Row]) -> Any:
            if messages[0].number == 2:
                read(other, "dan", "m1", "m3")
                other.recording.withdraw("m3", "bob", now=NOW, lease=None)
                change(other, remove="eve", add="fay")
                send(other, "m5")
            return compare(right, messages, receipts)

        monkeypatch.setattr(module.Right, "compare", go_on)
        assert store.verifying.verify("c1", repair=False) == []
    monkeypatch.setattr(module.Right, "compare", compare)
    assert unread(store, "dan") == 2


def test_conversations_are_listed_in_pages(store: SqlStore) -> None:
    """In order; one that is not there differs in nothing."""
    assert store.verifying.conversations("", 1) == ["c1"]
    assert store.verifying.conversations("c1", 5) == ["c2"]
    assert store.verifying.conversations("c2", 5) == []
    assert store.verifying.verify("c9", repair=True) == []
