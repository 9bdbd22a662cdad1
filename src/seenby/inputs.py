"""From outside to Mark, and back: the one place that decides which form a mark may have.

HTTP and the socket both come through here, so a mark that one accepts the other accepts too
(contract, section 1). Fields that are not known are ignored: clients may be newer than we are.
What is refused is refused in a sentence that names the field and the accepted form, and never
repeats what was sent. The receipt that answers a mark has its one form here too.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from random import getrandbits
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from seenby.errors import BadInput
from seenby.model import (
    CONVERSATION_ID_MAX,
    DEVICE_ID_MAX,
    ERASED,
    MSG_ID_MAX,
    USER_ID_MAX,
    ConversationType,
    Mark,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seenby.model import Receipt

T = TypeVar("T")

MAX_BATCH = 1000
"""Marks in one batch request."""

_PRINTABLE = "printable ASCII characters without spaces (0x21 to 0x7E)"
_A_MARK = "a JSON object"


def _described(shortest: int, longest: int, but: str = "") -> Meta:
    """What descriptions of the API say of an id. msgspec itself checks nothing of it."""
    pattern = f"[!-~]{{{shortest},{longest}}}$"
    not_it = f"(?!{re.escape(but)}$)" if but else ""
    lengths = {"minLength": shortest, "maxLength": longest}
    return Meta(extra_json_schema={**lengths, "pattern": f"^{not_it}{pattern}"})


MsgId = Annotated[str, _described(1, MSG_ID_MAX)]
UserId = Annotated[str, _described(1, USER_ID_MAX, but=ERASED)]
SomeoneId = Annotated[str, _described(1, USER_ID_MAX)]
"""A user's id, or ERASED in its place."""
ConversationId = Annotated[str, _described(1, CONVERSATION_ID_MAX)]
DeviceId = Annotated[str, _described(0, DEVICE_ID_MAX)]


class MarkFields(msgspec.Struct, gc=False):
    """A reader has read a message.

    Of a registered message the sender and the conversation may be left out.
    """

    msg_id: MsgId
    reader_id: UserId
    sender_id: UserId | UnsetType = UNSET
    conversation_id: ConversationId | UnsetType = UNSET
    conversation_type: ConversationType = "private"
    device_id: DeviceId = ""


class PublicReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt as callers see it; msgspec writes the time as ISO 8601 with a Z."""

    id: int
    msg_id: MsgId
    reader_id: UserId
    sender_id: SomeoneId
    conversation_id: ConversationId
    conversation_type: ConversationType
    read_at: datetime
    device_id: DeviceId


def items_of(shape: str, *needed: str) -> Meta:
    """What descriptions of the API say of a batch's items, which are read one by one."""
    also = {"required": list(needed)} if needed else {}
    return Meta(extra_json_schema={"$ref": f"#/components/schemas/{shape}", **also})


class MarkBatch(msgspec.Struct):
    """Marks, each accepted or refused on its own."""

    receipts: Annotated[
        list[Annotated[msgspec.Raw, items_of("MarkFields")]],
        Meta(extra_json_schema={"maxItems": MAX_BATCH}),
    ]


def _id(shortest: int, longest: int, but: str = "") -> tuple[Callable[[str], object], str]:
    """A check for ids of that many characters, but one, and the accepted form in words.

    ``fullmatch``, because ``$`` lets a trailing line feed pass. Compiled and called from here
    it costs a third of what msgspec's own ``pattern`` does (0.6 against 1.7 us for a mark).
    """
    lengths = f"{shortest} to {longest}" if shortest else f"at most {longest}"
    form = rf"[\x21-\x7e]{{{shortest},{longest}}}"
    if but:
        form = rf"(?!{re.escape(but)}\Z){form}"
    return re.compile(form).fullmatch, f"{lengths} {_PRINTABLE}"


_is_msg_id, MSG_ID_FORM = _id(1, MSG_ID_MAX)
_is_user_id, USER_ID_FORM = _id(1, USER_ID_MAX, but=ERASED)
_is_conversation_id, CONVERSATION_ID_FORM = _id(1, CONVERSATION_ID_MAX)
_is_device_id, _DEVICE_ID = _id(0, DEVICE_ID_MAX)

_ACCEPTED = {
    "msg_id": MSG_ID_FORM,
    "reader_id": USER_ID_FORM,
    "sender_id": USER_ID_FORM,
    "conversation_id": CONVERSATION_ID_FORM,
    "conversation_type": "`private` or `group`",
    "device_id": _DEVICE_ID,
    "receipts": f"a list of at most {MAX_BATCH} marks",
}

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(MarkFields).decode
_decode_batch = msgspec.json.Decoder(MarkBatch).decode


def decode_mark(body: bytes | msgspec.Raw, trace: str) -> Mark:
    """The mark in a JSON text.

    Args:
        body: the JSON text.
        trace: the trace id that the mark carries on.

    Raises:
        BadInput: not a JSON object, or a field is missing or has the wrong form.
    """
    return _checked(decoded(_decode_fields, body, _ACCEPTED, whole=("body", _A_MARK)), trace)


def parse_mark(fields: Mapping[str, Any], trace: str) -> Mark:
    """The mark in a JSON object that is already decoded (the socket's ``read`` frame).

    Raises:
        BadInput: a field is missing or has the wrong form.
    """
    try:
        found = msgspec.convert(fields, MarkFields)
    except msgspec.ValidationError as problem:
        raise explained(problem, _ACCEPTED, whole=("body", _A_MARK)) from None
    return _checked(found, trace)


def decode_batch(body: bytes, trace: str) -> list[Mark | BadInput]:
    """The marks in a batch request, in order; each item is accepted or refused on its own.

    Raises:
        BadInput: the body as a whole cannot be used.
    """
    batch = decoded(_decode_batch, body, _ACCEPTED, whole=("body", _A_MARK))
    if len(batch.receipts) > MAX_BATCH:
        raise BadInput("receipts", _ACCEPTED["receipts"])
    items: list[Mark | BadInput] = []
    for item in batch.receipts:
        try:
            items.append(decode_mark(item, trace))
        except BadInput as problem:
            items.append(problem)
    return items


def new_trace() -> str:
    """A trace id for a mark that came without one: 32 hex digits, never all 0 (W3C, 3.2.2.3)."""
    return f"{getrandbits(128) or 1:032x}"  # Names a request, guards nothing.


def at(ms: int) -> datetime:
    """A time in ms as callers see it: UTC, to the second."""
    return datetime.fromtimestamp(ms // 1000, UTC)


def public(receipt: Receipt) -> PublicReceipt:
    """A receipt as callers see it."""
    return PublicReceipt(
        receipt.id,
        receipt.msg_id,
        receipt.reader_id,
        receipt.sender_id,
        receipt.conversation_id,
        receipt.conversation_type,
        at(receipt.read_at),
        receipt.device_id,
    )


def receipt_json(receipt: Receipt) -> bytes:
    """A receipt's JSON text as callers see it."""
    return _encode(public(receipt))


def msg_id(value: str, field: str = "msg_id") -> str:
    """*value*, if it can be a message's id; otherwise BadInput that names *field*."""
    if not _is_msg_id(value):
        raise BadInput(field, MSG_ID_FORM)
    return value


def user_id(value: str, field: str = "user_id") -> str:
    """*value*, if it can be a user's id; otherwise BadInput that names *field*."""
    if not _is_user_id(value):
        raise _no_user(field, value)
    return value


def conversation_id(value: str, field: str = "conversation_id") -> str:
    """*value*, if it can be a conversation's id; otherwise BadInput that names *field*."""
    if not _is_conversation_id(value):
        raise BadInput(field, CONVERSATION_ID_FORM)
    return value


def device_id(value: str, field: str = "device_id") -> str:
    """*value*, if it can be a device's id ("" for none); otherwise BadInput that names *field*."""
    if not _is_device_id(value):
        raise BadInput(field, _DEVICE_ID)
    return value


def decoded(
    decode: Callable[[bytes | msgspec.Raw], T],
    text: bytes | msgspec.Raw,
    accepted: Mapping[str, str],
    *,
    whole: tuple[str, str],
) -> T:
    """What *decode* makes of a JSON text from outside.

    Args:
        decode: a msgspec decoder's ``decode``.
        text: anything at all: not UTF-8, cut off, a hundred thousand brackets.
        accepted: the accepted form of each field.
        whole: what the text is called, and must be, when no single field is at fault.

    Raises:
        BadInput: the text does not decode.
    """
    try:
        return decode(text)
    except msgspec.ValidationError as problem:
        raise explained(problem, accepted, whole=whole) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadInput(*whole) from None


_MISSING = re.compile(r"Object missing required field `(\w+)`")
_PATH = re.compile(r" - at `\$\.(\w+)[^ `]*`\Z")


def explained(
    problem: msgspec.ValidationError, accepted: Mapping[str, str], *, whole: tuple[str, str]
) -> BadInput:
    """What msgspec complains about, in seenby's words.

    It ends its sentence with the path, so a value that looks like one cannot mislead.
    """
    text = str(problem)
    missing = _MISSING.match(text)
    if missing is not None and missing[1] in accepted:
        return BadInput(missing[1], f"given: {accepted[missing[1]]}")
    path = _PATH.search(text)
    if path is not None and path[1] in accepted:
        return BadInput(path[1], accepted[path[1]])
    return BadInput(*whole)


def _no_user(field: str, value: str) -> BadInput:
    if value == ERASED:
        return BadInput(field, f"another id: {ERASED} stands for users who were erased")
    return BadInput(field, USER_ID_FORM)


def _checked(found: MarkFields, trace: str) -> Mark:
    if not _is_msg_id(found.msg_id):
        raise BadInput("msg_id", MSG_ID_FORM)
    if not _is_user_id(found.reader_id):
        raise _no_user("reader_id", found.reader_id)
    sender_id = found.sender_id
    if sender_id is UNSET:
        sender_id = ""
    elif not _is_user_id(sender_id):
        raise _no_user("sender_id", sender_id)
    conversation_id = found.conversation_id
    if conversation_id is UNSET:
        conversation_id = ""
    elif not _is_conversation_id(conversation_id):
        raise BadInput("conversation_id", CONVERSATION_ID_FORM)
    if not _is_device_id(found.device_id):
        raise BadInput("device_id", _DEVICE_ID)
    return Mark(
        found.msg_id,
        found.reader_id,
        sender_id,
        conversation_id,
        found.conversation_type,
        found.device_id,
        trace,
    )
