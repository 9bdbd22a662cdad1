"""What crosses the bus: one JSON document per event, and the headers beside it.

A receipt's value is the original system's, field for field and in its order, with ours at the end
(contract, section 2): ``seq``, and ``read`` and ``of`` where they are known. Every other kind of
event is an update: it has a ``type`` and a topic of its own. A record is believed only as far as
it can be: one without ``seq``, or written under another epoch, is another producer's and arrives
with seq 0; one that cannot be decoded raises BadEvent with the reason.

No I/O, no clock: this is the hot path of both sides.
"""

from __future__ import annotations

import re
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta

from seenby.errors import BadEvent
from seenby.model import (
    CONVERSATION_ID_MAX,
    DEVICE_ID_MAX,
    MSG_ID_MAX,
    SELF_KINDS,
    TYPE_OF_KIND,
    USER_ID_MAX,
    Event,
    Kind,
)

EPOCH = "epoch"
"""The header that names the epoch in which the record's seq counts."""

TRACEPARENT = "traceparent"
"""The header that carries the trace id (W3C Trace Context, section 3.2)."""

SECONDS_MAX = 253_402_300_799
"""9999-12-31T23:59:59Z. A larger ``read_at`` is not in seconds."""

SEQ_MAX = 2**63 - 1

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-.")


_Count = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
_MsgId = Annotated[str, Meta(min_length=1, max_length=MSG_ID_MAX)]
_UserId = Annotated[str, Meta(min_length=1, max_length=USER_ID_MAX)]
_ConversationId = Annotated[str, Meta(min_length=1, max_length=CONVERSATION_ID_MAX)]
_DeviceId = Annotated[str, Meta(max_length=DEVICE_ID_MAX)]
_Seconds = Annotated[int, Meta(ge=0, le=SECONDS_MAX)]


class _Value(msgspec.Struct, gc=False):
    """A receipt's value. The order of the fields is the order in the topic."""

    msg_id: _MsgId
    sender_id: _UserId
    reader_id: _UserId
    conversation_id: _ConversationId
    read_at: _Seconds
    device_id: _DeviceId = ""
    seq: _Count = 0


class _Counted(_Value, gc=False):
    """The same where the message is registered. Both are None where it is not."""

    read: _Count | None = None
    of: _Count | None = None


class _Update(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """An update's value, in the order of the topic; what is not known or empty is left out.

    ``user_id`` is whose stream it is. ``read`` and ``of`` are for the sender, ``unread`` is for
    the reader's own devices.
    """

    type: str
    user_id: _UserId
    msg_id: _MsgId
    conversation_id: _ConversationId
    reader_id: Annotated[str, Meta(max_length=USER_ID_MAX)] = ""
    at: _Seconds
    read: _Count | None = None
    of: _Count | None = None
    unread: _Count | None = None
    device_id: _DeviceId = ""
    up_to: bool = False
    seq: _Count = 0


# A name costs a fifth of what a member of an enum does, and each record needs it.
_RECEIPT = int(Kind.RECEIPT)
_KINDS = {
    name: kind
    for kind, name in TYPE_OF_KIND.items()
    if kind not in {Kind.RECEIPT, Kind.READ_SELF_UP_TO}
}
_NOT_PRINTABLE = "an id holds a character other than printable ASCII (0x21 to 0x7E)"
_OF_WHAT = "there is an of without a read"
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_encode_value = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(_Counted).decode
_decode_update = msgspec.json.Decoder(_Update).decode


def encode(event: Event) -> bytes:
    """The record's value for a receipt; ``read_at`` goes out in whole seconds."""
    if event.of is None:
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
    return _encode_value(
        _Counted(
            event.msg_id,
            event.sender_id,
            event.reader_id,
            event.conversation_id,
            event.read_at // 1000,
            event.device_id,
            event.seq,
            event.count,
            event.of,
        )
    )


def encode_update(event: Event) -> bytes:
    """The record's value for an event of any other kind; ``at`` goes out in whole seconds."""
    own = event.kind in SELF_KINDS
    return _encode_value(
        _Update(
            type=TYPE_OF_KIND[event.kind],
            user_id=event.sender_id,
            msg_id=event.msg_id,
            conversation_id=event.conversation_id,
            reader_id=event.reader_id if event.kind == Kind.WITHDRAWN else "",
            at=event.read_at // 1000,
            read=None if own else event.count,
            of=event.of,
            unread=event.count if own else None,
            device_id=event.device_id,
            up_to=event.kind == Kind.READ_SELF_UP_TO,
            seq=event.seq,
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
    """The receipt in a record. Costs about 1 us, a third of it for the JSON.

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
    except _MALFORMED as error:
        raise BadEvent(f"the value is not a read receipt event: {error}") from error
    if record.sender_id != key:
        raise BadEvent("the record's key is not its sender_id")
    ids = record.msg_id + key + record.reader_id + record.conversation_id + record.device_id
    # One look at all ids: printable ASCII is 0x20 to 0x7E, and the space is not ours.
    if not (ids.isascii() and ids.isprintable()) or " " in ids:
        raise BadEvent(_NOT_PRINTABLE)
    if record.of is not None and record.read is None:
        raise BadEvent(_OF_WHAT)
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
        _RECEIPT,
        record.read,
        record.of,
    )


def decode_update(
    value: bytes,
    *,
    key: str,
    timestamp_ms: int,
    epoch: str | None,
    current_epoch: str,
    trace: str = "",
) -> Event:
    """The event of another kind in a record of the updates' topic; as decode() in all else."""
    try:
        record = _decode_update(value)
    except _MALFORMED as error:
        raise BadEvent(f"the value is not an update: {error}") from error
    if record.user_id != key:
        raise BadEvent("the record's key is not its user_id")
    ids = record.msg_id + key + record.reader_id + record.conversation_id + record.device_id
    if not (ids.isascii() and ids.isprintable()) or " " in ids:
        raise BadEvent(_NOT_PRINTABLE)
    if record.of is not None and record.read is None:
        raise BadEvent(_OF_WHAT)
    kind = _KINDS.get(record.type)
    if kind is None:
        raise BadEvent(f"the type is none of {', '.join(_KINDS)}")
    if kind == Kind.WITHDRAWN and not record.reader_id:
        raise BadEvent("a read_withdrawn has no reader_id")
    if kind == Kind.COUNT and record.of is None:
        raise BadEvent("a read_count has no read and of")
    own = kind in SELF_KINDS
    if kind == Kind.READ_SELF and record.up_to:
        kind = Kind.READ_SELF_UP_TO
    at = timestamp_ms if timestamp_ms > 0 else record.at * 1000
    return Event(
        key,
        record.seq if epoch == current_epoch else 0,
        record.msg_id,
        key if own else record.reader_id if kind == Kind.WITHDRAWN else "",
        record.conversation_id,
        at if at // 1000 == record.at else record.at * 1000,
        at,
        record.device_id,
        trace,
        kind,
        record.unread if own else record.read,
        None if own else record.of,
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
