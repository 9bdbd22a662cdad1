"""The messages of the socket and of the topics: their fields, and what each is for.

A field has one meaning wherever it stands, so it is described once. Tests encode each message with
the code that sends it and hold the outcome against what stands here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from seenby import inputs
from seenby.events import SECONDS_MAX, SEQ_MAX

Schema = dict[str, Any]


def _id(form: Any, description: str) -> Schema:
    [schema], _ = msgspec.json.schema_components([form])
    return {**schema, "description": description}


def _number(description: str, maximum: int = SEQ_MAX) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": maximum, "description": description}


def _seconds(description: str) -> Schema:
    return _number(f"{description}, in unix seconds.", SECONDS_MAX)


def _of(kind: str, description: str) -> Schema:
    return {"type": kind, "description": description}


_REF = {
    "type": ["string", "integer", "null"],
    "minimum": -(2**63),
    "maximum": SEQ_MAX,
    "description": "The client's own name for its request; it comes back with the answer.",
}

FIELDS: dict[str, Schema] = {
    "at": _seconds("When it happened"),
    "batch": _of("boolean", "Several receipts may come in one frame."),
    "code": _of("string", "For programs; the codes are those of HTTP."),
    "conversation_id": _id(inputs.ConversationId, "The conversation."),
    "conversation_type": {
        "enum": ["private", "group"],
        "default": "private",
        "description": "Of a registered message its conversation's.",
    },
    "device_id": _id(inputs.DeviceId, "The device; empty where there is none."),
    "epoch": _of("string", "The epoch in which `seq` counts."),
    "error": _of("string", "A sentence for a person."),
    "group_id": _id(inputs.ConversationId, "The conversation; goes before `conversation_id`."),
    "heartbeat": _number("Seconds between the server's pings."),
    "msg_id": _id(inputs.MsgId, "The message."),
    "of": _number("To how many it was sent; where the message is registered."),
    "read": _number("How many have read it; where the message is registered."),
    "read_at": _seconds("When it was read"),
    "reader_id": _id(inputs.UserId, "Who has read."),
    "receipt": {"$ref": "#/components/schemas/PublicReceipt"},
    "receipts": {
        "type": "array",
        "minItems": 2,
        "items": {"$ref": "#/components/schemas/read_receipt"},
        "description": "In the order of the stream.",
    },
    "ref": _REF,
    "resumed": _of("boolean", "A known position is served whole."),
    "sender_id": _id(inputs.UserId, "Who had sent the message."),
    "seq": _number("A place in the user's stream."),
    "success": _of("boolean", "Whether it was recorded."),
    "timestamp": _seconds("The moment of this push"),
    "token": _of("string", "Where the handshake could carry none."),
    "unread": _number("How many messages of the conversation this user has not read."),
    "up_to": {"const": True, "description": "All before it in the conversation were read too."},
    "user_id": _id(inputs.SomeoneId, "The user whose devices are told."),
    "withdrawn_at": _seconds("When the receipt was taken back"),
}


class Message(NamedTuple):
    """One kind of message.

    Attributes:
        name: its ``type``, or what it is called where it has none.
        summary: what it tells.
        fields: those that are always there, in their order.
        more: those that may be there.
        typed: it has a ``type``.
        own: fields whose meaning is its own; they may be there.
        also: what else its schema says.
    """

    name: str
    summary: str
    fields: str = ""
    more: str = ""
    typed: bool = True
    own: Schema = {}  # noqa: RUF012 -- nobody changes it
    also: Schema = {}  # noqa: RUF012 -- as above

    @property
    def schema(self) -> Schema:
        """Its JSON Schema. Fields may be added some day, so others are allowed."""
        kind = {"type": {"const": self.name}} if self.typed else {}
        names = self.fields.split()
        known = {name: FIELDS[name] for name in [*names, *self.more.split()]}
        return {
            "type": "object",
            "description": self.summary,
            "properties": {**kind, **known, **self.own},
            "required": [*kind, *names],
            **self.also,
        }


TO_CLIENTS = (
    Message(
        "read_receipt",
        "To the sender: this reader has read this message.",
        "msg_id reader_id read_at conversation_id timestamp",
        "seq read of",
    ),
    Message("read_receipts", "Receipts that follow each other, in one frame.", "receipts"),
    Message(
        "read_count",
        "To the sender: so many have read this message, without a name.",
        "msg_id conversation_id timestamp",
        "read of seq",
    ),
    Message(
        "read_withdrawn",
        "To the sender: this reader has taken the receipt back.",
        "msg_id reader_id conversation_id withdrawn_at timestamp",
        "seq read of",
    ),
    Message(
        "read_self",
        "To the reader's own devices: this message is read.",
        "msg_id conversation_id read_at device_id timestamp",
        "unread seq up_to",
    ),
    Message(
        "unread_self",
        "To the reader's own devices: this message is unread again.",
        "msg_id conversation_id timestamp",
        "unread seq",
    ),
    Message(
        "welcome",
        "The answer to hello; `seq` is the head of the stream.",
        "user_id device_id epoch seq resumed heartbeat",
    ),
    Message(
        "reset",
        "The position cannot be served whole: load anew, and go on from here.",
        "epoch seq",
    ),
    Message(
        "read_result",
        "The answer to read: the receipt, or why there is none.",
        "ref success",
        "receipt code error",
    ),
    Message("error", "A frame that could not be used.", "code error"),
    Message("pong", "The answer to ping."),
)
"""What the gateway sends."""

FROM_CLIENTS = (
    Message(
        "hello",
        "Opens a session, and says the position: epoch and seq, or neither.",
        more="token device_id epoch seq batch",
    ),
    Message("ack", "This device has everything up to seq.", "seq"),
    Message(
        "read",
        "Marks a message as read; of a registered one sender and conversation may be left out.",
        "msg_id reader_id",
        "ref sender_id conversation_id conversation_type device_id",
    ),
    Message("ping", "Asks for a pong."),
)
"""What clients send that ask for seenby.v1."""

SILENT = ("read_receipt",)
"""All that silent clients are sent."""

RECEIPT = Message(
    "receipt",
    "A reader has read a message.",
    "msg_id sender_id reader_id conversation_id read_at device_id seq",
    "read of",
    typed=False,
)
"""The records of the first topic; another producer's may lack ``device_id`` and ``seq``."""

UPDATES = (
    Message(
        "read_count",
        "To the sender: so many have read the message, without a name.",
        "user_id msg_id conversation_id at read of",
        "device_id seq",
    ),
    Message(
        "read_withdrawn",
        "To the sender: this reader has taken the receipt back.",
        "user_id msg_id conversation_id reader_id at",
        "read of device_id seq",
    ),
    Message(
        "read_self",
        "To the reader's own devices: this message is read.",
        "user_id msg_id conversation_id at",
        "unread device_id up_to seq",
    ),
    Message(
        "unread_self",
        "To the reader's own devices: this message is unread again.",
        "user_id msg_id conversation_id at",
        "unread device_id seq",
    ),
)
"""The records of the second topic."""

CHAT = Message(
    "chat_message",
    "A message of the chat, which is registered.",
    "msg_id sender_id",
    "group_id conversation_id",
    typed=False,
    own={
        "timestamp": {
            "type": ["number", "null"],
            "minimum": 0,
            "description": "When it was sent, in unix seconds or milliseconds.",
        }
    },
    also={"anyOf": [{"required": ["group_id"]}, {"required": ["conversation_id"]}]},
)
"""The records of the chat's own topic."""
