"""What crosses the bus: one JSON document per event, and the headers beside it.

The value is the original system's, field for field and in its order, with our ``seq`` at the end
(contract, section 2). A record is believed only as far as it can be: one without ``seq``, or
written under another epoch, is another producer's and arrives with seq 0; one that cannot be
decoded raises BadEvent with the reason.

No I/O, no clock: this is the hot path of both sides.
"""

from __future__ import annotations

import re
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta

from seenby.errors import BadEvent
from seenby.model import CONVERSATION_ID_MAX, DEVICE_ID_MAX, MSG_ID_MAX, USER_ID_MAX, Event

EPOCH = "epoch"
"""The header that names the epoch in which the record's seq counts."""

TRACEPARENT = "traceparent"
"""The header that carries the trace id (W3C Trace Context, section 3.2)."""

SECONDS_MAX = 253_402_300_799
"""9999-12-31T23:59:59Z. A larger ``read_at`` is not in seconds."""

SEQ_MAX = 2**63 - 1

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-.")


class _Value(msgspec.Struct, gc=False):
    """The record's value. The order of the fields is the order in the topic."""

    msg_id: Annotated[str, Meta(min_length=1, max_length=MSG_ID_MAX)]
    sender_id: Annotated[str, Meta(min_length=1, max_length=USER_ID_MAX)]
    reader_id: Annotated[str, Meta(min_length=1, max_length=USER_ID_MAX)]
    conversation_id: Annotated[str, Meta(min_length=1, max_length=CONVERSATION_ID_MAX)]
    read_at: Annotated[int, Meta(ge=0, le=SECONDS_MAX)]
    device_id: Annotated[str, Meta(max_length=DEVICE_ID_MAX)] = ""
    seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)] = 0


_encode_value = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(_Value).decode


def encode(event: Event) -> bytes:
    """The record's value for *event*; ``read_at`` goes out in whole seconds."""
    return _encode_value(
        _Value(
            event.msg_id,
            event.sender_id,
            event.reader_id,
            event.conversation_id,
            event.read_at // 1000,
            event.device_id,
            event.seq,
        )
    )


def decode(
    value: bytes,
    *,
    key: str,
    timestamp_ms: int,
    epoch: str | None,
    current_epoch: str,
    trace: str = "",
) -> Event:
    """The event in a record. Costs about 1 us, a third of it for the JSON.

    Args:
        value: the record's value.
        key: the record's key; must be the sender.
        timestamp_ms: the record's own time. It is the commit's, so it gives ``read_at`` back its
            milliseconds when both fall in the same second. Not above 0 when there is none.
        epoch: what the record's epoch header says, None when there is none.
        current_epoch: the epoch in force; the seq of any other is worth nothing.
        trace: the trace id of the record's traceparent header.

    Raises:
        BadEvent: the record cannot be an event; its text is the reason.
    """
    try:
        record = _decode_value(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent(f"the value is not a read receipt event: {error}") from error
    if record.sender_id != key:
        raise BadEvent("the record's key is not its sender_id")
    ids = record.msg_id + key + record.reader_id + record.conversation_id + record.device_id
    # One look at all ids: printable ASCII is 0x20 to 0x7E, and the space is not ours.
    if not (ids.isascii() and ids.isprintable()) or " " in ids:
        raise BadEvent("an id holds a character other than printable ASCII (0x21 to 0x7E)")
    read_at = record.read_at
    at = timestamp_ms if timestamp_ms > 0 else read_at * 1000
    return Event(
        key,
        record.seq if epoch == current_epoch else 0,
        record.msg_id,
        record.reader_id,
        record.conversation_id,
        at if at // 1000 == read_at else read_at * 1000,
        at,
        record.device_id,
        trace,
    )


def traceparent(event: Event) -> bytes:
    """The traceparent header of an event that has a trace id.

    The span is named after the event itself: published again, it says the same.
    """
    span = zlib.crc32(event.sender_id.encode()) << 32 | (event.seq & 0xFFFFFFFF or 1)
    return f"00-{event.trace}-{span:016x}-01".encode()


def trace_of(header: bytes) -> str:
    """The trace id in a traceparent header; "" when the header does not hold one."""
    found = _TRACEPARENT.match(header)
    return found[1].decode() if found else ""
