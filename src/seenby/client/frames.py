"""What gateway and client say to each other (contract, section 3), from the client's side.

The gateway may be newer than this client: frames of an unknown type and unknown fields are
ignored. A frame of a known type that lacks what it must have is a fault, never skipped: skipping
it would be a silent hole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from seenby.events import SECONDS_MAX
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Callable

SUBPROTOCOL = "seenby.v1"

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)]
_Seq = Annotated[int, msgspec.Meta(ge=0)]

# To the application


class Pushed(msgspec.Struct, frozen=True):
    """A receipt from the stream: *reader_id* has read the user's message at *read_at*.

    ``seq`` is 0 for a receipt that another producer put on the topic: it has no place in the
    stream, comes live only and cannot be acknowledged.
    """

    msg_id: str
    reader_id: str
    conversation_id: str
    read_at: datetime
    pushed_at: datetime
    epoch: str
    seq: int

    @property
    def position(self) -> Position | None:
        """Where the stream stands after this receipt; None when it has no place in it."""
        return Position(self.epoch, self.seq) if self.seq else None


class Reset(msgspec.Struct, frozen=True):
    """The stream has a gap here: load what is shown anew, by REST. It goes on after this seq."""

    epoch: str
    seq: int

    @property
    def position(self) -> Position:
        """Where the stream goes on."""
        return Position(self.epoch, self.seq)


Item = Pushed | Reset


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

    def pushed(self, epoch: str) -> Pushed:
        """The same for the application."""
        return Pushed(
            msg_id=self.msg_id,
            reader_id=self.reader_id,
            conversation_id=self.conversation_id,
            read_at=datetime.fromtimestamp(self.read_at, UTC),
            pushed_at=datetime.fromtimestamp(self.timestamp, UTC),
            epoch=epoch,
            seq=self.seq,
        )


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


Frame = Welcome | ReceiptFrame | BatchFrame | ResetFrame | ErrorFrame


class _AnyFrame(msgspec.Struct):
    type: str


_decode: Callable[[str], Frame] = msgspec.json.Decoder(Frame).decode
_decode_type = msgspec.json.Decoder(_AnyFrame).decode
_KNOWN = {"welcome", "read_receipt", "read_receipts", "reset", "error"}


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
