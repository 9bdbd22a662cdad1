"""From Kafka's records to events: what is dropped, decoded, or buried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from confluent_kafka import Message

from seenby.bus.kafka_records import Records
from seenby.events import encode, encode_update, traceparent
from seenby.model import Event, Kind

if TYPE_CHECKING:
    from seenby.bus.dead_letters import DeadLetters

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT = 1_704_067_200_123
EVENT = Event("ann", 42, "m1", "bob", "c1", AT, AT, "phone", TRACE)


class Letters:
    """Keeps dead letters, as reasons by offset."""

    def __init__(self) -> None:
        self.written: list[tuple[int | None, str]] = []

    def write(self, record: Message, reason: str) -> None:
        """Keep one."""
        self.written.append((record.offset(), reason))


class Desk:
    """Records for ann, in epoch e1."""

    def __init__(self) -> None:
        self.letters = Letters()
        self.records = Records(cast("DeadLetters", self.letters), "updates")
        self.records.epoch = "e1"
        self.records.wanted = {"ann"}


@pytest.fixture
def desk() -> Desk:
    """A reader of records."""
    return Desk()


def record(value: bytes | None = b"", **changes: Any) -> Message:
    """EVENT's record, changed."""
    fields: dict[str, Any] = {
        "topic": "t",
        "partition": 1,
        "offset": 7,
        "key": b"ann",
        "value": encode(EVENT) if value == b"" else value,
        "headers": [("epoch", b"e1"), ("traceparent", traceparent(EVENT))],
        "timestamp": (1, AT),
    }
    return Message(**(fields | changes))


def test_our_own_record_comes_back_whole(desk: Desk) -> None:
    """Value, time, epoch and trace."""
    assert desk.records.events([record()]) == [EVENT]
    assert (desk.records.decoded, desk.records.dropped) == (1, 0)


def test_the_topic_tells_how_a_record_is_read(desk: Desk) -> None:
    """A receipt among the updates is as wrong as an update among the receipts."""
    count = Event("ann", 43, "m1", "", "c1", AT, AT, "", TRACE, Kind.COUNT, 5, 10)
    update = encode_update(count)
    records = [
        record(),
        record(update, topic="updates"),
        record(update, offset=8),
        record(topic="updates", offset=9),
    ]
    assert desk.records.events(records) == [EVENT, count]
    assert [offset for offset, _ in desk.letters.written] == [8, 9]


def test_whom_nobody_wants_is_not_decoded(desk: Desk) -> None:
    """Its value is not even looked at: garbage passes by without a dead letter."""
    assert desk.records.events([record(b"garbage", key=b"bob")]) == []
    assert (desk.records.decoded, desk.records.dropped) == (0, 1)
    assert desk.letters.written == []


def test_a_key_that_is_no_text_is_nobodys(desk: Desk) -> None:
    """Dropped like any other that is not wanted."""
    assert desk.records.events([record(key=b"\xff\xfeann")]) == []
    assert desk.records.dropped == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(b"garbage"), "not a read receipt event"),
        (record(None), "no value"),
        (record(key=None), "no key"),
        (record(encode(Event("eve", 1, "m", "r", "c", AT, AT))), "key is not its sender_id"),
    ],
)
def test_a_bad_record_is_buried_and_the_rest_goes_on(desk: Desk, bad: Message, reason: str) -> None:
    """In its place in the order nothing is missing but itself."""
    good = [record(encode(Event("ann", seq, "m", "r", "c", AT, AT))) for seq in (1, 2)]
    events = desk.records.events([good[0], bad, good[1]])
    assert [event.seq for event in events] == [1, 2]
    [(offset, why)] = desk.letters.written
    assert offset == 7
    assert reason in why
    assert (desk.records.decoded, desk.records.dropped) == (2, 0)


@pytest.mark.parametrize(
    "headers",
    [None, [], [("epoch", b"e0")], [("epoch", None)], [("epoch", b"\xff")], [("Epoch", b"e1")]],
)
def test_without_our_epoch_the_seq_is_worth_nothing(desk: Desk, headers: object) -> None:
    """Another producer's record, or one from before a restore: delivered with seq 0."""
    [event] = desk.records.events([record(headers=headers)])
    assert event.seq == 0


def test_the_last_of_several_epochs_counts(desk: Desk) -> None:
    """A mirror may have added its own headers; what was added last is what holds."""
    headers = [("epoch", b"e0"), ("other", None), ("epoch", b"e1")]
    [event] = desk.records.events([record(headers=headers)])
    assert event.seq == 42


@pytest.mark.parametrize(
    "header", [b"", b"nonsense", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01"]
)
def test_a_broken_trace_does_not_spoil_the_event(desk: Desk, header: bytes) -> None:
    """W3C Trace Context, section 3.2.2: it is passed over."""
    [event] = desk.records.events([record(headers=[("epoch", b"e1"), ("traceparent", header)])])
    assert (event.seq, event.trace) == (42, "")


def test_a_record_without_a_time_has_its_value_s(desk: Desk) -> None:
    """Then read_at is known to the second."""
    [event] = desk.records.events([record(timestamp=(0, -1))])
    assert (event.read_at, event.at) == (AT // 1000 * 1000, AT // 1000 * 1000)


def test_a_new_epoch_holds_from_the_next_batch(desk: Desk) -> None:
    """Set from another thread, between two batches."""
    desk.records.epoch = "e2"
    [old, new] = desk.records.events(
        [record(), record(headers=[("epoch", b"e2")])],
    )
    assert (old.seq, new.seq) == (0, 42)
