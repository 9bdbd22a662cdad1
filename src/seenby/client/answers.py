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


class ReadAll(msgspec.Struct, frozen=True):
    """A conversation was read; ``rows_affected`` receipts were made by that."""

    rows_affected: int


class Done(msgspec.Struct, frozen=True):
    """It was done; there is nothing more to say."""
