"""What the gateway and its clients say to each other (contract, section 3), as JSON text.

Encoding is done once per event and shared by all sessions of the user. Decoding names the field
and the accepted form when a frame cannot be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from seenby import inputs
from seenby.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seenby.model import Event

T = TypeVar("T")

SUBPROTOCOL = "seenby.v1"
MAX_MESSAGE = 64 * 1024
"""Bytes a message may have; a client's, fragments together."""

HEARTBEAT = 30
"""Seconds between the server's pings."""

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ref = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | str | None
"""What a client calls its request; it comes back with the answer."""


# To clients


class _ReadReceipt(msgspec.Struct, tag_field="type", tag="read_receipt", gc=False):
    msg_id: str
    reader_id: str
    read_at: int
    conversation_id: str
    timestamp: int
    seq: int | msgspec.UnsetType


class _CountedReceipt(_ReadReceipt, tag_field="type", tag="read_receipt", gc=False):
    read: int
    of: int | msgspec.UnsetType


class _ReadCount(msgspec.Struct, tag_field="type", tag="read_count", gc=False):
    msg_id: str
    conversation_id: str
    read: int | msgspec.UnsetType
    of: int | msgspec.UnsetType
    timestamp: int
    seq: int | msgspec.UnsetType


class _ReadWithdrawn(msgspec.Struct, tag_field="type", tag="read_withdrawn", gc=False):
    msg_id: str
    reader_id: str
    conversation_id: str
    withdrawn_at: int
    timestamp: int
    seq: int | msgspec.UnsetType
    read: int | msgspec.UnsetType
    of: int | msgspec.UnsetType


class _ReadSelf(msgspec.Struct, tag_field="type", tag="read_self", gc=False):
    msg_id: str
    conversation_id: str
    read_at: int
    unread: int | msgspec.UnsetType
    device_id: str
    timestamp: int
    seq: int | msgspec.UnsetType
    up_to: bool | msgspec.UnsetType


class _UnreadSelf(msgspec.Struct, tag_field="type", tag="unread_self", gc=False):
    msg_id: str
    conversation_id: str
    unread: int | msgspec.UnsetType
    timestamp: int
    seq: int | msgspec.UnsetType


class _Welcome(msgspec.Struct, tag_field="type", tag="welcome"):
    user_id: str
    device_id: str
    epoch: str
    seq: int
    resumed: bool
    heartbeat: int


class _Reset(msgspec.Struct, tag_field="type", tag="reset"):
    epoch: str
    seq: int


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    code: str
    error: str


class _ReadResult(msgspec.Struct, tag_field="type", tag="read_result", omit_defaults=True):
    ref: Ref
    success: bool
    receipt: msgspec.Raw | None = None
    code: str = ""
    error: str = ""


PONG = b'{"type":"pong"}'

_encode = msgspec.json.Encoder().encode


def receipt(event: Event, timestamp: int) -> bytes:
    """The seed's frame; *timestamp* is the moment of the push in unix seconds.

    Where the message is registered, how many have read it, and of how many, stand at its end.
    """
    read = event.count
    if read is None:
        return _encode(
            _ReadReceipt(
                event.msg_id,
                event.reader_id,
                event.read_at // 1000,
                event.conversation_id,
                timestamp,
                event.seq or msgspec.UNSET,
            )
        )
    return _encode(
        _CountedReceipt(
            event.msg_id,
            event.reader_id,
            event.read_at // 1000,
            event.conversation_id,
            timestamp,
            event.seq or msgspec.UNSET,
            read,
            _known(event.of),
        )
    )


def update(event: Event, timestamp: int) -> bytes:
    """The frame of an event that is no receipt; silent clients are sent none of these."""
    return _encode(_UPDATES[event.kind](event, timestamp))


def _read_count(event: Event, timestamp: int) -> _ReadCount:
    return _ReadCount(
        event.msg_id,
        event.conversation_id,
        _known(event.count),
        _known(event.of),
        timestamp,
        event.seq or msgspec.UNSET,
    )


def _read_withdrawn(event: Event, timestamp: int) -> _ReadWithdrawn:
    return _ReadWithdrawn(
        event.msg_id,
        event.reader_id,
        event.conversation_id,
        event.read_at // 1000,
        timestamp,
        event.seq or msgspec.UNSET,
        _known(event.count),
        _known(event.of),
    )


def _read_self(event: Event, timestamp: int) -> _ReadSelf:
    return _ReadSelf(
        event.msg_id,
        event.conversation_id,
        event.read_at // 1000,
        _known(event.count),
        event.device_id,
        timestamp,
        event.seq or msgspec.UNSET,
        True if event.kind == Kind.READ_SELF_UP_TO else msgspec.UNSET,
    )


def _unread_self(event: Event, timestamp: int) -> _UnreadSelf:
    return _UnreadSelf(
        event.msg_id,
        event.conversation_id,
        _known(event.count),
        timestamp,
        event.seq or msgspec.UNSET,
    )


_UPDATES: dict[int, Callable[[Event, int], msgspec.Struct]] = {
    Kind.COUNT: _read_count,
    Kind.WITHDRAWN: _read_withdrawn,
    Kind.READ_SELF: _read_self,
    Kind.READ_SELF_UP_TO: _read_self,
    Kind.UNREAD_SELF: _unread_self,
}


def _known(number: int | None) -> int | msgspec.UnsetType:
    return msgspec.UNSET if number is None else number


_A_RECEIPT = b'{"type":"read_receipt",'
_BATCH_BEGINS, _BATCH_ENDS = b'{"type":"read_receipts","receipts":[', b"]}"


def batch(receipts: Sequence[bytes]) -> bytes:
    """Several receipt frames as one."""
    return _BATCH_BEGINS + b",".join(receipts) + _BATCH_ENDS


def joined(out: Iterable[T]) -> list[T | bytes]:
    """The same with receipts that follow each other as batches of at most MAX_MESSAGE bytes."""
    found: list[T | bytes] = []
    receipts: list[bytes] = []
    size = 0

    def end() -> None:
        if len(receipts) > 1:
            found.append(batch(receipts))
        else:
            found.extend(receipts)
        receipts.clear()

    for item in out:
        if not (isinstance(item, bytes) and item.startswith(_A_RECEIPT)):
            end()
            found.append(item)
            continue
        size += len(item) + 1
        if not receipts or size > MAX_MESSAGE:
            end()
            # One comma fewer than receipts.
            size = len(_BATCH_BEGINS) + len(item) + len(_BATCH_ENDS)
        receipts.append(item)
    end()
    return found


def welcome(*, user_id: str, device_id: str, epoch: str, seq: int, resumed: bool) -> bytes:
    """The answer to hello; *seq* is the stream's head."""
    return _encode(_Welcome(user_id, device_id, epoch, seq, resumed, HEARTBEAT))


def reset(*, epoch: str, seq: int) -> bytes:
    """The client's position cannot be served whole; live frames go on after *seq*."""
    return _encode(_Reset(epoch, seq))


def error(code: str, sentence: str) -> bytes:
    """A frame that could not be used."""
    return _encode(_Error(code, sentence))


def read_done(ref: Ref, receipt: bytes) -> bytes:
    """A read frame was recorded; *receipt* is its receipt in the form of the HTTP answer."""
    return _encode(_ReadResult(ref, success=True, receipt=msgspec.Raw(receipt)))


def read_refused(ref: Ref, code: str, sentence: str) -> bytes:
    """A read frame was not recorded."""
    return _encode(_ReadResult(ref, success=False, code=code, error=sentence))


# From clients


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """Opens a seenby.v1 session."""

    token: str | None = None
    device_id: str | None = None
    epoch: str | None = None
    seq: Seq | None = None
    batch: bool = False


class AckFrame(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """This device has everything up to ``seq``."""

    seq: Seq


class _Read(msgspec.Struct, frozen=True, tag_field="type", tag="read"):
    """A read frame as it is sent; the fields of the mark stand beside these."""

    ref: Ref = None


class Read(msgspec.Struct, frozen=True):
    """Marks a message as read; ``fields`` are those of the HTTP request, not checked yet."""

    ref: Ref
    fields: dict[str, Any]


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Asks for a pong."""


ClientFrame = Hello | AckFrame | Read | Ping

_Sent = Hello | AckFrame | _Read | Ping

_decode: Callable[[bytes | msgspec.Raw], _Sent] = msgspec.json.Decoder(_Sent).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode

_A_FRAME = "a JSON object with a type: hello, ack, read or ping"
_ACCEPTED = {
    "type": "one of hello, ack, read, ping",
    "token": "a text",
    "device_id": "at most 64 printable ASCII characters without spaces (0x21 to 0x7E)",
    "epoch": "a text",
    "seq": "a whole number from 0",
    "batch": "true or false",
    "ref": "a text or a whole number of at most 64 bits",
}


def decode(message: bytes) -> ClientFrame:
    """A client's frame.

    Raises:
        BadInput: not JSON, of an unknown type, or with a field of the wrong form.
    """
    frame = inputs.decoded(_decode, message, _ACCEPTED, whole=("frame", _A_FRAME))
    if isinstance(frame, Hello) and frame.device_id is not None:
        inputs.device_id(frame.device_id)
    if isinstance(frame, _Read):
        fields = inputs.decoded(_decode_fields, message, _ACCEPTED, whole=("frame", _A_FRAME))
        return Read(frame.ref, fields)
    return frame
