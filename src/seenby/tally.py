"""What marks change: receipts, counters and events, decided without a database.

The store reads the facts, under its locks, and writes what is decided here. A mark of a message
that is not registered becomes a receipt and an event, no more. One of a registered message is
checked against its conversation, and is counted:

- for the message: one reader more, unless the receipt is UNCOUNTED; and one more whom it was sent
  to, where the reader had left and was not counted any more;
- for the reader: one message fewer that is unread.

The sender is told a name, or a count, or nothing (``rules``). Where more than ``aggregate_over``
were sent a message, the sender is told a count only: the first at once, then at most one in
TELL_EVERY_MS; what is held back is due later.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from seenby.errors import BadInput, Forbidden, Mismatch, NotFound, OwnMessage
from seenby.model import ERASED, ConversationType, Event, Kind, Mark, Receipt
from seenby.rules import Rules, Shown, is_crowd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TELL_EVERY_MS = 1000
"""Between two counts of one message, at the least."""

NOT_YOURS = "this message is not known, or was not sent to this reader"
"""One sentence for both, so that nobody learns which messages there are."""

Key = tuple[str, str]

Refusal = BadInput | Forbidden | Mismatch | NotFound | OwnMessage


class Message(msgspec.Struct, gc=False):
    """A registered message and its counters; the columns of ``messages``."""

    msg_id: str
    conversation_id: str
    number: int
    sender_id: str
    sent_at: int
    sent_to: int
    audience: int
    readers: int
    told: int
    told_at: int


class Member(msgspec.Struct, gc=False):
    """Someone's time in a conversation; the columns of ``members``."""

    conversation_id: str
    user_id: str
    since: int
    until: int | None
    settled: int
    base: int
    done: int

    def counts(self, number: int) -> bool:
        """Whether the audience of message *number* holds this member without a receipt too."""
        return self.until is None or number > self.settled


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """A registered conversation: how many members it has now, and how many messages came."""

    conversation_id: str
    type: ConversationType
    members: int
    last: int


class Facts(msgspec.Struct):
    """What the store knows of the messages, readers and senders of some marks, under its locks."""

    messages: dict[str, Message] = {}
    members: defaultdict[Key, list[Member]] = msgspec.field(
        default_factory=lambda: defaultdict(list)
    )
    conversations: dict[str, Conversation] = {}
    wishes: dict[Key, bool] = {}

    def member(self, user_id: str, message: Message) -> Member | None:
        """The user's time in the conversation when the message was sent, if there was one."""
        for member in self.members.get((message.conversation_id, user_id), ()):
            if member.since < message.number and (
                member.until is None or message.number <= member.until
            ):
                return member
        return None


class Made(NamedTuple):
    """A receipt to be inserted."""

    mark: Mark
    shown: Shown


class Tally:
    """Adds up what some marks change.

    Args:
        rules: the operator's.
        facts: changed along the way: counters stand there as they are to be written.
        now: ms.

    Attributes:
        made: receipts to insert.
        events: to be numbered, in order; their seq is 0 until then.
        changed_messages: whose counters are to be written.
        changed_members: as well.
        due: by msg_id, when (ms) a count that is held back is to be told.
    """

    def __init__(self, rules: Rules, facts: Facts, now: int) -> None:
        """Nothing is changed yet."""
        self.made: list[Made] = []
        self.events: list[Event] = []
        self.changed_messages: dict[str, Message] = {}
        self.changed_members: dict[tuple[str, str, int], Member] = {}
        self.due: dict[str, int] = {}
        self._rules = rules
        self._facts = facts
        self._now = now
        self._counts: dict[str, None] = {}
        # As a rule, so asked once: to find out mark by mark takes 0.6 us.
        self._nobody_hides = not facts.wishes and rules.forced is None

    # Marks

    def plain(self, mark: Mark) -> Refusal | None:
        """A mark of a message that is not registered; why it is not recorded, if it is not."""
        refusal = self._unregistered(mark)
        if refusal is not None:
            return refusal
        if self._nobody_hides:
            shown, sees = Shown.NAMED, True
        else:
            wishes = self._facts.wishes
            shown = self._rules.shown(wishes, mark.reader_id, mark.conversation_id, crowd=False)
            sees = self._rules.sees_names(wishes, mark.sender_id, mark.conversation_id)
        self.made.append(Made(mark, shown))
        if shown is Shown.NAMED and sees:
            self.events.append(mark.event(0, self._now))
        return None

    def _unregistered(self, mark: Mark) -> Refusal | None:
        if not self._rules.accept_unregistered:
            return NotFound(NOT_YOURS)
        if not mark.sender_id:
            return BadInput("sender_id", "given for a message that is not registered")
        if not mark.conversation_id:
            return BadInput("conversation_id", "given for a message that is not registered")
        return OwnMessage() if mark.own else None

    def registered(self, mark: Mark, *, quiet: bool = False) -> Refusal | None:
        """A mark of a registered message; why it is not recorded, if it is not.

        *quiet*: the reader's own devices are told by up_to().
        """
        message = self._facts.messages[mark.msg_id]
        if mark.reader_id == message.sender_id:
            return OwnMessage()
        member = self._facts.member(mark.reader_id, message)
        if member is None:
            return Forbidden(NOT_YOURS)
        if mark.sender_id not in {"", message.sender_id}:
            return Mismatch("sender_id")
        if mark.conversation_id not in {"", message.conversation_id}:
            return Mismatch("conversation_id")
        kind = self._facts.conversations[message.conversation_id].type
        mark = replace(
            mark,
            sender_id=message.sender_id,
            conversation_id=message.conversation_id,
            conversation_type=kind,
        )
        shown = self._rules.shown(
            self._facts.wishes,
            mark.reader_id,
            mark.conversation_id,
            crowd=is_crowd(kind, message.sent_to),
        )
        self.made.append(Made(mark, shown))
        self._count(message, member, shown, 1)
        self._tell_sender(message, mark, shown, Kind.RECEIPT)
        if not quiet:
            self._tell_reader(message, member, Kind.READ_SELF, mark.device_id, mark.trace)
        return None

    def up_to(self, message: Message, user_id: str, device_id: str = "") -> None:
        """Everything up to *message* is read: tell the reader's own devices."""
        member = self._facts.member(user_id, message)
        if member is not None:
            self._tell_reader(message, member, Kind.READ_SELF_UP_TO, device_id, "")

    # Taking back

    def withdraw(self, receipt: Receipt, shown: Shown, given_up: int = 0) -> None:
        """A receipt is taken back; it is deleted by whoever asks.

        *given_up*: messages after it up to the reader's base that are unread all the same.
        """
        mark = Mark(
            receipt.msg_id,
            receipt.reader_id,
            receipt.sender_id,
            receipt.conversation_id,
            receipt.conversation_type,
        )
        message = self._facts.messages.get(receipt.msg_id)
        if message is None:
            sees = receipt.sender_id != ERASED and self._rules.sees_names(
                self._facts.wishes, receipt.sender_id, receipt.conversation_id
            )
            if shown is Shown.NAMED and sees:
                event = mark.event(0, self._now)
                self.events.append(replace(event, kind=Kind.WITHDRAWN))
            return
        member = self._facts.member(receipt.reader_id, message)
        if member is None:
            # It was there before its message was registered, from someone who is not a member.
            return
        self._count(message, member, shown, -1, given_up)
        self._tell_sender(message, mark, shown, Kind.WITHDRAWN)
        self._tell_reader(message, member, Kind.UNREAD_SELF, "", "")

    # Counters

    def _count(
        self, message: Message, member: Member, shown: Shown, step: int, given_up: int = 0
    ) -> None:
        """Count a receipt that comes (*step* 1) or goes (-1)."""
        if shown is not Shown.UNCOUNTED:
            message.readers += step
            if not member.counts(message.number):
                message.audience += step
            self.changed_messages[message.msg_id] = message
        if member.until is None:
            if message.number > member.base:
                member.done += step
                last = self._facts.conversations[message.conversation_id].last
                if member.done == last - member.base:
                    # Nothing is unread: whoever looks for that need not look below again.
                    member.base, member.done = last, 0
            elif step < 0:
                # All up to base is done, but for this one: base steps back before it.
                member.done += member.base - message.number - given_up
                member.base = message.number - 1
            else:
                return
            self.changed_members[member.conversation_id, member.user_id, member.since] = member

    def compact(self, conversation_id: str, user_id: str, last: int) -> None:
        """Of this conversation a member has nothing unread up to number *last*."""
        for member in self._facts.members.get((conversation_id, user_id), ()):
            if member.until is None and last > member.base:
                member.done -= last - member.base
                member.base = last
                self.changed_members[conversation_id, user_id, member.since] = member

    # Events

    def count(self, message: Message) -> None:
        """The sender of *message* is to be told a count."""
        if message.sender_id != ERASED:
            self._counts[message.msg_id] = None

    def _tell_sender(self, message: Message, mark: Mark, shown: Shown, kind: Kind) -> None:
        if message.sender_id == ERASED or shown is Shown.UNCOUNTED:
            return
        group = self._facts.conversations[message.conversation_id].type
        sees = self._rules.sees_names(
            self._facts.wishes, message.sender_id, message.conversation_id
        )
        if not (shown is Shown.NAMED and sees) and not is_crowd(group, message.sent_to):
            return
        if message.sent_to > self._rules.aggregate_over or not sees or shown is Shown.COUNTED:
            self.count(message)
            return
        event = mark.event(0, self._now)
        self.events.append(replace(event, kind=kind, count=message.readers, of=message.audience))

    def _tell_reader(
        self, message: Message, member: Member, kind: Kind, device_id: str, trace: str
    ) -> None:
        if not self._rules.sync_reader:
            return
        unread = 0
        if member.until is None:
            last = self._facts.conversations[message.conversation_id].last
            unread = last - member.base - member.done
        self.events.append(
            Event(
                member.user_id,
                0,
                message.msg_id,
                member.user_id,
                message.conversation_id,
                self._now,
                self._now,
                device_id,
                trace,
                kind,
                unread,
            )
        )

    def settle_counts(self) -> None:
        """All marks are in: tell each count once, or note when it is due."""
        for msg_id in self._counts:
            message = self._facts.messages[msg_id]
            large = message.sent_to > self._rules.aggregate_over
            # A clock that runs ahead must not hold a count back until others get there.
            if large and abs(self._now - message.told_at) < TELL_EVERY_MS:
                self.due[msg_id] = message.told_at + TELL_EVERY_MS
            else:
                self._tell_count(message)
        self._counts.clear()

    def _tell_count(self, message: Message) -> None:
        """Tell a sender how many have read a message."""
        message.told, message.told_at = message.readers, self._now
        self.changed_messages[message.msg_id] = message
        self.events.append(
            Event(
                message.sender_id,
                0,
                message.msg_id,
                "",
                message.conversation_id,
                self._now,
                self._now,
                kind=Kind.COUNT,
                count=message.readers,
                of=message.audience,
            )
        )


def numbered(events: Iterable[Event], heads: Mapping[str, int]) -> list[Event]:
    """Events with their seqs: each user's go on after the user's head."""
    last = dict(heads)
    given: list[Event] = []
    for event in events:
        last[event.sender_id] = seq = last[event.sender_id] + 1
        given.append(replace(event, seq=seq))
    return given
