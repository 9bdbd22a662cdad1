"""A store in memory that fails on demand."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from seenby.errors import (
    Conflict,
    OwnMessage,
    StoreRefused,
    StoreUnavailable,
)
from seenby.model import Event, Mark, Position, Receipt
from seenby.rules import DEFAULT
from seenby.store.base import (
    NO_STREAM,
    Device,
    Head,
    OutboxBatch,
    OutboxState,
    Page,
    ReceiptPage,
    Recorded,
    outcome,
)
from seenby.tally import Facts, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from seenby.store.base import Ack, Want
    from seenby.tally import Refusal


class FailingStore:
    """A Store in memory that fails, refuses or waits when told to.

    Like any store it may be called from several threads, and a call that fails has done nothing.

    Args:
        clock: seconds, for leases and the age of the outbox; the database's own, so to speak.

    Attributes:
        failing: while True every call raises StoreUnavailable.
        failures: how many calls have.
        refused: message ids for which record() raises StoreRefused.
        refusals: by message id, what record() answers to marks of it.
        answering: cleared, every call waits until it is set again.
        attempts: the marks of each call of record(), in the order in which they came.
        commits: the marks of each call of record() that was committed.
        closed: whether close() was called.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failing = False
        self.failures = 0
        self.refused: set[str] = set()
        self.refusals: dict[str, Refusal] = {}
        self.answering = threading.Event()
        self.answering.set()
        self.attempts: list[list[Mark]] = []
        self.commits: list[list[Mark]] = []
        self.closed = False
        self._clock = clock
        self._one_at_a_time = threading.RLock()
        self._epochs = 1
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._events: dict[str, list[Event]] = {}
        self._ends: dict[str, Head] = {}
        self._outbox: dict[int, _OutboxRow] = {}
        self._outbox_ids = 0
        self._devices: dict[tuple[str, str], Device] = {}

    @contextmanager
    def _call(self) -> Iterator[None]:
        self.answering.wait()
        with self._one_at_a_time:
            if self.failing:
                self.failures += 1
                raise StoreUnavailable("the store was told to fail")
            yield

    def record(
        self, marks: Sequence[Mark], *, now: int, lease: float | None, published: Sequence[int] = ()
    ) -> Recorded:
        """Record marks, or refuse all of them."""
        self.attempts.append(list(marks))
        with self._call():
            if any(mark.msg_id in self.refused for mark in marks):
                raise StoreRefused("the store was told to refuse this")
            events: list[Event] = []
            outcomes: list[Receipt | Conflict | Refusal] = [
                self._record(mark, now, events) for mark in marks
            ]
            self.discard(published)
            outbox_id = None
            if events and lease is not None:
                self._outbox_ids += 1
                outbox_id = self._outbox_ids
                made_at = self._clock()
                self._outbox[outbox_id] = _OutboxRow(made_at, made_at + lease, list(events))
            self.commits.append(list(marks))
            return Recorded(outcomes, events, outbox_id, self._epoch, len(events))

    def _record(self, mark: Mark, now: int, events: list[Event]) -> Receipt | Conflict | Refusal:
        if mark.own:
            return OwnMessage()
        first = self._receipts.get((mark.msg_id, mark.reader_id))
        return self._first(mark, now, events) if first is None else outcome(mark, first)

    def _first(self, mark: Mark, now: int, events: list[Event]) -> Receipt | Refusal:
        refusal = self.refusals.get(mark.msg_id) or Tally(DEFAULT, Facts(), now).plain(mark)
        if refusal is not None:
            return refusal
        receipt = mark.receipt(len(self._receipts) + 1, now)
        self._receipts[mark.msg_id, mark.reader_id] = receipt
        events.append(self._tell(mark.event(0, now)))
        return receipt

    def _tell(self, event: Event) -> Event:
        """The event with its seq, once it stands in its stream."""
        ends = self._ends.get(event.sender_id, NO_STREAM)
        event = replace(event, seq=ends.head + 1)
        self._ends[event.sender_id] = Head(event.seq, ends.floor, event.at)
        # A trace goes along in the outbox only.
        self._events.setdefault(event.sender_id, []).append(replace(event, trace=""))
        return event

    def tell(self, events: Sequence[Event]) -> list[Event]:
        """Put events of any kind into their users' streams; they come back with their seqs."""
        with self._call():
            return [self._tell(event) for event in events]

    @property
    def _epoch(self) -> str:
        return f"epoch-{self._epochs}"

    def epoch(self) -> str:
        """``epoch-1`` at first."""
        with self._call():
            return self._epoch

    def new_epoch(self) -> str:
        """Count on."""
        with self._call():
            self._epochs += 1
            return self._epoch

    def heads(self, user_ids: Sequence[str]) -> tuple[str, dict[str, Head]]:
        """The ends of each user's stream."""
        with self._call():
            return self._epoch, {user: self._ends.get(user, NO_STREAM) for user in user_ids}

    def pages(self, wants: Sequence[Want]) -> list[Page]:
        """One page per want."""
        with self._call():
            return [self._page(want) for want in wants]

    def _page(self, want: Want) -> Page:
        ends = self._ends.get(want.user_id, NO_STREAM)
        events = self._events.get(want.user_id, [])
        start = bisect_right(events, want.after, key=lambda event: event.seq)
        return Page(ends.head, ends.floor, events[start : start + want.limit])

    def positions(self, devices: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Position]:
        """Where known devices stand."""
        with self._call():
            return {key: self._devices[key].position for key in devices if key in self._devices}

    def acknowledge(self, acks: Sequence[Ack], *, now: int) -> None:
        """Store positions, never lowered within the epoch."""
        with self._call():
            for ack in acks:
                if ack.position.epoch != self._epoch:
                    continue
                key, position = (ack.user_id, ack.device_id), ack.position
                known = self._devices.get(key)
                if known is not None and known.position.epoch == self._epoch:
                    position = Position(self._epoch, max(known.position.seq, position.seq))
                self._devices[key] = Device(ack.device_id, position, now)

    def receipts(
        self, msg_ids: Sequence[str], *, sender_id: str | None, after_id: int, limit: int
    ) -> list[ReceiptPage]:
        """Receipts per message."""
        with self._call():
            pages = []
            for msg_id in msg_ids:
                found = [
                    receipt
                    for receipt in self._receipts.values()
                    if receipt.msg_id == msg_id and sender_id in {None, receipt.sender_id}
                ]
                later = [receipt for receipt in found if receipt.id > after_id]
                pages.append(ReceiptPage(msg_id, len(found), later[:limit]))
            return pages

    def devices(self, user_id: str) -> list[Device]:
        """Known devices of a user."""
        with self._call():
            return [self._devices[key] for key in sorted(self._devices) if key[0] == user_id]

    def forget_device(self, user_id: str, device_id: str) -> bool:
        """Forget one device."""
        with self._call():
            return self._devices.pop((user_id, device_id), None) is not None

    def forget_devices(self, *, unseen_since: int, limit: int) -> int:
        """Forget devices that were not seen."""
        with self._call():
            unseen = [
                key for key, device in self._devices.items() if device.last_seen < unseen_since
            ]
            for key in unseen[:limit]:
                del self._devices[key]
            return len(unseen[:limit])

    def claim(self, *, owner: str, lease: float, limit: int) -> list[OutboxBatch]:  # noqa: ARG002 -- see Store
        """Take over batches whose lease has run out."""
        with self._call():
            now = self._clock()
            expired = [
                (number, row) for number, row in self._outbox.items() if row.leased_until <= now
            ]
            for _, row in expired[:limit]:
                row.leased_until = now + lease
            return [OutboxBatch(number, self._kept(row.events)) for number, row in expired[:limit]]

    def _kept(self, events: Sequence[Event]) -> list[Event]:
        """Those that were not trimmed."""
        return [event for event in events if event.seq > self._ends[event.sender_id].floor]

    def release(self, outbox_ids: Sequence[int]) -> None:
        """End the lease of batches."""
        with self._call():
            for number in outbox_ids:
                if number in self._outbox:
                    self._outbox[number].leased_until = self._clock()

    def discard(self, outbox_ids: Sequence[int]) -> None:
        """Delete published batches."""
        with self._call():
            for number in outbox_ids:
                self._outbox.pop(number, None)

    def outbox(self) -> OutboxState:
        """How much is still to be published."""
        with self._call():
            now = self._clock()
            ages = [now - row.made_at for row in self._outbox.values()]
            return OutboxState(len(ages), max(ages, default=0.0))

    def trim(self, *, before: int, limit: int) -> int:
        """Delete old events."""
        with self._call():
            left = limit
            for user_id, events in self._events.items():
                old = next((i for i, event in enumerate(events) if event.at >= before), len(events))
                gone = events[: min(old, left)]
                if gone:
                    del events[: len(gone)]
                    ends = self._ends[user_id]
                    self._ends[user_id] = Head(ends.head, gone[-1].seq, ends.at if events else 0)
                    left -= len(gone)
            return limit - left

    def ping(self) -> None:
        """Return when the store answers."""
        with self._call():
            pass

    def durability_warnings(self) -> Sequence[str]:
        """One: this is memory."""
        return ["the store is in memory: nothing survives the process"]

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


class _OutboxRow:
    """A committed batch that is still to be published."""

    def __init__(self, made_at: float, leased_until: float, events: list[Event]) -> None:
        self.made_at = made_at
        self.leased_until = leased_until
        self.events = events
