"""Leavers are settled piece by piece, on every adapter; each piece leaves all numbers right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.store import settling as module
from seenby.store.conversations import MembersChange
from tests.contract.store_adapters import NOW, rows
from tests.contract.store_adapters import change as spoil
from tests.contract.store_chats import chat, count, read, send, settle, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.sql import SqlStore


@pytest.fixture(autouse=True)
def verified(store: SqlStore) -> Iterator[None]:
    """After every test all counters are what receipts and members say."""
    yield
    assert wrong(store) == []


def leave(store: SqlStore, *user_ids: str, conversation_id: str = "c1") -> None:
    """Members leave, and are not settled."""
    store.conversations.change([MembersChange(conversation_id, [], list(user_ids))])


def pieces(store: SqlStore, conversation_ids: list[str] | None = None) -> int:
    """Settle; how many pieces that were. After each all counters are right."""
    done = 0
    while store.conversations.settle(conversation_ids):
        done += 1
        assert store.verifying.verify("c1", repair=False) == []
    return done


@pytest.mark.parametrize("messages", [11, 12])
def test_many_messages_are_settled_in_pieces(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    """Whether a piece ends with the last message or not."""
    monkeypatch.setattr(module, "CHUNK", 3)
    chat(store, ["ann", "bob", "cid", "dan"])
    sent = [f"m{number}" for number in range(messages)]
    send(store, *sent)
    read(store, "cid", "m1", "m5", "m10")
    leave(store, "cid", "dan")
    assert pieces(store) in {4, 5}
    expected = [(1, 2) if each in {"m1", "m5", "m10"} else (0, 1) for each in sent]
    assert [count(store, each) for each in sent] == expected
    assert rows(store, "SELECT settled FROM members WHERE until IS NOT NULL") == [(messages,)] * 2


def test_many_leavers_share_the_way(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece looks for a bounded number of receipts, of several leavers at once."""
    monkeypatch.setattr(module, "TOGETHER", 4)
    monkeypatch.setattr(module, "LOOKUPS", 12)
    everybody = [f"u{number}" for number in range(8)]
    chat(store, ["ann", *everybody])
    sent = [f"m{number}" for number in range(6)]
    send(store, *sent)
    send(store, "own", sender_id="u1")
    read(store, "u2", "m3")
    leave(store, *everybody)
    # Twice four leavers, each time three pieces of three messages.
    assert pieces(store) == 6
    assert [count(store, each) for each in sent] == [(0, 0)] * 3 + [(1, 1)] + [(0, 0)] * 2
    assert count(store, "own") == (0, 1)


def test_those_of_different_times_share_it_too(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who came later, who left earlier, who was there twice, who had begun to be settled."""
    monkeypatch.setattr(module, "CHUNK", 2)
    chat(store, ["ann", "bob", "cid", "dan"])
    send(store, "m1", "m2", "m3")
    leave(store, "bob")
    assert store.conversations.settle()
    store.conversations.change([MembersChange("c1", ["eve"], ["cid"])])
    send(store, "m4", "m5")
    store.conversations.change([MembersChange("c1", ["cid"], [])])
    send(store, "m6", "m7")
    read(store, "cid", "m6")
    leave(store, "cid", "eve")
    assert pieces(store) > 2
    assert [count(store, f"m{number}") for number in range(1, 8)] == [
        (0, 1), (0, 1), (0, 1), (0, 1), (0, 1), (1, 2), (0, 1),
    ]  # fmt: skip


def test_a_caller_settles_its_own_conversations(store: SqlStore) -> None:
    """Those of others are left to others, or to a sweep of all."""
    for conversation_id in ("c1", "c2"):
        chat(store, ["ann", "bob"], conversation_id)
        send(store, f"m-{conversation_id}", conversation_id=conversation_id)
    for conversation_id in ("c1", "c2"):
        leave(store, "bob", conversation_id=conversation_id)
    assert pieces(store, []) == pieces(store, ["c3"]) == 0
    assert pieces(store, ["c2", "c3"]) == 1
    assert (count(store, "m-c1"), count(store, "m-c2")) == ((0, 1), (0, 0))
    assert pieces(store) == 1
    assert count(store, "m-c1") == (0, 0)


def test_between_two_pieces_everything_goes_on(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those not settled yet still count; marks, withdrawals and returns are right at any time."""
    monkeypatch.setattr(module, "CHUNK", 2)
    chat(store, ["ann", "bob", "cid", "dan"])
    send(store, *(f"m{number}" for number in range(6)))
    leave(store, "cid", "dan")
    assert store.conversations.settle()
    assert [count(store, f"m{number}") for number in (0, 5)] == [(0, 1), (0, 3)]
    read(store, "cid", "m0", "m1", "m5")
    store.recording.withdraw("m1", "cid", now=NOW, lease=None)
    store.conversations.change([MembersChange("c1", ["cid"], [])])
    assert [count(store, f"m{number}") for number in (0, 1, 5)] == [(1, 2), (0, 1), (1, 3)]
    assert pieces(store) > 1
    assert [count(store, f"m{number}") for number in range(6)] == [
        (1, 2), (0, 1), (0, 1), (0, 1), (0, 1), (1, 2),
    ]  # fmt: skip


def test_a_leaver_of_whom_nothing_is_left_is_forgotten(store: SqlStore) -> None:
    """Nobody waits for someone who is not there, and the others are settled."""
    chat(store)
    send(store, "m1")
    leave(store, "bob", "cid")
    spoil(store, "UPDATE messages SET audience = 1 WHERE msg_id = 'm1'")
    spoil(store, "DELETE FROM members WHERE user_id = 'bob'")
    settle(store)
    assert count(store, "m1") == (0, 0)
