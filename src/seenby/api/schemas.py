"""The forms of the API: queries read strictly, answers written as the contract has them.

Times are ISO 8601 in UTC, to the second. A query parameter given twice, or with another form than
its rule says, is refused by name; one that is not known is ignored, as unknown fields are.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from seenby import inputs
from seenby.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

    from seenby.errors import SeenbyError
    from seenby.model import Event, Receipt
    from seenby.service import Missed
    from seenby.store.base import Device, ReceiptPage

LIMIT_MAX = 1000
"""Items of one page."""

LIMIT_DEFAULT = 100

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
    after_id = _number(query, "cursor", 0, "the next_cursor of the page before")
    if after_id and len(msg_ids) > 1:
        raise BadInput("cursor", "given with one msg_id only")
    return ReceiptsQuery(list(dict.fromkeys(msg_ids)), after_id, _limit(query))


def missed_query(query: MultiMapping[str]) -> MissedQuery:
    """``?after=&epoch=&limit=``.

    Raises:
        BadInput: a parameter has the wrong form.
    """
    after = _number(query, "after", -1, "a seq: a whole number from 0")
    return MissedQuery(None if after < 0 else after, _one(query, "epoch"), _limit(query))


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


class _Failure(msgspec.Struct, frozen=True):
    success: bool
    error: str
    code: str


class _Receipts(msgspec.Struct, frozen=True, omit_defaults=True):
    msg_id: str
    count: int
    receipts: list[inputs.PublicReceipt]
    next_cursor: str | None = None


class _MissedReceipt(msgspec.Struct, frozen=True):
    seq: int
    msg_id: str
    reader_id: str
    conversation_id: str
    read_at: datetime
    device_id: str


class _MissedPage(msgspec.Struct, frozen=True, omit_defaults=True):
    epoch: str
    head: int
    receipts: list[_MissedReceipt]
    next_after: int | None = None


class _Device(msgspec.Struct, frozen=True):
    device_id: str
    epoch: str
    seq: int
    last_seen: datetime


def failure(error: SeenbyError, more: Mapping[str, object] | None = None) -> bytes:
    """An error as every endpoint answers it; *more* are further fields."""
    known = _Failure(success=False, error=error.told, code=error.code)
    if not more:
        return encode(known)
    return encode({**msgspec.to_builtins(known), **more})


def recorded(receipt: Receipt) -> bytes:
    """A mark's receipt, as every endpoint answers it."""
    return b'{"success":true,"receipt":' + inputs.receipt_json(receipt) + b"}"


def receipts(page: ReceiptPage, limit: int) -> _Receipts:
    """Who has read one message; ``next_cursor`` where there may be more."""
    full = len(page.receipts) == limit
    return _Receipts(
        page.msg_id,
        page.count,
        [inputs.public(receipt) for receipt in page.receipts],
        str(page.receipts[-1].id) if full else None,
    )


def missed(found: Missed) -> bytes:
    """A page of a stream. Erased events are left out: there is nothing to show."""
    shown = [_missed_receipt(event) for event in found.events if event.msg_id]
    return encode(_MissedPage(found.epoch, found.head, shown, found.next_after))


def _missed_receipt(event: Event) -> _MissedReceipt:
    return _MissedReceipt(
        event.seq,
        event.msg_id,
        event.reader_id,
        event.conversation_id,
        inputs.at(event.read_at),
        event.device_id,
    )


def devices(user_id: str, found: list[Device]) -> bytes:
    """The devices of a user."""
    shown = [
        _Device(
            device.device_id,
            device.position.epoch,
            device.position.seq,
            inputs.at(device.last_seen),
        )
        for device in found
    ]
    return encode({"user_id": user_id, "devices": shown})
