"""What a gateway reads and records, in memory."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from seenby.errors import Forbidden
from seenby.model import Event, Mark, Position
from seenby.testing.store import FailingStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import Caller
    from seenby.recorder import Outcome
    from seenby.store.base import Ack, Head, Page, Want


class MemorySource:
    """A gateway's Source: a store in memory that is asked on the event loop, without threads.

    Attributes:
        store: what is asked; another one in its place is a restored backup.
        answering: cleared, every call waits until it is set again; then it asks the store.
        calls: the name of every call that was made, in order.
    """

    def __init__(self, store: FailingStore | None = None) -> None:
        self.store = store or FailingStore()
        self.answering = asyncio.Event()
        self.answering.set()
        self.calls: list[str] = []
        self._marks = 0

    def add(self, user_id: str, count: int = 1, *, at: int = 1_704_067_200_000) -> list[Event]:
        """Record marks of a user's messages at *at* (ms); returns their events."""
        marks = []
        for _ in range(count):
            self._marks += 1
            marks.append(Mark(f"m{self._marks}", "reader", user_id, "conversation"))
        return self.store.record(marks, now=at, lease=None).events

    async def heads(self, user_ids: Sequence[str]) -> tuple[str, dict[str, Head]]:
        """The epoch, and the ends of each user's stream."""
        await self._call("heads")
        return self.store.heads(user_ids)

    async def pages(self, wants: Sequence[Want]) -> list[Page]:
        """Pages of several users' streams."""
        await self._call("pages")
        return self.store.pages(wants)

    async def positions(
        self, devices: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Position]:
        """Where known devices stand."""
        await self._call("positions")
        return self.store.positions(devices)

    async def acknowledge(self, acks: Sequence[Ack], *, now: int) -> None:
        """Store positions."""
        await self._call("acknowledge")
        self.store.acknowledge(acks, now=now)

    async def mark(self, caller: Caller, marks: Sequence[Mark]) -> list[Outcome | Forbidden]:
        """Record marks of readers for whom *caller* may act."""
        await self._call("mark")
        outcomes: list[Outcome | Forbidden] = []
        for mark in marks:
            if caller.may_act_for(mark.reader_id):
                now = int(time.time() * 1000)
                outcomes += self.store.record([mark], now=now, lease=None).outcomes
            else:
                outcomes.append(Forbidden("reader_id must be the token's user"))
        return outcomes

    async def ready(self) -> None:
        """Return when the store answers."""
        await self._call("ready")
        self.store.ping()

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        await self.answering.wait()
