"""The port of the store: what seenby asks of a database.

The port is synchronous. Every method is one transaction (or one statement) and may be called
from any thread; ``threads.StoreThreads`` decides which. Rules that every adapter keeps:

- ``record`` gives seqs under the row locks of the senders' streams, so for one sender the order
  of seqs is the order of commits, and "everything after seq" is exact.
- Lock order everywhere: streams, conversations, messages, members, receipts; each sorted.
- A transaction that fails for a passing reason (deadlock, lock timeout, lost race on a unique
  key, busy, lost connection) is run again as a whole, with backoff, within a time limit; then
  ``StoreUnavailable``. ``StoreRefused`` when the database does not accept a value.
- Trimming deletes strict prefixes of a stream and raises its floor in the same transaction, so a
  page is contiguous from ``after + 1`` or its floor is above ``after``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from seenby.errors import Conflict, Mismatch
from seenby.model import Event, Position, Receipt
from seenby.tally import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import Mark


class Recorded(msgspec.Struct, frozen=True):
    """What one recording transaction did.

    ``outcomes`` answers each mark in order: its receipt (the first one, for a repeat) or the
    refusal. ``events`` are the new ones only, in the order of their seqs per stream.
    ``outbox_id`` is None when there are no events or no outbox row was asked for. ``receipts``
    says how many were made, ``due`` when (ms) the first count that was held back is to be told.
    """

    outcomes: list[Receipt | Conflict | Refusal]
    events: list[Event]
    outbox_id: int | None
    epoch: str
    receipts: int
    due: int | None = None


class Head(msgspec.Struct, frozen=True, gc=False):
    """A stream's ends: the last seq given, and the last seq trimmed. Both 0 when never used.

    ``at`` is when the head's event was committed (ms); 0 when it is no longer kept.
    """

    head: int
    floor: int
    at: int = 0


NO_STREAM = Head(0, 0)
"""The ends of a stream that was never used."""


class Want(msgspec.Struct, frozen=True, gc=False):
    """Asks for at most ``limit`` events of a user's stream after ``after``."""

    user_id: str
    after: int
    limit: int


class Page(msgspec.Struct, frozen=True):
    """Answers a Want in one consistent read: ends of the stream, and the events in order.

    Contiguous from ``after + 1`` unless ``floor > after``; then it starts at ``floor + 1``.
    """

    head: int
    floor: int
    events: list[Event]


class Ack(msgspec.Struct, frozen=True, gc=False):
    """A device of a user has everything up to a position."""

    user_id: str
    device_id: str
    position: Position


class Device(msgspec.Struct, frozen=True, gc=False):
    """A known device: where it stands and when it was last seen (ms)."""

    device_id: str
    position: Position
    last_seen: int


class ReceiptPage(msgspec.Struct, frozen=True):
    """Receipts of one message in the order of their ids, and how many there are in all.

    ``receipts`` are those that are shown by name; ``count`` has those that are counted without a
    name too. ``of`` is how many the message was sent to, None when it is not registered.
    """

    msg_id: str
    count: int
    receipts: list[Receipt]
    of: int | None = None


class OutboxBatch(msgspec.Struct, frozen=True):
    """One committed batch that is still to be published."""

    id: int
    events: list[Event]


class OutboxState(msgspec.Struct, frozen=True, gc=False):
    """Rows in the outbox, and the age of the oldest in seconds (0.0 when empty)."""

    rows: int
    oldest: float


def outcome(
    mark: Mark, first: Receipt, *, registered: bool = False
) -> Receipt | Conflict | Mismatch:
    """What answers *mark* where the first receipt of its message and reader is *first*."""
    if mark.sender_id not in {"", first.sender_id}:
        wrong = "sender_id"
    elif mark.conversation_id not in {"", first.conversation_id}:
        wrong = "conversation_id"
    else:
        return first
    if registered:
        return Mismatch(wrong)
    return Conflict(
        "this reader has marked this message already, with another sender_id or conversation_id"
    )


class Store(Protocol):
    """What seenby asks of a database. Raises StoreUnavailable, StoreRefused."""

    def record(
        self, marks: Sequence[Mark], *, now: int, lease: float | None, published: Sequence[int] = ()
    ) -> Recorded:
        """Record marks in one transaction: receipts, events, heads, outbox row.

        The first read wins: a mark whose (msg_id, reader_id) exists, in the table or earlier in
        *marks*, is answered with that receipt, or with a refusal when sender or conversation
        differ. ``tally`` decides about the others.

        Args:
            marks: any number, in any order.
            now: ms; becomes ``read_at`` of all new receipts.
            lease: for how many seconds only this instance publishes the batch; 0: any sweeper may
                at once; None: no outbox row at all.
            published: outbox ids that are done, and deleted along the way.
        """
        ...

    def epoch(self) -> str:
        """The epoch in force."""
        ...

    def new_epoch(self) -> str:
        """Start a new epoch (after a restore from a backup) and return it."""
        ...

    def heads(self, user_ids: Sequence[str]) -> tuple[str, dict[str, Head]]:
        """The epoch, and the ends of each user's stream (users without a stream: Head(0, 0))."""
        ...

    def pages(self, wants: Sequence[Want]) -> list[Page]:
        """One page per want, in order, in one statement for all."""
        ...

    def positions(self, devices: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Position]:
        """Stored positions of (user_id, device_id) pairs; unknown devices are absent."""
        ...

    def acknowledge(self, acks: Sequence[Ack], *, now: int) -> None:
        """Store positions, never lowered within an epoch; those of another epoch are ignored."""
        ...

    def receipts(
        self, msg_ids: Sequence[str], *, sender_id: str | None, after_id: int, limit: int
    ) -> list[ReceiptPage]:
        """Receipts per message with id > *after_id*; only those of *sender_id* when given."""
        ...

    def devices(self, user_id: str) -> list[Device]:
        """Known devices of a user, by device_id."""
        ...

    def forget_device(self, user_id: str, device_id: str) -> bool:
        """Forget one device; False when it was not known."""
        ...

    def forget_devices(self, *, unseen_since: int, limit: int) -> int:
        """Forget at most *limit* devices last seen before *unseen_since* (ms); how many were."""
        ...

    def claim(self, *, owner: str, lease: float, limit: int) -> list[OutboxBatch]:
        """Take over batches whose lease has run out, oldest first, for *lease* seconds."""
        ...

    def release(self, outbox_ids: Sequence[int]) -> None:
        """End the lease of batches, so that any sweeper may take them at once."""
        ...

    def discard(self, outbox_ids: Sequence[int]) -> None:
        """Delete published batches."""
        ...

    def outbox(self) -> OutboxState:
        """How much is still to be published."""
        ...

    def trim(self, *, before: int, limit: int) -> int:
        """Delete at most *limit* events committed before *before* (ms); how many were."""
        ...

    def ping(self) -> None:
        """Return when the database answers."""
        ...

    def durability_warnings(self) -> Sequence[str]:
        """Sentences about server settings under which a commit may be lost on power failure."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
