"""What gateway and client say to each other (contract, section 3), from the client's side.

The gateway may be newer than this client: frames of an unknown type and unknown fields are
ignored. A frame of a known type that lacks what it must have is a fault, never skipped: skipping
it would be a silent hole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, get_args

import msgspec

from seenby.events import SECONDS_MAX
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Callable

SUBPROTOCOL = "seenby.v1"

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)]
_Seq = Annotated[int, msgspec.Meta(ge=0)]

# To the application


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What every item of the stream has.

    ``seq`` is 0 for what another producer put on the topic: it has no place in the stream, comes
    live only and cannot be acknowledged.
    """

    pushed_at: datetime
    epoch: str
    seq: int

    @property
    def position(self) -> Position | None:
        """Where the stream stands after this; None when it has no place in it."""
        return Position(self.epoch, self.seq) if self.seq else None


class Pushed(_Told, frozen=True):
    """A receipt from the stream: *reader_id* has read the user's message at *read_at*.

    ``read`` of ``of`` people whom it was sent to have read it; None where that is not known: the
    message is not registered.
    """

    msg_id: str
    reader_id: str
    conversation_id: str
    read_at: datetime
    read: int | None = None
    of: int | None = None


class ReadCount(_Told, frozen=True):
    """``read`` of ``of`` people have read the user's message; who they are is not told."""

    msg_id: str
    conversation_id: str
    read: int
    of: int


class Withdrawn(_Told, frozen=True):
    """*reader_id* has taken the receipt of the user's message back: it is unread again."""

    msg_id: str
    reader_id: str
    conversation_id: str
    withdrawn_at: datetime
    read: int | None = None
    of: int | None = None


class ReadSelf(_Told, frozen=True):
    """The user has read a message, on any device; with ``up_to`` it and all before it.

    ``unread``: how many of the conversation are left. ``device_id``: where; "" if it is not known.
    """

    msg_id: str
    conversation_id: str
    read_at: datetime
    unread: int | None
    device_id: str = ""
    up_to: bool = False


class UnreadSelf(_Told, frozen=True):
    """The user has made a message unread again; ``unread`` of the conversation are so now."""

    msg_id: str
    conversation_id: str
    unread: int | None


class Reset(msgspec.Struct, frozen=True):
    """The stream has a gap here: load what is shown anew, by REST. It goes on after this seq."""

    epoch: str
    seq: int

    @property
    def position(self) -> Position:
        """Where the stream goes on."""
        return Position(self.epoch, self.seq)


Item = Pushed | ReadCount | Withdrawn | ReadSelf | UnreadSelf | Reset


# From the gateway


class Welcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    """The gateway's answer to hello; ``seq`` is the stream's head, ``heartbeat`` in seconds."""

    epoch: str
    seq: _Seq
    resumed: bool
    heartbeat: Annotated[float, msgspec.Meta(gt=0)]
    user_id: str = ""


class ReceiptFrame(msgspec.Struct, frozen=True, tag_field="type", tag="read_receipt"):
    """One receipt, with times in unix seconds."""

    msg_id: str
    reader_id: str
    read_at: _Seconds
    conversation_id: str
    timestamp: _Seconds
    seq: _Seq = 0
    read: int | None = None
    of: int | None = None

    def pushed(self, epoch: str) -> Pushed:
        """The same for the application."""
        return Pushed(
            msg_id=self.msg_id,
            reader_id=self.reader_id,
            conversation_id=self.conversation_id,
            read_at=_time(self.read_at),
            read=self.read,
            of=self.of,
            pushed_at=_time(self.timestamp),
            epoch=epoch,
            seq=self.seq,
        )


class CountFrame(msgspec.Struct, frozen=True, tag_field="type", tag="read_count"):
    """How many have read a message."""

    msg_id: str
    conversation_id: str
    read: int
    of: int
    timestamp: _Seconds
    seq: _Seq = 0

    def pushed(self, epoch: str) -> ReadCount:
        """The same for the application."""
        return ReadCount(
            msg_id=self.msg_id,
            conversation_id=self.conversation_id,
            read=self.read,
            of=self.of,
            pushed_at=_time(self.timestamp),
            epoch=epoch,
            seq=self.seq,
        )


class WithdrawnFrame(msgspec.Struct, frozen=True, tag_field="type", tag="read_withdrawn"):
    """A receipt was taken back."""

    msg_id: str
    reader_id: str
    conversation_id: str
    withdrawn_at: _Seconds
    timestamp: _Seconds
    seq: _Seq = 0
    read: int | None = None
    of: int | None = None

    def pushed(self, epoch: str) -> Withdrawn:
        """The same for the application."""
        return Withdrawn(
            msg_id=self.msg_id,
            reader_id=self.reader_id,
            conversation_id=self.conversation_id,
            withdrawn_at=_time(self.withdrawn_at),
            read=self.read,
            of=self.of,
            pushed_at=_time(self.timestamp),
            epoch=epoch,
            seq=self.seq,
        )


class ReadSelfFrame(msgspec.Struct, frozen=True, tag_field="type", tag="read_self"):
    """The user has read something."""

    msg_id: str
    conversation_id: str
    read_at: _Seconds
    timestamp: _Seconds
    unread: int | None = None
    device_id: str = ""
    seq: _Seq = 0
    up_to: bool = False

    def pushed(self, epoch: str) -> ReadSelf:
        """The same for the application."""
        return ReadSelf(
            msg_id=self.msg_id,
            conversation_id=self.conversation_id,
            read_at=_time(self.read_at),
            unread=self.unread,
            device_id=self.device_id,
            up_to=self.up_to,
            pushed_at=_time(self.timestamp),
            epoch=epoch,
            seq=self.seq,
        )


class UnreadSelfFrame(msgspec.Struct, frozen=True, tag_field="type", tag="unread_self"):
    """The user has made something unread again."""

    msg_id: str
    conversation_id: str
    timestamp: _Seconds
    unread: int | None = None
    seq: _Seq = 0

    def pushed(self, epoch: str) -> UnreadSelf:
        """The same for the application."""
        return UnreadSelf(
            msg_id=self.msg_id,
            conversation_id=self.conversation_id,
            unread=self.unread,
            pushed_at=_time(self.timestamp),
            epoch=epoch,
            seq=self.seq,
        )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class BatchFrame(msgspec.Struct, frozen=True, tag_field="type", tag="read_receipts"):
    """Several receipts in order."""

    receipts: list[ReceiptFrame]


class ResetFrame(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """The position cannot be served whole."""

    epoch: str
    seq: _Seq


class ErrorFrame(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The gateway could not use a frame of ours."""

    code: str
    error: str


EventFrame = ReceiptFrame | CountFrame | WithdrawnFrame | ReadSelfFrame | UnreadSelfFrame
"""Those that have a place in the stream."""

Frame = Welcome | EventFrame | BatchFrame | ResetFrame | ErrorFrame


class _AnyFrame(msgspec.Struct):
    type: str


_decode: Callable[[str], Frame] = msgspec.json.Decoder(Frame).decode
_decode_type = msgspec.json.Decoder(_AnyFrame).decode
_KNOWN = {str(kind.__struct_config__.tag) for kind in get_args(Frame)}


def decode(text: str) -> Frame | None:
    """A frame from the gateway; None for one of a type that this client does not know.

    Raises:
        ValueError: not a frame, or one that lacks what it must have.
    """
    try:
        return _decode(text)
    except msgspec.ValidationError as problem:
        if _decode_type(text).type not in _KNOWN:
            return None
        raise ValueError(str(problem)) from None


# To the gateway


class _Hello(msgspec.Struct, tag_field="type", tag="hello", omit_defaults=True):
    token: str | None = None
    device_id: str = ""
    epoch: str | None = None
    seq: int | None = None
    batch: bool = False


class _Ack(msgspec.Struct, tag_field="type", tag="ack"):
    seq: int


_encode = msgspec.json.Encoder().encode


def hello(*, token: str | None, device_id: str, position: Position | None, batch: bool) -> str:
    """Opens a seenby.v1 session; without a *position* the device resumes where it stood."""
    frame = _Hello(token=token, device_id=device_id, batch=batch)
    if position is not None:
        frame.epoch, frame.seq = position.epoch, position.seq
    return _encode(frame).decode()


def ack(seq: int) -> str:
    """This device has everything up to *seq*."""
    return _encode(_Ack(seq)).decode()
