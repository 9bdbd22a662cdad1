"""The shapes of answers: one struct each, from which the description of the API is made as well.

A struct's docstring and the constraints of its fields are what ``/openapi.json`` says of it. They
describe; nothing is checked by them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from seenby import inputs
from seenby.inputs import (
    ConversationId,
    DeviceId,
    MsgId,
    PublicReceipt,
    SomeoneId,
    UserId,
)
from seenby.model import TYPE_OF_KIND, ConversationType, Kind

Yes = Annotated[bool, Meta(extra_json_schema={"const": True})]
No = Annotated[bool, Meta(extra_json_schema={"const": False})]
Number = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
Epoch = Annotated[str, Meta(description="The epoch in which seq counts.")]
Seq = Annotated[int, Meta(description="A place in a stream.", extra_json_schema={"minimum": 0})]
OfHowMany = Annotated[
    int,
    Meta(description="To how many the message was sent.", extra_json_schema={"minimum": 0}),
]
UpdateType = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": sorted({name for kind, name in TYPE_OF_KIND.items() if kind != Kind.RECEIPT})
        }
    ),
]


class Failure(msgspec.Struct, frozen=True):
    """A refusal: ``error`` is a sentence for a person, ``code`` is for programs and stays."""

    success: No
    error: str
    code: str


class Reset(Failure, frozen=True):
    """A position cannot be served whole: load anew, and go on from this epoch and seq."""

    epoch: Epoch
    seq: Seq


class Done(msgspec.Struct, frozen=True):
    """It is done."""

    success: Yes = True


class Recorded(msgspec.Struct, frozen=True):
    """A receipt that was recorded, or taken back."""

    success: Yes
    receipt: PublicReceipt


class ReadMessages(msgspec.Struct, frozen=True, kw_only=True):
    """So many receipts were made by reading a conversation."""

    success: Yes = True
    rows_affected: Number


class Receipts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who has read a message; ``member_count`` where it is registered."""

    msg_id: MsgId
    count: Number
    receipts: list[PublicReceipt]
    member_count: OfHowMany | None = None
    names: bool = True
    next_cursor: str | None = None


class ReceiptsOfSeveral(msgspec.Struct, frozen=True):
    """The same for several messages, in the order in which they were asked for."""

    messages: list[Receipts]


class NotRead(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who has not read a message."""

    msg_id: MsgId
    count: Number
    member_count: OfHowMany
    unread: list[UserId]
    names: bool = True
    next_cursor: str | None = None


class Conversation(msgspec.Struct, frozen=True):
    """A registered conversation; ``message_count`` messages were registered in it."""

    success: Yes
    conversation_id: ConversationId
    type: ConversationType
    member_count: Number
    message_count: Number


class Members(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is a member now, in the order of the ids."""

    conversation_id: ConversationId
    members: list[UserId]
    next_cursor: UserId | None = None


class Message(msgspec.Struct, frozen=True):
    """A registered message."""

    success: Yes
    msg_id: MsgId
    conversation_id: ConversationId
    sender_id: SomeoneId
    sent_at: datetime
    member_count: OfHowMany


class UnreadCount(msgspec.Struct, frozen=True):
    """How much of one conversation a user has not read."""

    conversation_id: ConversationId
    conversation_type: ConversationType
    count: Number


class UnreadCounts(msgspec.Struct, frozen=True):
    """How much a user has not read; conversations that are read are left out."""

    user_id: UserId
    count: Number
    conversations: list[UnreadCount]


class UnreadMessage(msgspec.Struct, frozen=True):
    """A message that a user has not read."""

    msg_id: MsgId
    conversation_id: ConversationId
    sender_id: SomeoneId
    sent_at: datetime


class Unread(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a user has not read, the oldest first; ``next_offset`` where there may be more."""

    user_id: UserId
    messages: list[UnreadMessage]
    next_offset: Number | None = None


class ConversationWish(msgspec.Struct, frozen=True):
    """What a user wishes for one conversation."""

    conversation_id: ConversationId
    send_receipts: bool


class Preferences(msgspec.Struct, frozen=True):
    """What a user wishes; ``send_receipts`` null: nothing in general."""

    user_id: UserId
    send_receipts: bool | None
    conversations: list[ConversationWish]


class MissedReceipt(msgspec.Struct, frozen=True):
    """A receipt in a stream; ``read`` of ``of`` where the message is registered."""

    seq: Seq
    msg_id: MsgId
    reader_id: UserId
    conversation_id: ConversationId
    read_at: datetime
    device_id: DeviceId
    read: Number | UnsetType = UNSET
    of: OfHowMany | UnsetType = UNSET


class MissedUpdate(msgspec.Struct, frozen=True):
    """An event of another kind, with the type and the fields that its frame has."""

    seq: Seq
    type: UpdateType
    msg_id: MsgId
    conversation_id: ConversationId
    at: datetime
    reader_id: UserId | UnsetType = UNSET
    read: Number | UnsetType = UNSET
    of: OfHowMany | UnsetType = UNSET
    unread: Number | UnsetType = UNSET
    up_to: bool | UnsetType = UNSET


class Stream(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of a stream: both lists together, in the order of ``seq``. ``head`` is its end."""

    epoch: Epoch
    head: Seq
    receipts: list[MissedReceipt]
    updates: list[MissedUpdate] = []
    next_after: Seq | None = None


class Device(msgspec.Struct, frozen=True):
    """A device, and how far it is."""

    device_id: DeviceId
    epoch: Epoch
    seq: Seq
    last_seen: datetime


class Devices(msgspec.Struct, frozen=True):
    """The devices of a user."""

    user_id: UserId
    devices: list[Device]


class Gateway(msgspec.Struct, frozen=True):
    """Where a user connects, and with which ``part``."""

    url: str
    part: Number
    partitions: Annotated[int, Meta(extra_json_schema={"minimum": 1})]


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Ready(msgspec.Struct, frozen=True):
    """Whether this instance can serve, and which of its parts cannot."""

    ready: bool
    store: bool
    bus: bool


def results_of(shape: str) -> dict[str, object]:
    """The answer to a batch: one result per item, in order."""
    one = [{"$ref": f"#/components/schemas/{name}"} for name in (shape, Failure.__name__)]
    results = {"type": "array", "maxItems": inputs.MAX_BATCH, "items": {"oneOf": one}}
    return {
        "type": "object",
        "description": "One result per item, in order.",
        "properties": {"success": {"type": "boolean", "const": True}, "results": results},
        "required": ["success", "results"],
    }
