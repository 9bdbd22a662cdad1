"""Bodies and queries of the endpoints for conversations, read strictly."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from seenby import inputs
from seenby.errors import BadInput
from seenby.inputs import ConversationId, MsgId, UserId, items_of
from seenby.model import ConversationType, NewMessage
from seenby.store.conversations import MembersChange, NewConversation

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

BATCH_ITEMS = 1000
"""Items of a batch."""

MEMBERS_ITEMS = 10_000
"""Ids in one list of members."""

YEAR_9999_MS = 253_402_300_799_999

_ACCEPTED = {
    "type": "`private` or `group`",
    "members": f"a list of at most {MEMBERS_ITEMS} user ids",
    "add": f"a list of at most {MEMBERS_ITEMS} user ids",
    "remove": f"a list of at most {MEMBERS_ITEMS} user ids",
    "conversations": f"a list of 1 to {BATCH_ITEMS} conversations",
    "changes": f"a list of 1 to {BATCH_ITEMS} changes",
    "messages": f"a list of 1 to {BATCH_ITEMS} messages",
    "sent_at": "a time such as 2024-01-01T12:00:00Z, or unix seconds",
    "send_receipts": "true, false or null",
    "conversation_id": inputs.CONVERSATION_ID_FORM,
    "msg_id": inputs.MSG_ID_FORM,
    "sender_id": inputs.USER_ID_FORM,
    "reader_id": inputs.USER_ID_FORM,
    "user_id": inputs.USER_ID_FORM,
    "up_to_msg_id": inputs.MSG_ID_FORM,
}


_Time = Annotated[
    int | float, Meta(extra_json_schema={"minimum": 0, "maximum": YEAR_9999_MS / 1000})
]
_Users = Annotated[list[UserId], Meta(extra_json_schema={"maxItems": MEMBERS_ITEMS})]
_A_BATCH = Meta(extra_json_schema={"minItems": 1, "maxItems": BATCH_ITEMS})


class ConversationForm(msgspec.Struct):
    """A conversation with these members and nobody else.

    Where the id stands in the address it may be left out.
    """

    type: ConversationType
    members: _Users
    conversation_id: ConversationId | UnsetType = UNSET


class MembersForm(msgspec.Struct):
    """Who comes and who leaves; nobody is in both lists."""

    add: _Users = []
    remove: _Users = []
    conversation_id: ConversationId | UnsetType = UNSET


class MessageForm(msgspec.Struct):
    """A message that was sent; ``sent_at`` as a time, in unix seconds, or left out: now."""

    msg_id: MsgId
    conversation_id: ConversationId
    sender_id: UserId
    sent_at: datetime | _Time | None = None


class ConversationBatch(msgspec.Struct):
    """Conversations, each accepted or refused on its own."""

    conversations: Annotated[
        list[Annotated[msgspec.Raw, items_of("ConversationForm", "conversation_id")]], _A_BATCH
    ]


class MembersBatch(msgspec.Struct):
    """Changes of members, each accepted or refused on its own."""

    changes: Annotated[
        list[Annotated[msgspec.Raw, items_of("MembersForm", "conversation_id")]], _A_BATCH
    ]


class MessageBatch(msgspec.Struct):
    """Messages, each accepted or refused on its own."""

    messages: Annotated[list[Annotated[msgspec.Raw, items_of("MessageForm")]], _A_BATCH]


class ReadAll(msgspec.Struct):
    """A conversation that is read, up to a message or whole."""

    user_id: UserId
    conversation_id: ConversationId
    up_to_msg_id: MsgId | None = None


class Withdrawal(msgspec.Struct):
    """A receipt to be taken back."""

    msg_id: MsgId
    reader_id: UserId


class Wish(msgspec.Struct):
    """Whether senders are told a user's name, in one conversation or in general.

    ``send_receipts`` null takes the wish back.
    """

    send_receipts: bool | None
    conversation_id: ConversationId | None = None


_decode_conversation = msgspec.json.Decoder(ConversationForm).decode
_decode_change = msgspec.json.Decoder(MembersForm).decode
_decode_message = msgspec.json.Decoder(MessageForm).decode
_decode_conversations = msgspec.json.Decoder(ConversationBatch).decode
_decode_changes = msgspec.json.Decoder(MembersBatch).decode
_decode_messages = msgspec.json.Decoder(MessageBatch).decode
_decode_read_all = msgspec.json.Decoder(ReadAll).decode
_decode_withdrawal = msgspec.json.Decoder(Withdrawal).decode
_decode_wish = msgspec.json.Decoder(Wish).decode


def _decoded(decode: Callable[[bytes | msgspec.Raw], T], body: bytes | msgspec.Raw) -> T:
    return inputs.decoded(decode, body, _ACCEPTED, whole=("body", "a JSON object"))


def _each(
    items: list[msgspec.Raw], name: str, decode: Callable[[msgspec.Raw], T]
) -> list[T | BadInput]:
    """Each item of a batch, accepted or refused on its own."""
    if not 1 <= len(items) <= BATCH_ITEMS:
        raise BadInput(name, _ACCEPTED[name])
    found: list[T | BadInput] = []
    for item in items:
        try:
            found.append(decode(item))
        except BadInput as problem:
            found.append(problem)
    return found


def conversation(body: bytes | msgspec.Raw, conversation_id: str | None = None) -> NewConversation:
    """``{type, members: [...]}``; the id stands in the address, or in an item of a batch."""
    found = _decoded(_decode_conversation, body)
    return NewConversation(
        _the_id(found.conversation_id, conversation_id),
        found.type,
        _user_ids(found.members, "members"),
    )


def conversations(body: bytes) -> list[NewConversation | BadInput]:
    """``{"conversations": [...]}``."""
    items = _decoded(_decode_conversations, body).conversations
    return _each(items, "conversations", conversation)


def change(body: bytes | msgspec.Raw, conversation_id: str | None = None) -> MembersChange:
    """``{add: [...], remove: [...]}``."""
    found = _decoded(_decode_change, body)
    add, remove = _user_ids(found.add, "add"), _user_ids(found.remove, "remove")
    if not {*add}.isdisjoint(remove):
        raise BadInput("remove", "a list without those in add")
    return MembersChange(_the_id(found.conversation_id, conversation_id), add, remove)


def changes(body: bytes) -> list[MembersChange | BadInput]:
    """``{"changes": [...]}``."""
    return _each(_decoded(_decode_changes, body).changes, "changes", change)


def message(body: bytes | msgspec.Raw) -> NewMessage:
    """``{msg_id, conversation_id, sender_id, sent_at?}``."""
    found = _decoded(_decode_message, body)
    return NewMessage(
        inputs.msg_id(found.msg_id),
        inputs.conversation_id(found.conversation_id),
        inputs.user_id(found.sender_id, "sender_id"),
        _ms(found.sent_at),
    )


def messages(body: bytes) -> list[NewMessage | BadInput]:
    """``{"messages": [...]}``."""
    return _each(_decoded(_decode_messages, body).messages, "messages", message)


def read_all(body: bytes) -> ReadAll:
    """``{user_id, conversation_id, up_to_msg_id?}``."""
    found = _decoded(_decode_read_all, body)
    inputs.user_id(found.user_id)
    inputs.conversation_id(found.conversation_id)
    if found.up_to_msg_id is not None:
        inputs.msg_id(found.up_to_msg_id, "up_to_msg_id")
    return found


def withdrawal(body: bytes) -> Withdrawal:
    """``{msg_id, reader_id}``."""
    found = _decoded(_decode_withdrawal, body)
    inputs.msg_id(found.msg_id)
    inputs.user_id(found.reader_id, "reader_id")
    return found


def wish(body: bytes) -> Wish:
    """``{send_receipts, conversation_id?}``."""
    found = _decoded(_decode_wish, body)
    if found.conversation_id is not None:
        inputs.conversation_id(found.conversation_id)
    return found


def _the_id(inside: str | UnsetType, address: str | None) -> str:
    """The conversation's id, which the body may repeat."""
    if address is None:
        if inside is UNSET:
            raise BadInput("conversation_id", f"given: {_ACCEPTED['conversation_id']}")
        return inputs.conversation_id(inside)
    if inside not in {UNSET, address}:
        raise BadInput("conversation_id", "the same as in the address, or left out")
    return address


def _user_ids(user_ids: list[str], field: str) -> list[str]:
    if len(user_ids) > MEMBERS_ITEMS:
        raise BadInput(field, _ACCEPTED[field])
    for user_id in user_ids:
        inputs.user_id(user_id, field)
    return list(dict.fromkeys(user_ids))


def _ms(sent_at: datetime | float | None) -> int | None:
    """A time in ms."""
    if sent_at is None:
        return None
    if isinstance(sent_at, datetime):
        if sent_at.tzinfo is None:
            raise BadInput("sent_at", _ACCEPTED["sent_at"])
        sent_at = sent_at.timestamp()
    ms = sent_at * 1000
    if not 0 <= ms <= YEAR_9999_MS:
        raise BadInput("sent_at", _ACCEPTED["sent_at"])
    return int(ms)
