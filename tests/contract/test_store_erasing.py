"""A person is erased everywhere, whatever happens meanwhile, and others' counts stay right."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.errors import Forbidden
from seenby.model import ERASED, Kind, Mark, NewMessage, Position, Receipt
from seenby.rules import Rules
from seenby.store import settling
from seenby.store.base import Ack, Want
from seenby.store.conversations import MembersChange, NewConversation
from seenby.tally import Message
from tests.contract.store_adapters import NOW, rows
from tests.contract.store_chat import (
    clear,
    contents,
    differences,
    ending_after,
    naming,
)
from tests.contract.store_chats import settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

BOB = "bob-who-goes"
RULES = Rules(aggregate_over=4)
EVERYONE = [BOB, "ann", "eve", "joe", "kim"]


@pytest.fixture
def chat(adapter: Adapter) -> Iterator[SqlStore]:
    """A store with a chat in which bob took part in every way there is."""
    with closing(adapter.open(rules=RULES)) as opened:
        clear(opened)
        fill(opened)
        yield opened
        clear(opened)


def read(
    store: SqlStore, reader_id: str, *msg_ids: str, sender_id: str = "", now: int = NOW
) -> None:
    """Marks, all of which are recorded."""
    conversation_id = "wild" if sender_id else ""
    marks = [Mark(msg_id, reader_id, sender_id, conversation_id) for msg_id in msg_ids]
    outcomes = store.record(marks, now=now, lease=0.0).outcomes
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)


def fill(store: SqlStore) -> None:
    """Bob in groups, a private chat and a past, with receipts of all kinds; and a namesake."""
    chat = store.conversations
    # Marks that came before their message: bob is in none of these conversations.
    read(store, BOB, "early", sender_id="ann")
    chat.put(
        [
            NewConversation("group", "group", EVERYONE),
            NewConversation("large", "group", [*EVERYONE, "r1", "r2"]),
            NewConversation("pair", "private", ["ann", BOB]),
            NewConversation("past", "group", EVERYONE),
            NewConversation("others", "group", ["ann", "eve", BOB + "-2"]),
        ]
    )
    chat.register(
        [
            *[NewMessage(f"g{n}", "group", ["ann", BOB][n % 2]) for n in range(6)],
            *[NewMessage(f"l{n}", "large", ["ann", BOB][n % 2]) for n in range(4)],
            *[NewMessage(f"p{n}", "pair", ["ann", BOB][n % 2]) for n in range(4)],
            *[NewMessage(f"x{n}", "past", "ann") for n in range(4)],
            NewMessage("early", "others", "ann"),
            NewMessage("o1", "others", "ann"),
        ],
        now=NOW,
    )
    store.preferences.put(BOB, "pair", send_receipts=False)
    store.preferences.put("ann", "", send_receipts=True)
    read(store, BOB, "g0", "g2", "l0", "l2", "p0", "x0", "x2")
    for other in ("eve", "joe"):
        read(store, other, "g0", "g1", "l0", "l1", "x0")
    read(store, "ann", "g1", "g3", "l1", "p1")
    read(store, "kim", "l1")
    read(store, BOB + "-2", "o1")
    read(store, BOB, "w1", "w2", sender_id="ann")
    read(store, "ann", "w3", sender_id=BOB)
    store.recording.withdraw("g2", BOB, now=NOW + 1, lease=0.0)
    store.recording.withdraw("w1", BOB, now=NOW + 2, lease=0.0)
    chat.change([MembersChange("past", [], [BOB])])
    settle(store)
    position = Position(store.epoch(), 1)
    store.acknowledge(
        [Ack(user, device, position) for user in (BOB, "ann") for device in ("phone", "web")],
        now=NOW,
    )


def erase(store: SqlStore, *, limit: int = 3, person: str = BOB) -> None:
    """To the end."""
    store.erasing.ask(person, now=NOW)
    while not store.erasing.step(person, limit=limit):
        pass


def counts(store: SqlStore, *msg_ids: str) -> list[tuple[int, int]]:
    """How many have read each message, of how many."""
    found = {
        row[0]: row[1:] for row in rows(store, "SELECT msg_id, readers, audience FROM messages")
    }
    return [found[msg_id] for msg_id in msg_ids]


def others_members(store: SqlStore) -> list[tuple[object, ...]]:
    """What stands of everybody else's time in conversations."""
    return sorted(row for row in rows(store, "SELECT * FROM members") if row[1] != BOB)


def gone(store: SqlStore) -> bool:
    """Whether nothing names bob any more; his namesake stays."""
    left = {
        table: [row for row in listed if BOB in repr(row).replace(BOB + "-2", "")]
        for table, listed in contents(store).items()
    }
    return not any(left.values())


def test_nothing_names_an_erased_person(chat: SqlStore) -> None:
    """In no column of no table; of somebody with a similar name all stays."""
    assert set(naming(chat, BOB)) >= {
        "receipts",
        "streams",
        "events",
        "outbox",
        "devices",
        "members",
        "messages",
        "preferences",
    }
    namesakes = {t: repr(listed).count(BOB + "-2") for t, listed in contents(chat).items()}
    erase(chat)
    assert gone(chat)
    assert {t: repr(listed).count(BOB + "-2") for t, listed in contents(chat).items()} == namesakes
    assert chat.erasing.asked() == []


def test_counts_follow(chat: SqlStore) -> None:
    """An erased person neither has read a message nor was it sent to them; verify agrees."""
    before = counts(chat, "g0", "g1", "g2", "x0", "x1", "early")
    assert before == [(3, 4), (3, 4), (0, 4), (3, 4), (0, 3), (0, 2)]
    erase(chat)
    assert counts(chat, "g0", "g1", "g2", "x0", "x1", "early") == [
        (2, 3),
        (3, 4),
        (0, 3),
        (2, 3),
        (0, 3),
        (0, 2),
    ]
    assert differences(chat) == []


def test_others_see_their_own_numbers_unchanged(chat: SqlStore) -> None:
    """Messages that the person sent stay in order and are unread where they were."""
    before = others_members(chat)
    numbers = rows(chat, "SELECT msg_id, number FROM messages ORDER BY msg_id")
    erase(chat)
    assert others_members(chat) == before
    assert rows(chat, "SELECT msg_id, number FROM messages ORDER BY msg_id") == numbers
    senders = rows(chat, "SELECT DISTINCT sender_id FROM messages ORDER BY sender_id")
    assert [sender for (sender,) in senders] == [ERASED, "ann"]
    assert rows(chat, "SELECT members FROM conversations WHERE conversation_id = 'group'") == [(4,)]


def test_streams_of_others_keep_their_places(chat: SqlStore) -> None:
    """What named the person is there without a body; all else is as it was, and nobody is told."""
    [before] = chat.pages([Want("ann", 0, 100)])
    assert {Kind(event.kind) for event in before.events if event.reader_id == BOB} == {
        Kind.RECEIPT,
        Kind.WITHDRAWN,
    }
    erase(chat)
    [after] = chat.pages([Want("ann", 0, 100)])
    assert (after.head, after.floor) == (before.head, before.floor)
    assert [event.seq for event in after.events] == [event.seq for event in before.events]
    for was, event in zip(before.events, after.events, strict=True):
        if was.reader_id == BOB:
            assert event.msg_id == event.reader_id == event.conversation_id == ""
            assert event.count is event.of is None
        else:
            assert event == was


def test_what_is_still_to_be_published_names_nobody(chat: SqlStore) -> None:
    """Events of the person's stream are published no more, others' in the same batch are."""
    erase(chat)
    published = [
        event for batch in chat.claim(owner="n", lease=1.0, limit=1000) for event in batch.events
    ]
    assert {event.sender_id for event in published} >= {"ann", "eve", "joe"}
    assert BOB not in {name for e in published for name in (e.sender_id, e.reader_id)}
    # No batch stays that nobody would ever take.
    assert rows(chat, "SELECT COUNT(*) FROM outbox WHERE lease_until = 0") == [(0,)]


def test_messages_of_an_erased_person_are_still_read(chat: SqlStore) -> None:
    """Recorded and counted; nobody is told but the reader's own devices."""
    erase(chat)
    recorded = chat.record([Mark("g5", "eve", "", "")], now=NOW + 5, lease=0.0)
    assert [event.sender_id for event in recorded.events] == ["eve"]
    assert counts(chat, "g5") == [(1, 4)]
    assert differences(chat) == []
    assert gone(chat)


def test_an_erased_person_is_in_no_conversation(chat: SqlStore) -> None:
    """A mark is refused as a stranger's is."""
    erase(chat)
    [outcome] = chat.record([Mark("g4", BOB, "", "")], now=NOW + 5, lease=0.0).outcomes
    assert isinstance(outcome, Forbidden)


def test_asking_again_changes_nothing(chat: SqlStore) -> None:
    """An erasure that has begun goes on where it is; one that has ended may begin again."""
    chat.erasing.ask(BOB, now=NOW)
    for _ in range(12):
        assert not chat.erasing.step(BOB, limit=3)
    far = rows(chat, "SELECT * FROM erasures")
    chat.erasing.ask(BOB, now=NOW + 1)
    assert rows(chat, "SELECT * FROM erasures") == far
    assert chat.erasing.asked() == [BOB]
    erase(chat)
    after = contents(chat)
    erase(chat)
    assert contents(chat) == after


def test_people_wait_in_the_order_of_their_asking(chat: SqlStore) -> None:
    """Who was asked for first is erased first."""
    for now, person in enumerate(("eve", "ann", "joe")):
        chat.erasing.ask(person, now=now)
    assert chat.erasing.asked() == ["eve", "ann", "joe"]
    for person in chat.erasing.asked():
        erase(chat, person=person)
    assert chat.erasing.asked() == []
    assert differences(chat) == []


def test_who_was_never_here_is_erased_at_once(chat: SqlStore) -> None:
    """Nothing is changed for a name that nobody bore; nor without having been asked."""
    before = contents(chat)
    assert chat.erasing.step(BOB)
    erase(chat, person="nobody")
    assert contents(chat) == before


def test_the_end_of_the_process_at_any_moment_changes_nothing(
    adapter: Adapter, chat: SqlStore
) -> None:
    """Whoever goes on comes to the same; the counters are right all the way."""
    erase(chat, limit=5)
    whole = contents(chat)
    after = 0
    ended = True
    while ended:
        after += 1
        clear(chat)
        fill(chat)
        ended = ending_after(chat, after, lambda: erase(chat, limit=5))
        assert differences(chat) == []
        with closing(adapter.open(rules=RULES)) as fresh:
            erase(fresh, limit=5)
        assert contents(chat) == whole
    assert after > 20


def test_what_a_person_does_while_being_erased_goes_too(chat: SqlStore) -> None:
    """A mark between any two steps is erased with the rest, or refused."""
    recorded, refused, step = 0, 0, 0
    while not refused:
        clear(chat)
        fill(chat)
        chat.erasing.ask(BOB, now=NOW)
        for _ in range(step):
            chat.erasing.step(BOB, limit=5)
        [outcome] = chat.record([Mark("g4", BOB, "", "")], now=NOW + 9, lease=0.0).outcomes
        recorded += isinstance(outcome, Receipt)
        refused += not isinstance(outcome, Receipt)
        assert differences(chat) == []
        erase(chat)
        assert gone(chat)
        assert differences(chat) == []
        step += 1
    assert recorded > 5


def test_a_person_who_is_added_meanwhile_leaves_again(chat: SqlStore) -> None:
    """Between any two steps, and reads what came before and after: it all goes, and is counted."""
    step, ended = 0, False
    while not ended:
        clear(chat)
        fill(chat)
        chat.erasing.ask(BOB, now=NOW)
        for _ in range(step):
            ended = chat.erasing.step(BOB, limit=5)
        if not ended:
            chat.conversations.change([MembersChange("group", [BOB], [])])
            chat.conversations.register(
                [NewMessage(f"again{n}", "group", "ann") for n in range(3)], now=NOW
            )
            read(chat, BOB, "again0", "again2")
            chat.record([Mark("g4", BOB, "", "")], now=NOW, lease=0.0)
            read(chat, "eve", "again0")
            erase(chat, limit=5)
        assert gone(chat)
        assert differences(chat) == []
        step += 1
    assert step > 20


def test_a_long_leaving_goes_in_pieces(chat: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the person's own, in steps as small as those of any other leaving."""
    monkeypatch.setattr(settling, "CHUNK", 2)
    chat.conversations.change([MembersChange("others", [], ["eve"])])
    chat.erasing.ask(BOB, now=NOW)
    # They leave; then two pieces in each of two conversations, and three in one of six messages.
    for _ in range(1 + 2 + 2 + 3):
        assert not chat.erasing.step(BOB, limit=5)
    assert rows(chat, "SELECT user_id FROM leavers") == [("eve",)]
    assert rows(chat, "SELECT stage FROM erasures") == [(0,)]
    erase(chat)
    settle(chat)
    assert differences(chat) == []


def test_a_message_of_an_erased_person_may_be_registered_again(chat: SqlStore) -> None:
    """It is answered as it stands, and nobody is named."""
    erase(chat)
    [message] = chat.conversations.register([NewMessage("g1", "group", BOB)], now=NOW)
    assert isinstance(message, Message)
    assert message.sender_id == ERASED
    assert gone(chat)


def test_others_go_on_meanwhile(adapter: Adapter, chat: SqlStore) -> None:
    """Their marks, also of the person's messages, are recorded and counted, each once."""
    msg_ids = [f"new{n}" for n in range(60)]
    chat.conversations.register(
        [NewMessage(msg_id, "group", ["ann", BOB][n % 2]) for n, msg_id in enumerate(msg_ids)],
        now=NOW,
    )
    failed: list[BaseException] = []

    def go_on(readers: Sequence[str]) -> None:
        try:
            with closing(adapter.open(rules=RULES)) as other:
                for msg_id in msg_ids:
                    for reader in readers:
                        read(other, reader, msg_id)
        except BaseException as error:  # noqa: BLE001 -- told below
            failed.append(error)

    threads = [threading.Thread(target=go_on, args=([reader],)) for reader in ("eve", "joe", "kim")]
    for thread in threads:
        thread.start()
    erase(chat, limit=7)
    for thread in threads:
        thread.join()
    # What was on its way at the very end: asked for again, all is gone through again.
    erase(chat)
    assert failed == []
    assert {readers for readers, _ in counts(chat, *msg_ids)} == {3}
    assert differences(chat) == []
    assert gone(chat)
    with pytest.raises(Forbidden):
        chat.recording.read_conversation(BOB, "group", None, now=NOW, lease=0.0)


def test_a_seq_is_not_used_twice(chat: SqlStore) -> None:
    """Whoever comes by that name later goes on behind what was: an old position is a reset."""
    [before] = chat.pages([Want(BOB, 0, 100)])
    assert before.head > 0
    for times in (1, 2):
        erase(chat)
        chat.record([Mark(f"new{times}", "eve", BOB, "c")], now=NOW + 9, lease=None)
        [after] = chat.pages([Want(BOB, 1, 100)])
        assert (after.floor, after.head) == (before.head + times - 1, before.head + times)
        assert [(event.seq, event.msg_id) for event in after.events] == [
            (before.head + times, f"new{times}")
        ]
