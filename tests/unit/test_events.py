"""What crosses the bus: exact bytes out, and how far a record is believed on the way in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from seenby.errors import BadEvent
from seenby.events import (
    SECONDS_MAX,
    decode,
    decode_update,
    encode,
    encode_update,
    trace_of,
    traceparent,
)
from seenby.model import Event, Kind

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

EVENT = Event(
    sender_id="user123",
    seq=42,
    msg_id="test-msg-123",
    reader_id="user456",
    conversation_id="conv789",
    read_at=1_704_067_200_123,
    at=1_704_067_200_123,
    device_id="phone",
    trace=TRACE,
)


COUNT = replace(EVENT, kind=Kind.COUNT, reader_id="", device_id="", count=512, of=2000)
WITHDRAWN = replace(EVENT, kind=Kind.WITHDRAWN, device_id="", count=4, of=10)
READ_SELF = replace(EVENT, kind=Kind.READ_SELF, reader_id="user123", count=3)
UP_TO = replace(READ_SELF, kind=Kind.READ_SELF_UP_TO, count=0)
UNREAD_SELF = replace(READ_SELF, kind=Kind.UNREAD_SELF, device_id="", count=4)


def value(**changes: Any) -> bytes:
    """The value of EVENT's record with some fields changed; None takes a field away."""
    fields = json.loads(encode(EVENT)) | changes
    return json.dumps({name: field for name, field in fields.items() if field is not None}).encode()


def update(**changes: Any) -> bytes:
    """The value of WITHDRAWN's record with some fields changed; None takes a field away."""
    fields = json.loads(encode_update(WITHDRAWN)) | changes
    return json.dumps({name: field for name, field in fields.items() if field is not None}).encode()


def read(record: bytes, **changes: Any) -> Event:
    """Decode a record of EVENT's sender and epoch."""
    return decode(record, **_arguments(changes))


def read_update(record: bytes, **changes: Any) -> Event:
    """Decode an update of EVENT's sender and epoch."""
    return decode_update(record, **_arguments(changes))


def _arguments(changes: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "key": "user123",
        "timestamp_ms": EVENT.at,
        "epoch": "e1",
        "current_epoch": "e1",
        "trace": TRACE,
    }
    return arguments | changes


def test_the_value_is_the_original_systems_with_seq_at_the_end() -> None:
    """Contract, section 2: these fields, in this order, read_at in seconds."""
    assert encode(EVENT) == (
        b'{"msg_id":"test-msg-123","sender_id":"user123","reader_id":"user456",'
        b'"conversation_id":"conv789","read_at":1704067200,"device_id":"phone","seq":42}'
    )


def test_how_many_have_read_stands_at_the_very_end() -> None:
    """Where the message is registered; the original's consumers read what they always did."""
    assert encode(replace(EVENT, count=5, of=10)) == (
        encode(EVENT).removesuffix(b"}") + b',"read":5,"of":10}'
    )


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (
            COUNT,
            (
                b'{"type":"read_count","user_id":"user123","msg_id":"test-msg-123",'
                b'"conversation_id":"conv789","at":1704067200,"read":512,"of":2000,"seq":42}'
            ),
        ),
        (
            WITHDRAWN,
            (
                b'{"type":"read_withdrawn","user_id":"user123","msg_id":"test-msg-123",'
                b'"conversation_id":"conv789","reader_id":"user456","at":1704067200,'
                b'"read":4,"of":10,"seq":42}'
            ),
        ),
        (
            READ_SELF,
            (
                b'{"type":"read_self","user_id":"user123","msg_id":"test-msg-123",'
                b'"conversation_id":"conv789","at":1704067200,"unread":3,"device_id":"phone","seq":42}'
            ),
        ),
        (
            UP_TO,
            (
                b'{"type":"read_self","user_id":"user123","msg_id":"test-msg-123",'
                b'"conversation_id":"conv789","at":1704067200,"unread":0,"device_id":"phone",'
                b'"up_to":true,"seq":42}'
            ),
        ),
        (
            UNREAD_SELF,
            (
                b'{"type":"unread_self","user_id":"user123","msg_id":"test-msg-123",'
                b'"conversation_id":"conv789","at":1704067200,"unread":4,"seq":42}'
            ),
        ),
    ],
    ids=["read_count", "read_withdrawn", "read_self", "up_to", "unread_self"],
)
def test_an_update_says_what_it_is_and_no_more_than_is_known(event: Event, record: bytes) -> None:
    """A type, and these fields in this order; it comes back as it was."""
    assert encode_update(event) == record
    assert read_update(record) == event


def test_an_update_of_a_message_that_is_not_registered_has_no_counts() -> None:
    """They are not known; zero would be an answer."""
    for event in (
        replace(WITHDRAWN, count=None, of=None),
        replace(READ_SELF, count=None),
    ):
        record = encode_update(event)
        assert not {"read", "of", "unread"} & json.loads(record).keys()
        assert read_update(record) == event


def test_an_empty_device_is_written_out() -> None:
    """The original's consumers find every field, whatever it holds."""
    assert b'"device_id":"","seq":42}' in encode(replace(EVENT, device_id=""))


def test_an_event_comes_back_as_it_was() -> None:
    """Milliseconds come from the record's timestamp, the trace from its header."""
    assert read(encode(EVENT)) == EVENT


_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)


@given(
    sender_id=_ids,
    msg_id=_ids,
    reader_id=_ids,
    conversation_id=_ids,
    device_id=_ids,
    seq=st.integers(1, 2**63 - 1),
    at=st.integers(0, SECONDS_MAX * 1000),
)
def test_every_event_of_ours_comes_back_as_it_was(
    sender_id: str,
    msg_id: str,
    reader_id: str,
    conversation_id: str,
    device_id: str,
    seq: int,
    at: int,
) -> None:
    """Any ids, any seq, any time."""
    event = Event(sender_id, seq, msg_id, reader_id, conversation_id, at, at, device_id)
    assert read(encode(event), key=sender_id, timestamp_ms=at, trace="") == event


@given(
    owner=_ids,
    other=_ids,
    kind=st.sampled_from([kind for kind in Kind if kind != Kind.RECEIPT]),
    counts=st.none() | st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    device_id=st.just("") | _ids,
    at=st.integers(0, SECONDS_MAX * 1000),
)
def test_every_update_of_ours_comes_back_as_it_was(
    owner: str,
    other: str,
    kind: Kind,
    counts: tuple[int, int] | None,
    device_id: str,
    at: int,
) -> None:
    """Any kind, any ids, any time, counts or none."""
    reader_id = {Kind.COUNT: "", Kind.WITHDRAWN: other}.get(kind, owner)
    read, of = counts or ((0, 0) if kind == Kind.COUNT else (None, None))
    if kind not in {Kind.COUNT, Kind.WITHDRAWN}:
        of = None
    event = Event(owner, 7, "m", reader_id, "c", at, at, device_id, "", kind, read, of)
    assert read_update(encode_update(event), key=owner, timestamp_ms=at, trace="") == event


def test_read_at_of_another_second_than_the_record_is_believed_to_the_second() -> None:
    """Another producer may stamp its records later than it read the clock."""
    event = read(encode(EVENT), timestamp_ms=EVENT.at + 5_000)
    assert (event.read_at, event.at) == (1_704_067_200_000, EVENT.at + 5_000)


@pytest.mark.parametrize("changes", [{"epoch": None}, {"epoch": "e0"}, {"current_epoch": "e2"}])
def test_a_seq_of_another_epoch_is_worth_nothing(changes: dict[str, str | None]) -> None:
    """It counts something else, or nothing that is known."""
    assert read(encode(EVENT), **changes) == replace(EVENT, seq=0)
    assert read_update(encode_update(COUNT), **changes) == replace(COUNT, seq=0)


def test_an_update_of_another_second_than_the_record_is_believed_to_the_second() -> None:
    """As a receipt is."""
    event = read_update(encode_update(COUNT), timestamp_ms=EVENT.at + 5_000)
    assert (event.read_at, event.at) == (1_704_067_200_000, EVENT.at + 5_000)
    assert read_update(encode_update(COUNT), timestamp_ms=-1).at == 1_704_067_200_000


def test_a_record_without_seq_is_another_producers() -> None:
    """The original's own JSON: delivered live, with seq 0."""
    assert read(value(seq=None), epoch=None) == replace(EVENT, seq=0)


def test_unknown_fields_are_passed_over() -> None:
    """Another producer may say more."""
    assert read(value(shard=7, tags=["x"])) == EVENT
    assert read_update(update(shard=7, unread=9, up_to=True)) == WITHDRAWN


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "not a read receipt event"),
        (b"not json", "not a read receipt event"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"\xff\xfe", "not a read receipt event"),
        (b'{"msg_id":"\xff"}', "not a read receipt event"),
        (b'{"x":' + b"[" * 100_000, "not a read receipt event"),
        (value(msg_id=None), "`msg_id`"),
        (value(msg_id=5), "$.msg_id"),
        (value(msg_id=""), "$.msg_id"),
        (value(msg_id="m" * 65), "$.msg_id"),
        (value(reader_id=""), "$.reader_id"),
        (value(conversation_id="c" * 129), "$.conversation_id"),
        (value(device_id="d" * 65), "$.device_id"),
        (value(read_at="1704067200"), "$.read_at"),
        (value(read_at=1.5), "$.read_at"),
        (value(read_at=-1), "$.read_at"),
        (value(read_at=1_704_067_200_123), "$.read_at"),
        (value(seq=-1), "$.seq"),
        (value(seq="42"), "$.seq"),
        (value(seq=2**63), "$.seq"),
        (value(msg_id="two words"), "printable ASCII"),
        (value(reader_id="línea"), "printable ASCII"),
        (value(conversation_id="a\nb"), "printable ASCII"),
        (value(device_id="\x7f"), "printable ASCII"),
        (value(sender_id="user124"), "key is not its sender_id"),
        (value(read="5", of=10), "$.read"),
        (value(read=5, of=-1), "$.of"),
        (value(of=10), "of without a read"),
    ],
)
def test_what_cannot_be_an_event_is_refused_with_the_reason(record: bytes, reason: str) -> None:
    """The reason goes into the dead letter's headers, so it names the field."""
    with pytest.raises(BadEvent) as refused:
        read(record)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"not json", "not an update"),
        (b"[]", "Expected `object`"),
        (b'{"x":' + b"[" * 100_000, "not an update"),
        (encode(EVENT), "`type`"),
        (update(type="read_reaction"), "the type is none of read_count, read_withdrawn"),
        (update(type="read_receipt"), "the type is none of"),
        (update(type=7), "$.type"),
        (update(user_id=None), "`user_id`"),
        (update(user_id="user124"), "key is not its user_id"),
        (update(msg_id=""), "$.msg_id"),
        (update(conversation_id="c" * 129), "$.conversation_id"),
        (update(reader_id=None), "no reader_id"),
        (update(reader_id="r" * 65), "$.reader_id"),
        (update(reader_id="two words"), "printable ASCII"),
        (update(at=None), "`at`"),
        (update(at=1_704_067_200_123), "$.at"),
        (update(read=-1), "$.read"),
        (update(of=1.5), "$.of"),
        (update(read=None), "of without a read"),
        (update(unread="3"), "$.unread"),
        (update(up_to=1), "$.up_to"),
        (update(seq=-1), "$.seq"),
        (update(type="read_count", read=None, of=None), "no read and of"),
    ],
)
def test_what_cannot_be_an_update_is_refused_with_the_reason(record: bytes, reason: str) -> None:
    """As strictly as a receipt; a type that nobody knows is not guessed at."""
    with pytest.raises(BadEvent) as refused:
        read_update(record)
    assert reason in str(refused.value)


def test_the_trace_goes_out_and_comes_back() -> None:
    """W3C Trace Context, section 3.2: version, trace, span, sampled."""
    header = traceparent(EVENT)
    assert header.startswith(b"00-" + TRACE.encode() + b"-")
    assert header.endswith(b"-01")
    assert trace_of(header) == TRACE
    assert traceparent(EVENT) == header
    assert traceparent(replace(EVENT, seq=43)) != header


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"garbage",
        b"ff-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a" * 32 + b"-" + b"0" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"b" * 16 + b"-01",
    ],
)
def test_a_header_that_is_no_traceparent_gives_no_trace(header: bytes) -> None:
    """Section 3.2.2: an invalid header is passed over; it does not spoil the event."""
    assert trace_of(header) == ""
