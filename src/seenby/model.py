"""The words of the domain as values: mark, receipt, event, position, and who asks.

All ids are strings of printable ASCII (0x21 to 0x7E), compared byte for byte.
All times are whole milliseconds since the Unix epoch unless a name says otherwise.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

from seenby.errors import Forbidden

ConversationType = Literal["private", "group"]

ERASED = "(erased)"
"""The sender of messages whose sender was erased; no user may bear this name."""

MSG_ID_MAX = 64
USER_ID_MAX = 64
CONVERSATION_ID_MAX = 128
DEVICE_ID_MAX = 64


class Kind(IntEnum):
    """What an event tells; the number stands in the database."""

    RECEIPT = 0
    """To the sender: this reader has read this message."""
    COUNT = 1
    """To the sender: so many have read this message, without a name."""
    WITHDRAWN = 2
    """To the sender: this reader has taken the receipt back."""
    READ_SELF = 3
    """To the reader's own devices: this message is read."""
    READ_SELF_UP_TO = 4
    """To the reader's own devices: everything in the conversation up to this message is read."""
    UNREAD_SELF = 5
    """To the reader's own devices: this message is unread again."""


SELF_KINDS = frozenset({Kind.READ_SELF, Kind.READ_SELF_UP_TO, Kind.UNREAD_SELF})
"""The kinds for the reader's own devices."""

TYPE_OF_KIND: dict[int, str] = {
    Kind.RECEIPT: "read_receipt",
    Kind.COUNT: "read_count",
    Kind.WITHDRAWN: "read_withdrawn",
    Kind.READ_SELF: "read_self",
    Kind.READ_SELF_UP_TO: "read_self",
    Kind.UNREAD_SELF: "unread_self",
}
"""What each kind is called in frames, records and answers."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A reader's request to record that a message was read, already checked for form.

    A ``sender_id`` or ``conversation_id`` of "" was not given: the registered message has it.
    ``trace`` is the W3C trace id (32 hex digits) that follows the mark to the push.
    """

    msg_id: str
    reader_id: str
    sender_id: str
    conversation_id: str
    conversation_type: ConversationType = "private"
    device_id: str = ""
    trace: str = ""

    @property
    def own(self) -> bool:
        """Whether the reader has sent the message: such a mark is refused."""
        return self.reader_id == self.sender_id

    def receipt(self, number: int, now: int) -> Receipt:
        """The receipt that this mark becomes when it is the first of its message and reader."""
        return Receipt(
            number,
            self.msg_id,
            self.reader_id,
            self.sender_id,
            self.conversation_id,
            self.conversation_type,
            now,
            self.device_id,
        )

    def event(self, seq: int, now: int) -> Event:
        """The event that tells the sender of that receipt."""
        return Event(
            self.sender_id,
            seq,
            self.msg_id,
            self.reader_id,
            self.conversation_id,
            now,
            now,
            self.device_id,
            self.trace,
        )


class NewMessage(msgspec.Struct, frozen=True):
    """A message that the chat's backend registers, already checked for form.

    ``sent_at`` is None where the chat does not say: it counts as sent when it is registered.
    """

    msg_id: str
    conversation_id: str
    sender_id: str
    sent_at: int | None = None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The recorded fact: reader read message at time. One per (msg_id, reader_id)."""

    id: int
    msg_id: str
    reader_id: str
    sender_id: str
    conversation_id: str
    conversation_type: ConversationType
    read_at: int
    device_id: str


class Event(msgspec.Struct, frozen=True, gc=False):
    """One entry of a user's stream: what each of that user's devices must get.

    ``sender_id`` is the user whose stream it is: the message's sender, or for the kinds that end
    in SELF the reader. ``count`` is how many have read the message, for those kinds how many
    messages of the conversation are unread; ``of`` is how many it was sent to. Both are None
    where that is not known: the message is not registered.
    ``seq`` is 0 for a record of another producer that carries none: such an event is delivered
    live and takes no part in holes or resuming. ``at`` is when the event was committed (the
    record's own timestamp on the bus); for our own receipts it equals ``read_at``.
    A ``msg_id`` of "" is an erased event: it keeps its place in the order and is not shown.
    """

    sender_id: str
    seq: int
    msg_id: str
    reader_id: str
    conversation_id: str
    read_at: int
    at: int
    device_id: str = ""
    trace: str = ""
    kind: int = Kind.RECEIPT
    count: int | None = None
    of: int | None = None


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in a stream. ``seq`` counts within ``epoch`` only (design, Decisions)."""

    epoch: str
    seq: int


class Caller(msgspec.Struct, frozen=True):
    """Someone whose right to ask has been checked.

    Attributes:
        user_id: the user; "" for nobody in particular.
        everyone: may act for anyone: authentication is off, or the token's scope is ``service``.
        expires_at: until when this holds, in unix seconds; None for ever.
    """

    user_id: str
    everyone: bool
    expires_at: float | None

    def may_act_for(self, user_id: str) -> bool:
        """Whether this caller may read and mark as *user_id*."""
        return self.everyone or self.user_id == user_id

    def must_act_for(self, user_id: str) -> None:
        """Return when this caller may act for *user_id*; raises Forbidden when not."""
        if not self.may_act_for(user_id):
            raise Forbidden("user_id must be the token's user")

    def must_be_service(self) -> None:
        """Return for the chat's own backend; raises Forbidden for a user."""
        if not self.everyone:
            raise Forbidden("this is for the chat's backend: the token's scope must be service")


ANYONE = Caller(user_id="", everyone=True, expires_at=None)
"""The caller where authentication is off."""
