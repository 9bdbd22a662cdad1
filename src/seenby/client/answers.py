"""What the API answers to a user's application, as values; times are in UTC."""

from __future__ import annotations

from datetime import datetime

import msgspec

from seenby.inputs import PublicReceipt

Receipt = PublicReceipt
"""The recorded fact: reader read message at time."""


class Recorded(msgspec.Struct, frozen=True):
    """A receipt that was made, or taken back."""

    receipt: Receipt


class UnreadCount(msgspec.Struct, frozen=True):
    """How many messages of one conversation a user has not read."""

    conversation_id: str
    conversation_type: str
    count: int


class UnreadCounts(msgspec.Struct, frozen=True):
    """How many messages a user has not read: in all, and by conversation."""

    count: int
    conversations: list[UnreadCount]


class UnreadMessage(msgspec.Struct, frozen=True):
    """A message that a user has not read."""

    msg_id: str
    conversation_id: str
    sender_id: str
    sent_at: datetime


class Unread(msgspec.Struct, frozen=True):
    """A page of what a user has not read, in the order in which it was sent.

    ``next_offset``: where the next page begins; None after the last.
    """

    messages: list[UnreadMessage]
    next_offset: int | None = None


class MessageReceipts(msgspec.Struct, frozen=True):
    """Who has read a message: all of them, or a page.

    ``count`` have read it, also those whose names are not told; ``member_count`` is how many it
    was sent to, None where that is not known: the message is not registered. ``next_cursor``: where
    the next page begins; None after the last. ``names`` is False where none are told, since who
    hides sees nobody's.
    """

    msg_id: str
    count: int
    receipts: list[Receipt]
    member_count: int | None = None
    names: bool = True
    next_cursor: str | None = None


class ReceiptsOfSeveral(msgspec.Struct, frozen=True):
    """Who has read each of several messages, in the order in which they were asked for."""

    messages: list[MessageReceipts]


class Gateway(msgspec.Struct, frozen=True):
    """Where a user connects; ``part`` is advice to a load balancer, None for none."""

    url: str
    part: int | None = None


class ReadAll(msgspec.Struct, frozen=True):
    """A conversation was read; ``rows_affected`` receipts were made by that."""

    rows_affected: int


class Done(msgspec.Struct, frozen=True):
    """It was done; there is nothing more to say."""
