"""Marks, registrations, comings and leavings at once: every counter is right, at every moment."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from seenby.errors import Conflict
from seenby.model import Mark, NewMessage, Receipt
from seenby.rules import DEFAULT, Rules
from seenby.store import settling as module
from seenby.store.conversations import MembersChange, NewConversation
from seenby.tally import Conversation, Message
from tests.contract.store_adapters import ADAPTERS, NOW, rows
from tests.contract.store_chats import change, chat, count, send, settle, unread, wrong
from tests.contract.test_store_concurrency import somebody_waits
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from seenby.store.sql import SqlStore
    from seenby.store.writing import Done
    from tests.contract.store_adapters import Adapter

ON_MARIADB = [name for name in ADAPTERS if name != "sqlite"]

ROUNDS = 20

HIDING = Rules(forced=False)
"""Nobody's receipts are sent."""


@pytest.fixture(autouse=True)
def verified(store: SqlStore) -> Iterator[None]:
    """After every test all counters are what receipts and members say."""
    yield
    settle(store)
    assert wrong(store) == []


@pytest.fixture(params=[DEFAULT, HIDING], ids=["shown", "hidden"])
def other(adapter: Adapter, request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """The same database under another process's eyes, whose readers show themselves or hide."""
    rules: Rules = request.param
    with closing(adapter.open(rules=rules)) as opened:
        yield opened


def at_once(*works: Callable[[], object]) -> list[Any]:
    """Do all of them at the same moment, each in a thread of its own; what they return."""
    together = threading.Barrier(len(works))

    def one(work: Callable[[], object]) -> object:
        together.wait(PATIENCE)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        futures = [threads.submit(one, work) for work in works]
        return [future.result(2 * PATIENCE) for future in futures]


class Gate:
    """Stops whatever writes at the moment when it has looked and locked, and lets it go on."""

    def __init__(self, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        writing = store.recording._writing
        write = writing.write

        def gated(*args: Any) -> Done:
            self.reached.set()
            assert self.open.wait(PATIENCE)
            return write(*args)

        monkeypatch.setattr(writing, "write", gated)


def done_or_waiting(future: Future[Any], store: SqlStore) -> Callable[[], bool]:
    """Whether it is done, or waits for a lock."""
    return lambda: future.done() or somebody_waits(store)


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
@pytest.mark.parametrize("sender_id", ["ann", "mallory"])
def test_a_mark_on_its_way_is_found_by_the_registration_of_its_message(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch, sender_id: str
) -> None:
    """It saw no message, whomever it names as the sender; or it finds the message at last."""
    chat(store)
    gate = Gate(other, monkeypatch)
    early = Mark("m1", "bob", sender_id, "c1", "group")
    with ThreadPoolExecutor(2) as threads:
        marking = threads.submit(other.record, [early], now=NOW, lease=None)
        assert gate.reached.wait(PATIENCE)
        registering = threads.submit(send, store, "m1")
        wait_until("the registration comes as far as it can", done_or_waiting(registering, store))
        gate.open.set()
        marking.result(PATIENCE)
        registering.result(PATIENCE)
    marked = len(rows(store, "SELECT * FROM receipts"))
    assert unread(store, "bob") == 1 - marked
    assert rows(store, "SELECT DISTINCT sender_id FROM receipts") == [("ann",)][:marked]


@pytest.mark.parametrize("adapter", ON_MARIADB, indirect=True)
@pytest.mark.parametrize("sender_id", ["ann", "mallory"])
def test_a_receipt_that_is_taken_back_on_the_way_is_not_counted(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch, sender_id: str
) -> None:
    """The registration finds it and it is counted down again, or it is gone before."""
    chat(store)
    other.record([Mark("m1", "bob", sender_id, "c1", "group")], now=NOW, lease=None)
    gate = Gate(other, monkeypatch)
    with ThreadPoolExecutor(2) as threads:
        withdrawing = threads.submit(other.recording.withdraw, "m1", "bob", now=NOW, lease=None)
        assert gate.reached.wait(PATIENCE)
        registering = threads.submit(send, store, "m1")
        wait_until("the registration comes as far as it can", done_or_waiting(registering, store))
        gate.open.set()
        withdrawing.result(PATIENCE)
        registering.result(PATIENCE)
    assert count(store, "m1") == (0, 2)
    assert unread(store, "bob") == 1


def test_marks_and_registrations_of_the_same_messages(store: SqlStore, other: SqlStore) -> None:
    """Each receipt is counted once, whichever came first."""
    chat(store)
    for number in range(ROUNDS):
        msg_id = f"m{number}"
        marks = [Mark(msg_id, reader, "ann", "c1", "group") for reader in ("bob", "cid")]
        registered, first, second = at_once(
            partial(send, store, msg_id),
            partial(store.record, marks[:1], now=NOW, lease=None),
            partial(other.record, marks, now=NOW, lease=None),
        )
        assert registered[0].number == number + 1
        outcomes = first.outcomes + second.outcomes
        assert [type(each) for each in outcomes] == [Receipt] * 3
    assert [unread(store, each) for each in ("ann", "bob", "cid")] == [0, 0, 0]


def mark(store: SqlStore, msg_ids: list[str]) -> None:
    """Bob reads, one message after the other."""
    for each in msg_ids:
        store.record([Mark(each, "bob", "", "")], now=NOW, lease=None)


def take_back(store: SqlStore, msg_ids: list[str]) -> None:
    """Cid reads, and takes each back at once."""
    for each in msg_ids:
        store.record([Mark(each, "cid", "", "")], now=NOW, lease=None)
        store.recording.withdraw(each, "cid", now=NOW, lease=None)


def sweep(store: SqlStore) -> None:
    """A sweep, again and again."""
    for _ in range(5):
        store.conversations.settle()


def test_marks_of_someone_whose_leaving_is_settled(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read before or after: a leaver is counted exactly where there is a receipt that counts."""
    monkeypatch.setattr(module, "CHUNK", 3)
    for number in range(ROUNDS // 4):
        conversation_id = f"c{number}"
        chat(store, ["ann", "bob", "cid", "dan"], conversation_id)
        sent = [f"m{number}-{each}" for each in range(10)]
        send(store, *sent, conversation_id=conversation_id)

        at_once(
            partial(change, store, remove="bob cid", conversation_id=conversation_id),
            partial(mark, store, sent[::2]),
            partial(mark, other, sent[1::2]),
            partial(take_back, store, sent[::-1]),
            partial(sweep, other),
        )
        assert [count(store, each) for each in sent[::2]] == [(1, 2)] * 5


def test_two_registrations_of_the_same_messages(store: SqlStore, other: SqlStore) -> None:
    """Each is registered once, both are answered the same, no number is given twice or lost."""
    chat(store)
    chat(store, conversation_id="c2")
    for number in range(ROUNDS):
        new = [
            NewMessage(f"m{number}-{each}", f"c{each % 2 + 1}", random.choice(["ann", "bob"]))
            for each in range(6)
        ]
        first, second = at_once(
            partial(store.conversations.register, new, now=NOW),
            partial(other.conversations.register, new[::-1], now=NOW),
        )
        assert first == second[::-1]
    for conversation_id in ("c1", "c2"):
        conversation = store.conversations.get(conversation_id)
        assert conversation is not None
        assert conversation.last == 3 * ROUNDS
        statement = "SELECT number FROM messages WHERE conversation_id = :c ORDER BY number"
        numbers = rows(store, store._database.text(statement), c=conversation_id)
        assert numbers == [(number,) for number in range(1, 3 * ROUNDS + 1)]


def test_two_senders_of_one_id(store: SqlStore, other: SqlStore) -> None:
    """One of them has it, the other is refused."""
    chat(store)
    chat(store, conversation_id="c2")
    for number in range(ROUNDS):
        msg_id = f"m{number}"
        outcomes = at_once(
            partial(store.conversations.register, [NewMessage(msg_id, "c1", "ann")], now=NOW),
            partial(other.conversations.register, [NewMessage(msg_id, "c2", "bob")], now=NOW),
        )
        assert {type(outcome) for [outcome] in outcomes} == {Message, Conflict}


def test_two_puts_of_one_conversation(store: SqlStore, other: SqlStore) -> None:
    """One comes after the other: the members are those of one of them, never a mixture."""
    for number in range(ROUNDS):
        conversation_id = f"c{number // 2}"
        lists = [["ann", "bob", f"x{number}"], ["ann", "cid"]]
        first, second = [NewConversation(conversation_id, "group", each) for each in lists]
        outcomes = at_once(
            partial(store.conversations.put, [first]), partial(other.conversations.put, [second])
        )
        assert [type(outcome) for [outcome] in outcomes] == [Conversation, Conversation]
        members = store.conversations.members(conversation_id, after="", limit=10)
        assert members in lists
        if number % 2 == 0:
            send(store, f"m{number}", conversation_id=conversation_id)


def test_leaving_against_registering(store: SqlStore, other: SqlStore) -> None:
    """A message counts exactly those who were members when it got its number."""
    chat(store, ["ann", "bob", "cid", "dan"])
    for number in range(ROUNDS):
        come, go = ("cid", "dan") if number % 2 else ("dan", "cid")
        sent, _, changed = at_once(
            partial(send, store, f"m{number}"),
            partial(send, other, f"n{number}", sender_id="bob"),
            partial(other.conversations.change, [MembersChange("c1", [come], [go])]),
        )
        assert isinstance(changed[0], Conversation)
        assert sent[0].sent_to in {2, 3}


def test_verifying_raises_no_false_alarm(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While everything goes on at once; and a repair spoils nothing."""
    monkeypatch.setattr(module, "CHUNK", 2)
    users = ["ann", "bob", "cid", "dan", "eve"]
    chat(store, users)
    stop = threading.Event()

    def live(which: SqlStore, seed: int) -> None:
        chance = random.Random(seed)
        sent: list[str] = []
        for number in range(60):
            if number % 3 == 0:
                sent.append(f"m{seed}-{number}")
                send(which, sent[-1], sender_id=chance.choice(users))
            picked = chance.choice(sent)
            reader = chance.choice(users)
            marked = which.record([Mark(picked, reader, "", "")], now=NOW, lease=None)
            if isinstance(marked.outcomes[0], Receipt) and chance.random() < 0.4:
                which.recording.withdraw(picked, reader, now=NOW, lease=None)
            if chance.random() < 0.3:
                change(which, remove=chance.choice(users))
            if chance.random() < 0.3:
                change(which, add=chance.choice(users))

    def verify() -> list[object]:
        found: list[object] = []
        while not stop.is_set():
            found += store.verifying.verify("c1", repair=True)
        return found

    with ThreadPoolExecutor(1) as verifier:
        verifying = verifier.submit(verify)
        try:
            at_once(partial(live, store, 1), partial(live, other, 2))
        finally:
            stop.set()
        assert verifying.result(PATIENCE) == []
