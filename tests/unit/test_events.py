"""What crosses the bus: exact bytes out, and how far a record is believed on the way in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from seenby.errors import BadEvent
from seenby.events import SECONDS_MAX, decode, encode, trace_of, traceparent
from seenby.model import Event

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


def value(**changes: Any) -> bytes:
    """The value of EVENT's record with some fields changed; None takes a field away."""
    fields = json.loads(encode(EVENT)) | changes
    return json.dumps({name: field for name, field in fields.items() if field is not None}).encode()


def read(record: bytes, **changes: Any) -> Event:
    """Decode a record of EVENT's sender and epoch."""
    arguments: dict[str, Any] = {
        "key": "user123",
        "timestamp_ms": EVENT.at,
        "epoch": "e1",
        "current_epoch": "e1",
        "trace": TRACE,
    }
    return decode(record, **(arguments | changes))


def test_the_value_is_the_original_systems_with_seq_at_the_end() -> None:
    """Contract, section 2: these fields, in this order, read_at in seconds."""
    assert encode(EVENT) == (
        b'{"msg_id":"test-msg-123","sender_id":"user123","reader_id":"user456",'
        b'"conversation_id":"conv789","read_at":1704067200,"device_id":"phone","seq":42}'
    )


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


def test_read_at_of_another_second_than_the_record_is_believed_to_the_second() -> None:
    """Another producer may stamp its records later than it read the clock."""
    event = read(encode(EVENT), timestamp_ms=EVENT.at + 5_000)
    assert (event.read_at, event.at) == (1_704_067_200_000, EVENT.at + 5_000)


@pytest.mark.parametrize("changes", [{"epoch": None}, {"epoch": "e0"}, {"current_epoch": "e2"}])
def test_a_seq_of_another_epoch_is_worth_nothing(changes: dict[str, str | None]) -> None:
    """It counts something else, or nothing that is known."""
    assert read(encode(EVENT), **changes) == replace(EVENT, seq=0)


def test_a_record_without_seq_is_another_producers() -> None:
    """The original's own JSON: delivered live, with seq 0."""
    assert read(value(seq=None), epoch=None) == replace(EVENT, seq=0)


def test_unknown_fields_are_passed_over() -> None:
    """Another producer may say more."""
    assert read(value(shard=7, tags=["x"])) == EVENT


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
    ],
)
def test_what_cannot_be_an_event_is_refused_with_the_reason(record: bytes, reason: str) -> None:
    """The reason goes into the dead letter's headers, so it names the field."""
    with pytest.raises(BadEvent) as refused:
        read(record)
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
