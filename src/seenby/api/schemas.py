"""The forms of the API: queries read strictly, answers written as the contract has them.

Times are ISO 8601 in UTC, to the second. A query parameter given twice, or with another form than
its rule says, is refused by name; one that is not known is ignored, as unknown fields are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seenby import inputs
from seenby.api import shapes
from seenby.errors import BadInput
from seenby.model import SELF_KINDS, TYPE_OF_KIND, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

    from seenby.chat import NotRead
    from seenby.errors import SeenbyError
    from seenby.model import Event, Receipt
    from seenby.service import Missed
    from seenby.store.base import Device, ReceiptPage
    from seenby.store.reading import UnreadCount
    from seenby.tally import Conversation, Message

LIMIT_MAX = 1000
"""Items of one page."""

LIMIT_DEFAULT = 100

OFFSET_MAX = 10_000
"""Messages that are passed over: each of them is read."""

MESSAGES_MAX = 100
"""Messages whose receipts are asked for at once."""

NUMBER_MAX = 2**63 - 1

encode = msgspec.json.Encoder().encode


# Queries


class ReceiptsQuery(msgspec.Struct, frozen=True):
    """Whose receipts are asked for, and which page of them."""

    msg_ids: list[str]
    after_id: int
    limit: int


class MissedQuery(msgspec.Struct, frozen=True):
    """From where a stream is asked for; ``after`` None: from the oldest event kept."""

    after: int | None
    epoch: str | None
    limit: int


def receipts_query(query: MultiMapping[str]) -> ReceiptsQuery:
    """``?msg_id=&limit=&cursor=``, with msg_id up to MESSAGES_MAX times.

    Raises:
        BadInput: a parameter is missing or has the wrong form.
    """
    msg_ids = query.getall("msg_id", [])
    if not 1 <= len(msg_ids) <= MESSAGES_MAX:
        raise BadInput("msg_id", f"given 1 to {MESSAGES_MAX} times")
    for msg_id in msg_ids:
        inputs.msg_id(msg_id)
    after_id = cursor_query(query)
    if after_id and len(msg_ids) > 1:
        raise BadInput("cursor", "given with one msg_id only")
    return ReceiptsQuery(list(dict.fromkeys(msg_ids)), after_id, _limit(query))


def cursor_query(query: MultiMapping[str]) -> int:
    """``?cursor=`` of a page of receipts: those after one."""
    return _number(query, "cursor", 0, "the next_cursor of the page before")


def missed_query(query: MultiMapping[str]) -> MissedQuery:
    """``?after=&epoch=&limit=``.

    Raises:
        BadInput: a parameter has the wrong form.
    """
    after = _number(query, "after", -1, "a seq: a whole number from 0")
    return MissedQuery(None if after < 0 else after, _one(query, "epoch"), _limit(query))


class NamesQuery(msgspec.Struct, frozen=True):
    """A page of user ids: those after one."""

    after: str
    limit: int


class UnreadQuery(msgspec.Struct, frozen=True):
    """A page of what a user has not read, of all conversations or one."""

    conversation_id: str | None
    limit: int
    offset: int


def names_query(query: MultiMapping[str]) -> NamesQuery:
    """``?limit=&cursor=`` of a list of users.

    Raises:
        BadInput: a parameter has the wrong form.
    """
    after = _one(query, "cursor") or ""
    if after:
        inputs.user_id(after, "cursor")
    return NamesQuery(after, _limit(query))


def viewer_query(query: MultiMapping[str]) -> str:
    """``?user_id=``, for whom a service asks; "" for nobody in particular."""
    user_id = _one(query, "user_id")
    return "" if user_id is None else inputs.user_id(user_id)


def unread_query(query: MultiMapping[str]) -> bool:
    """``?unread=true``: who has not read is asked for."""
    unread = _one(query, "unread") or "false"
    if unread not in {"true", "false"}:
        raise BadInput("unread", "true or false")
    return unread == "true"


def not_read_query(query: MultiMapping[str]) -> tuple[str, NamesQuery]:
    """``?msg_id=&limit=&cursor=`` of those who have not read one message."""
    return inputs.msg_id(_one(query, "msg_id") or ""), names_query(query)


def unread_page_query(query: MultiMapping[str]) -> UnreadQuery:
    """``?conversation_id=&limit=&offset=``."""
    accepted = f"a whole number from 0 to {OFFSET_MAX}"
    offset = _number(query, "offset", 0, accepted)
    if offset > OFFSET_MAX:
        raise BadInput("offset", accepted)
    return UnreadQuery(conversation_query(query), _limit(query), offset)


def conversation_query(query: MultiMapping[str]) -> str | None:
    """``?conversation_id=``; None: not given."""
    found = _one(query, "conversation_id")
    return None if found is None else inputs.conversation_id(found)


def user_query(query: MultiMapping[str]) -> str:
    """``?user_id=``.

    Raises:
        BadInput: it is missing or cannot be an id.
    """
    return inputs.user_id(_one(query, "user_id") or "")


def _one(query: MultiMapping[str], name: str) -> str | None:
    values = query.getall(name, [])
    if len(values) > 1:
        raise BadInput(name, "given once")
    return values[0] if values else None


def _number(query: MultiMapping[str], name: str, default: int, accepted: str) -> int:
    text = _one(query, name)
    if text is None:
        return default
    # Nineteen digits hold any seq; int() would also take "+1", " 1" and "1_000".
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= NUMBER_MAX):  # noqa: PLR2004 -- as said above
        raise BadInput(name, accepted)
    return int(text)


def _limit(query: MultiMapping[str]) -> int:
    accepted = f"a whole number from 1 to {LIMIT_MAX}"
    limit = _number(query, "limit", LIMIT_DEFAULT, accepted)
    if not 1 <= limit <= LIMIT_MAX:
        raise BadInput("limit", accepted)
    return limit


# Answers


def failure(error: SeenbyError, more: Mapping[str, object] | None = None) -> bytes:
    """An error as every endpoint answers it; *more* are further fields."""
    known = shapes.Failure(success=False, error=error.told, code=error.code)
    if not more:
        return encode(known)
    return encode({**msgspec.to_builtins(known), **more})


def recorded(receipt: Receipt) -> bytes:
    """A mark's receipt, as every endpoint answers it."""
    return b'{"success":true,"receipt":' + inputs.receipt_json(receipt) + b"}"


def receipts(page: ReceiptPage, limit: int, *, names: bool = True) -> shapes.Receipts:
    """Who has read one message; ``next_cursor`` where there may be more."""
    full = len(page.receipts) == limit
    return shapes.Receipts(
        page.msg_id,
        page.count,
        [inputs.public(receipt) for receipt in page.receipts],
        page.of,
        names,
        str(page.receipts[-1].id) if full else None,
    )


def not_read(found: NotRead, limit: int) -> bytes:
    """Who has not read one message."""
    return encode(
        shapes.NotRead(
            found.msg_id,
            found.count,
            found.of,
            found.user_ids,
            found.names,
            found.user_ids[-1] if len(found.user_ids) == limit else None,
        )
    )


def conversation(found: Conversation) -> bytes:
    """A registered conversation."""
    return encode(
        shapes.Conversation(
            success=True,
            conversation_id=found.conversation_id,
            type=found.type,
            member_count=found.members,
            message_count=found.last,
        )
    )


def members(conversation_id: str, user_ids: list[str], limit: int) -> bytes:
    """Who is in a conversation."""
    full = len(user_ids) == limit
    return encode(shapes.Members(conversation_id, user_ids, user_ids[-1] if full else None))


def message(found: Message) -> bytes:
    """A registered message; ``member_count`` is to how many it was sent."""
    return encode(
        shapes.Message(
            success=True,
            msg_id=found.msg_id,
            conversation_id=found.conversation_id,
            sender_id=found.sender_id,
            sent_at=inputs.at(found.sent_at),
            member_count=found.sent_to,
        )
    )


def unread_counts(user_id: str, found: list[UnreadCount]) -> bytes:
    """How much a user has not read."""
    return encode(
        shapes.UnreadCounts(
            user_id,
            sum(unread.count for unread in found),
            [
                shapes.UnreadCount(unread.conversation_id, unread.type, unread.count)
                for unread in found
            ],
        )
    )


def unread(user_id: str, found: list[Message], asked: UnreadQuery) -> bytes:
    """What a user has not read; ``next_offset`` where there may be more."""
    full = len(found) == asked.limit
    return encode(
        shapes.Unread(
            user_id,
            [
                shapes.UnreadMessage(m.msg_id, m.conversation_id, m.sender_id, inputs.at(m.sent_at))
                for m in found
            ],
            asked.offset + asked.limit if full else None,
        )
    )


def preferences(user_id: str, found: dict[str, bool]) -> bytes:
    """What a user wishes; ``send_receipts`` null: nothing in general."""
    return encode(
        shapes.Preferences(
            user_id,
            found.get(""),
            [
                shapes.ConversationWish(conversation_id, wish)
                for conversation_id, wish in sorted(found.items())
                if conversation_id
            ],
        )
    )


def missed(found: Missed) -> bytes:
    """A page of a stream. Erased events are left out: there is nothing to show."""
    receipts: list[shapes.MissedReceipt] = []
    updates: list[shapes.MissedUpdate] = []
    for event in found.events:
        if event.msg_id and event.kind == Kind.RECEIPT:
            receipts.append(_missed_receipt(event))
        elif event.msg_id:
            updates.append(_missed_update(event))
    return encode(shapes.Stream(found.epoch, found.head, receipts, updates, found.next_after))


def _missed_receipt(event: Event) -> shapes.MissedReceipt:
    return shapes.MissedReceipt(
        event.seq,
        event.msg_id,
        event.reader_id,
        event.conversation_id,
        inputs.at(event.read_at),
        event.device_id,
        _known(event.count),
        _known(event.of),
    )


def _missed_update(event: Event) -> shapes.MissedUpdate:
    own = event.kind in SELF_KINDS
    return shapes.MissedUpdate(
        event.seq,
        TYPE_OF_KIND[event.kind],
        event.msg_id,
        event.conversation_id,
        inputs.at(event.at),
        event.reader_id if event.kind == Kind.WITHDRAWN else msgspec.UNSET,
        read=msgspec.UNSET if own else _known(event.count),
        of=_known(event.of),
        unread=_known(event.count) if own else msgspec.UNSET,
        up_to=True if event.kind == Kind.READ_SELF_UP_TO else msgspec.UNSET,
    )


def _known(number: int | None) -> int | msgspec.UnsetType:
    return msgspec.UNSET if number is None else number


def devices(user_id: str, found: list[Device]) -> bytes:
    """The devices of a user."""
    shown = [
        shapes.Device(
            device.device_id,
            device.position.epoch,
            device.position.seq,
            inputs.at(device.last_seen),
        )
        for device in found
    ]
    return encode(shapes.Devices(user_id, shown))
