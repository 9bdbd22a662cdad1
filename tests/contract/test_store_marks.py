"""Marks on every adapter of the store: the first read wins, seqs have no gaps, all or nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from seenby.errors import Conflict, OwnMessage, StoreRefused
from seenby.model import Event, Receipt
from seenby.store.base import Want
from tests.contract.store_adapters import NOW, counts, mark, numbered, rows

if TYPE_CHECKING:
    from seenby.model import Mark
    from seenby.store.sql import SqlStore
    from seenby.tally import Refusal
    from tests.contract.store_adapters import Adapter

PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def receipt_of(outcome: Receipt | Conflict | Refusal) -> Receipt:
    """The outcome of a mark that was not refused."""
    assert isinstance(outcome, Receipt)
    return outcome


def record(store: SqlStore, *marks: Mark, now: int = NOW) -> list[Receipt]:
    """Record marks none of which is refused, without an outbox row."""
    return [receipt_of(outcome) for outcome in store.record(marks, now=now, lease=None).outcomes]


def page(store: SqlStore, user_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
    """A page of one stream."""
    return store.pages([Want(user_id, after, limit)])[0].events


def test_a_mark_becomes_a_receipt_and_an_event(store: SqlStore) -> None:
    """What was marked is what is kept, told and read back, with the commit's time."""
    recorded = store.record(
        [mark("m1", "bob", "ann", "c1", "group", "phone", TRACE)], now=NOW, lease=30.0
    )

    [receipt] = [receipt_of(outcome) for outcome in recorded.outcomes]
    assert receipt == Receipt(receipt.id, "m1", "bob", "ann", "c1", "group", NOW, "phone")
    assert recorded.events == [Event("ann", 1, "m1", "bob", "c1", NOW, NOW, "phone", TRACE)]
    assert recorded.epoch == store.epoch()
    assert page(store, "ann") == [replace(recorded.events[0], trace="")]
    [found] = store.receipts(["m1"], sender_id=None, after_id=0, limit=10)
    assert found.receipts == [receipt]


def test_the_first_read_wins(store: SqlStore) -> None:
    """A repeat from any device, at any later time, answers the first receipt and tells nobody."""
    [first] = record(store, mark(device_id="phone"))

    again = store.record([mark(device_id="tablet")], now=NOW + 5000, lease=30.0)

    assert again.outcomes == [first]
    assert (again.events, again.outbox_id) == ([], None)
    assert again.epoch == store.epoch()
    assert [event.seq for event in page(store, "ann")] == [1]


def test_duplicates_within_a_batch_are_one_receipt(store: SqlStore) -> None:
    """The first of them wins, and all get its receipt."""
    recorded = store.record(
        [mark(device_id="phone"), mark("m2"), mark(device_id="tablet")], now=NOW, lease=None
    )

    first, _, third = [receipt_of(outcome) for outcome in recorded.outcomes]
    assert first == third
    assert first.device_id == "phone"
    assert [event.msg_id for event in recorded.events] == ["m1", "m2"]


@pytest.mark.parametrize(
    "other", [mark(sender_id="eve"), mark(conversation_id="c2"), mark(sender_id="ANN")]
)
def test_a_repeat_that_names_another_sender_or_conversation_is_a_conflict(
    store: SqlStore, other: Mark
) -> None:
    """In a later batch as in the same one; nothing of it is kept."""
    in_one = store.record([mark(), other], now=NOW, lease=None)
    later = store.record([other, mark()], now=NOW, lease=None)

    assert isinstance(in_one.outcomes[1], Conflict)
    assert isinstance(later.outcomes[0], Conflict)
    assert in_one.outcomes[0] == later.outcomes[1]
    assert len(in_one.events) == 1
    assert later.events == []
    assert counts(store) | {"outbox": 0} == {
        "receipts": 1, "streams": 1, "events": 1, "outbox": 0, "devices": 0,
    }  # fmt: skip


def test_another_type_of_conversation_is_no_conflict(store: SqlStore) -> None:
    """Sender and conversation decide; the type only describes the conversation."""
    [first] = record(store, mark(conversation_type="private"))
    assert record(store, mark(conversation_type="group")) == [first]


def test_ones_own_message_is_not_marked(store: SqlStore) -> None:
    """Refused, without harm to the marks beside it or to a later reader."""
    recorded = store.record([mark("m1", "ann", "ann"), mark("m1", "bob")], now=NOW, lease=None)

    assert isinstance(recorded.outcomes[0], OwnMessage)
    assert receipt_of(recorded.outcomes[1]).reader_id == "bob"
    assert [event.reader_id for event in recorded.events] == ["bob"]


def test_ones_own_message_does_not_stand_for_a_real_mark(store: SqlStore) -> None:
    """A refused mark of the same message and reader is not the first read."""
    recorded = store.record(
        [mark("m1", "ann", "ann"), mark("m1", "ann", "bob")], now=NOW, lease=None
    )

    assert isinstance(recorded.outcomes[0], OwnMessage)
    assert receipt_of(recorded.outcomes[1]).sender_id == "bob"


def test_outcomes_answer_the_marks_in_order(store: SqlStore) -> None:
    """New, known, doubled, conflicting and own marks in one batch: one outcome each, in place."""
    [known] = record(store, mark("known"))
    batch = [
        mark("z"),
        mark("known"),
        mark("own", "ann", "ann"),
        mark("a"),
        mark("known", sender_id="eve"),
        mark("z"),
        mark("b", sender_id="zoe"),
    ]

    recorded = store.record(batch, now=NOW + 1, lease=None)

    shown = [
        outcome.msg_id if isinstance(outcome, Receipt) else type(outcome)
        for outcome in recorded.outcomes
    ]
    assert shown == ["z", "known", OwnMessage, "a", Conflict, "z", "b"]
    assert recorded.outcomes[1] == known
    assert [(event.sender_id, event.seq, event.msg_id) for event in recorded.events] == [
        ("ann", 2, "z"),
        ("ann", 3, "a"),
        ("zoe", 1, "b"),
    ]


def test_seqs_count_up_per_sender(store: SqlStore) -> None:
    """Without gaps, over batches and senders; refused marks and repeats use none up."""
    for start in (1, 4, 7):
        batch = [
            each
            for pair in zip(
                numbered(3, "ann", start=start), numbered(3, "zoe", start=start), strict=True
            )
            for each in pair
        ]
        store.record([*batch, *batch, mark("own", "ann", "ann")], now=NOW, lease=None)

    for sender in ("ann", "zoe"):
        events = page(store, sender)
        assert [event.seq for event in events] == list(range(1, 10))
        assert [event.msg_id for event in events] == [f"{sender}-{n}" for n in range(1, 10)]


def test_a_thousand_marks_go_in_one_batch(store: SqlStore) -> None:
    """The contract's largest batch, with a hundred senders."""
    marks = [mark(f"m{number}", sender_id=f"s{number % 100}") for number in range(1000)]

    receipts = record(store, *marks)

    assert [receipt.msg_id for receipt in receipts] == [each.msg_id for each in marks]
    assert len({receipt.id for receipt in receipts}) == 1000
    pages = store.pages([Want(f"s{number}", 0, 1000) for number in range(100)])
    assert {len(each.events) for each in pages} == {10}


def test_no_marks_are_no_work(store: SqlStore) -> None:
    """An empty batch answers with nothing but the epoch."""
    recorded = store.record([], now=NOW, lease=30.0)
    assert (recorded.outcomes, recorded.events, recorded.outbox_id) == ([], [], None)
    assert recorded.epoch == store.epoch()


def test_all_printable_ascii_comes_back_as_it_was(store: SqlStore) -> None:
    """0x21 to 0x7E, quotes and backslashes among them, in every field, on every road."""
    low, high = PRINTABLE[:47], PRINTABLE[47:]
    [receipt] = record(store, mark(low, high, low, PRINTABLE, device_id=high))

    assert receipt == Receipt(receipt.id, low, high, low, PRINTABLE, "private", NOW, high)
    assert record(store, mark(low, high, low, PRINTABLE, device_id=high), now=NOW + 1) == [receipt]
    assert page(store, low) == [Event(low, 1, low, high, PRINTABLE, NOW, NOW, high)]
    assert store.heads([low])[1][low].head == 1
    [found] = store.receipts([low], sender_id=low, after_id=0, limit=1)
    assert found.receipts == [receipt]


@pytest.mark.parametrize(
    "ids",
    [
        ("a", "A"),
        ("a", "a."),
        ("a", "a/"),
        ("1", "01", "1.0", "1e0", "+1"),
        ("null", "NULL", "true", "[]", "{}", '""', "''"),
        ("%", "%%", "%s", "%(now)s", "_"),
        (":now", "\\n", "\\\\n", "\\u0041", "A"),
        ("a--", "a;", "a/*", "a#"),
    ],
    ids=repr,
)
def test_ids_are_compared_byte_for_byte(store: SqlStore, ids: tuple[str, ...]) -> None:
    """Ids that look alike to a person, a collation or a number parser are different ids."""
    by_message = record(store, *[mark(each) for each in ids])
    by_reader = record(store, *[mark("m", each, "ann") for each in ids])
    by_sender = record(store, *[mark(f"m-{each}", sender_id=f"s{each}") for each in ids])

    assert [receipt.msg_id for receipt in by_message] == list(ids)
    assert [receipt.reader_id for receipt in by_reader] == list(ids)
    assert [receipt.sender_id for receipt in by_sender] == [f"s{each}" for each in ids]
    assert set(store.heads([f"s{each}" for each in ids])[1]) == {f"s{each}" for each in ids}
    assert {head.head for head in store.heads([f"s{each}" for each in ids])[1].values()} == {1}


def test_ids_may_be_as_long_as_the_contract_says(store: SqlStore) -> None:
    """64 characters, 128 for a conversation; the last one counts."""
    longest = [
        mark("m" * 63 + end, "r" * 63 + end, "s" * 63 + end, "c" * 127 + end, device_id="d" * 64)
        for end in "ab"
    ]
    receipts = record(store, *longest)
    assert [receipt.conversation_id[-2:] for receipt in receipts] == ["ca", "cb"]
    assert store.heads([each.sender_id for each in longest])[1][longest[1].sender_id].head == 1


def bad_marks() -> dict[str, Mark]:
    """Marks that the edge would have turned away, by what is wrong."""
    bad: dict[str, Mark] = {}
    for field, longest in (
        ("msg_id", 64),
        ("reader_id", 64),
        ("sender_id", 64),
        ("conversation_id", 128),
        ("device_id", 64),
    ):
        wrong = {
            "long": "x" * (longest + 1),
            "very long": "x" * 300,
            "accented": "caf\u00e9",
            "emoji": "\U0001f600",
            "half a pair": "\ud83d",
            "control": "a\x01",
            "line break": "a\nb",
            "form feed": '\\"\x0c',
        }
        bad |= {f"{field} {how}": replace(mark(), **{field: text}) for how, text in wrong.items()}
    return bad


@pytest.mark.parametrize("bad", bad_marks().values(), ids=bad_marks().keys())
def test_what_does_not_fit_is_refused_and_nothing_is_half_written(
    store: SqlStore, bad: Mark
) -> None:
    """Never cut, never folded to a question mark; the marks beside it are not recorded either."""
    store.record([mark("before")], now=NOW, lease=30.0)
    before = counts(store), page(store, "ann"), store.heads(["ann"])

    with pytest.raises(StoreRefused):
        store.record([mark("fine"), bad, mark("fine too")], now=NOW, lease=30.0)

    assert (counts(store), page(store, "ann"), store.heads(["ann"])) == before
    assert record(store, mark("after"))[0].msg_id == "after"
    assert [event.seq for event in page(store, "ann")] == [1, 2]


def test_a_refused_batch_leaves_published_rows_alone(store: SqlStore) -> None:
    """Deletion of what was published belongs to the same transaction."""
    published = store.record([mark()], now=NOW, lease=30.0).outbox_id
    assert published is not None

    with pytest.raises(StoreRefused):
        store.record([mark("x" * 65)], now=NOW, lease=30.0, published=[published])

    assert store.outbox().rows == 1


def test_a_number_over_64_bits_is_refused(store: SqlStore) -> None:
    """Whatever the driver makes of it, nothing is recorded."""
    with pytest.raises(StoreRefused):
        store.record([mark()], now=2**70, lease=None)
    assert counts(store)["receipts"] == 0


def test_receipts_are_numbered_upwards(store: SqlStore) -> None:
    """A receipt's number is its own, and later batches have higher ones."""
    first = record(store, *numbered(3))
    second = record(store, *numbered(3, start=4))
    assert max(receipt.id for receipt in first) < min(receipt.id for receipt in second)


class TestReceiptsOfMessages:
    def test_each_message_has_its_count_and_its_page(self, store: SqlStore) -> None:
        """In the order asked for; an unknown message has none."""
        record(store, *[mark("m1", f"r{number}") for number in range(5)], mark("m2"))

        pages = store.receipts(["m2", "unknown", "m1"], sender_id=None, after_id=0, limit=2)

        assert [(each.msg_id, each.count, len(each.receipts)) for each in pages] == [
            ("m2", 1, 1),
            ("unknown", 0, 0),
            ("m1", 5, 2),
        ]

    def test_pages_follow_one_another(self, store: SqlStore) -> None:
        """After the last id of a page comes the next; the count stays that of all."""
        record(store, *[mark("m1", f"r{number}") for number in range(5)])
        after, seen = 0, []
        for size in (2, 2, 1, 0):
            [found] = store.receipts(["m1"], sender_id=None, after_id=after, limit=2)
            assert (found.count, len(found.receipts)) == (5, size)
            seen += found.receipts
            after = seen[-1].id
        assert [receipt.reader_id for receipt in seen] == [f"r{number}" for number in range(5)]
        assert [receipt.id for receipt in seen] == sorted(receipt.id for receipt in seen)

    def test_a_sender_sees_their_own_only(self, store: SqlStore) -> None:
        """Rows of another sender are neither shown nor counted."""
        record(store, mark("m1", "bob", "ann"), mark("m1", "cy", "eve"))

        [of_ann] = store.receipts(["m1"], sender_id="ann", after_id=0, limit=10)
        [of_none] = store.receipts(["m1"], sender_id="ANN", after_id=0, limit=10)

        assert (of_ann.count, [each.reader_id for each in of_ann.receipts]) == (1, ["bob"])
        assert (of_none.count, of_none.receipts) == (0, [])

    def test_a_message_may_be_asked_for_twice(self, store: SqlStore) -> None:
        """Each place in the question is answered."""
        record(store, mark("m1"))
        pages = store.receipts(["m1", "m1"], sender_id=None, after_id=0, limit=10)
        assert [(each.count, len(each.receipts)) for each in pages] == [(1, 1), (1, 1)]

    def test_no_messages_are_no_pages(self, store: SqlStore) -> None:
        """An empty question has an empty answer."""
        assert store.receipts([], sender_id=None, after_id=0, limit=10) == []

    def test_an_id_that_no_database_can_hold_is_refused(self, store: SqlStore) -> None:
        """Half a surrogate pair is an error of the store's own, not of a codec."""
        with pytest.raises(StoreRefused):
            store.receipts(["\ud83d"], sender_id=None, after_id=0, limit=10)


def test_a_second_store_sees_what_the_first_has_committed(
    adapter: Adapter, store: SqlStore
) -> None:
    """The answer comes after the commit, so anybody may rely on it."""
    [receipt] = record(store, mark())
    with closing(adapter.open()) as other:
        assert record(other, mark(), now=NOW + 1) == [receipt]
        assert page(other, "ann") == page(store, "ann")


def test_a_database_without_rows_is_what_the_suite_starts_from(store: SqlStore) -> None:
    """Every test begins with an empty store and an epoch."""
    assert set(counts(store).values()) == {0}
    assert rows(store, "SELECT name FROM meta") == [("epoch",)]
