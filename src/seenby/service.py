"""The use cases: each checks that the caller may, asks the recorder or the store, and answers.

Both roads in, HTTP and socket, come through here, so who may do what is decided in one place.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from seenby.errors import Forbidden, NotFound, OwnMessage, PositionLost
from seenby.model import Event
from seenby.store.base import Want

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.errors import SeenbyError
    from seenby.model import Caller, Mark, Position
    from seenby.recorder import Outcome, Recorder, Tell
    from seenby.store.base import Ack, Device, Head, Page, Store
    from seenby.store.threads import StoreThreads


class Missed(msgspec.Struct, frozen=True):
    """A page of a sender's stream; ``next_after`` is None when it ends at the head."""

    epoch: str
    head: int
    events: list[Event]
    next_after: int | None


class Service:
    """What can be asked of seenby.

    Args:
        recorder: records marks.
        threads: the store and its threads, for reading.
    """

    def __init__(self, recorder: Recorder, threads: StoreThreads[Store]) -> None:
        """Keep the parts."""
        self._recorder = recorder
        self._threads = threads
        self._store = threads.store

    # Marks

    async def mark(self, caller: Caller, marks: Sequence[Mark]) -> list[Outcome | Forbidden]:
        """Record marks; one outcome per mark, refusals in their places.

        Raises:
            Overloaded: too many marks wait already; nothing was recorded.
            Draining: this instance is stopping; nothing was recorded.
            StoreUnavailable: the database is away; nothing was recorded.
        """
        outcomes: list[Outcome | Forbidden | None] = [refusal(caller, mark) for mark in marks]
        allowed = [mark for mark, no in zip(marks, outcomes, strict=True) if no is None]
        recorded = iter(await self._recorder.record(allowed))
        return [
            _told(caller, next(recorded)) if outcome is None else outcome for outcome in outcomes
        ]

    def take_mark(self, caller: Caller, mark: Mark, tell: Tell) -> None:
        """Record one mark, and call *tell* once instead of being waited for (see Recorder.take).

        Raises:
            Forbidden: the caller may not record it.
            OwnMessage: nobody may.
            Overloaded: too many marks wait already; nothing was recorded.
            Draining: this instance is stopping; nothing was recorded.
        """
        refused = refusal(caller, mark)
        if refused is not None:
            raise refused
        if not caller.everyone:
            tell = partial(_tell, tell, caller)
        self._recorder.take((mark,), tell)

    # Reading back

    async def missed(
        self, caller: Caller, user_id: str, *, after: int | None, epoch: str | None, limit: int
    ) -> Missed:
        """A user's stream after a position; from the oldest event kept when *after* is None.

        Raises:
            PositionLost: the stream cannot be served whole from there.
        """
        caller.must_act_for(user_id)
        now, ends = await self.heads([user_id])
        stream = ends[user_id]
        if after is not None and (epoch != now or after > stream.head):
            raise PositionLost(
                "this position is not one of this stream; go on from the head",
                epoch=now,
                seq=stream.head,
            )
        start = stream.floor if after is None else after
        [page] = await self.pages([Want(user_id, start, limit)])
        if after is not None and page.floor > after:
            raise PositionLost(
                "the events after this position are no longer kept; go on from the head",
                epoch=now,
                seq=page.head,
            )
        last = page.events[-1].seq if page.events else max(start, page.floor)
        return Missed(now, page.head, page.events, last if last < page.head else None)

    async def devices(self, caller: Caller, user_id: str) -> list[Device]:
        """The devices of a user, and how far each is."""
        caller.must_act_for(user_id)
        return await self._threads.read(self._store.devices, user_id)

    async def sign_off(self, caller: Caller, user_id: str, device_id: str) -> None:
        """Forget a device.

        Raises:
            NotFound: the user has no such device.
        """
        caller.must_act_for(user_id)
        if not await self._threads.write(self._store.forget_device, user_id, device_id):
            raise NotFound("this user has no device of that id")

    # For the gateway

    async def heads(self, user_ids: Sequence[str]) -> tuple[str, dict[str, Head]]:
        """The epoch, and the ends of each user's stream."""
        return await self._threads.read(self._store.heads, user_ids)

    async def pages(self, wants: Sequence[Want]) -> list[Page]:
        """Pages of several users' streams in one query."""
        return await self._threads.read(self._store.pages, wants)

    async def positions(
        self, devices: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Position]:
        """Where known devices (user_id, device_id) stand."""
        return await self._threads.read(self._store.positions, devices)

    async def acknowledge(self, acks: Sequence[Ack], *, now: int) -> None:
        """Store what devices have acknowledged."""
        await self._threads.write(self._store.acknowledge, acks, now=now)

    # Health

    async def ready(self) -> None:
        """Return when the store answers; raises StoreUnavailable."""
        await self._threads.read(self._store.ping)


def refusal(caller: Caller, mark: Mark) -> Forbidden | OwnMessage | None:
    """Why *caller* may not record *mark*; None when they may."""
    if not caller.may_act_for(mark.reader_id):
        return Forbidden("reader_id must be the token's user")
    return OwnMessage() if mark.own else None


def _told(caller: Caller, outcome: Outcome) -> Outcome:
    """The outcome as *caller* may know it: to users an unknown message is a forbidden one."""
    if isinstance(outcome, NotFound) and not caller.everyone:
        return Forbidden(str(outcome))
    return outcome


def _tell(tell: Tell, caller: Caller, outcomes: list[Outcome] | SeenbyError) -> None:
    if isinstance(outcomes, list):
        outcomes = [_told(caller, outcome) for outcome in outcomes]
    tell(outcomes)
