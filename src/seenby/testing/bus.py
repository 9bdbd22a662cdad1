"""Both sides of the bus: a publisher that fails on demand, a feed driven by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from seenby.errors import BusUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from seenby.bus.base import Deliver
    from seenby.model import Event


class FailingPublisher:
    """A Publisher that keeps what it is given, and fails or waits when told to.

    Attributes:
        published: what was acknowledged, in order, with the epoch it was published under.
        healthy, partitions: what the properties of the port answer; set them.
        failing: while True every publish() raises BusUnavailable.
        acknowledging: cleared, publish() waits until it is set again.
    """

    def __init__(self) -> None:
        self.published: list[tuple[Event, str]] = []
        self.healthy = True
        self.partitions = 1
        self.failing = False
        self.acknowledging = asyncio.Event()
        self.acknowledging.set()
        self.closed = False

    async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
        """Keep *events*, except erased ones, or fail."""
        await self.acknowledging.wait()
        if self.failing or self.closed:
            raise BusUnavailable("the bus was told to fail")
        self.published += [(event, epoch) for event in events if event.msg_id]

    async def close(self) -> None:
        """Take nothing more."""
        self.closed = True


class HandFeed:
    """A Feed whose records are pushed by the test.

    Attributes:
        healthy: what the property of the port answers; set it.
        failing: while True join() raises BusUnavailable.
        answering: cleared, join() waits until it is set again.
        joined: the partitions that are read now.
        layout: what partitions_of() answers, for every user; see grow().
        epoch: as given to start() or set_epoch().
    """

    def __init__(self, partitions: Sequence[int] = (0,)) -> None:
        self.healthy = True
        self.failing = False
        self.answering = asyncio.Event()
        self.answering.set()
        self.joined: set[int] = set()
        self.layout = frozenset(partitions)
        self.epoch = ""
        self._wanted: Container[str] = ()
        self._deliver: Deliver | None = None
        self._on_growth: Callable[[], None] | None = None

    def start(
        self,
        *,
        epoch: str,
        wanted: Container[str],
        deliver: Deliver,
        on_growth: Callable[[], None] | None = None,
    ) -> None:
        """Keep what push() needs."""
        self.epoch = epoch
        self._wanted, self._deliver, self._on_growth = wanted, deliver, on_growth

    def set_epoch(self, epoch: str) -> None:
        """From now on this epoch is in force."""
        self.epoch = epoch

    def partitions_of(self, user_id: str) -> frozenset[int]:  # noqa: ARG002 -- as told by the test
        """The same for everyone."""
        return self.layout

    def grow(self, partitions: Sequence[int]) -> None:
        """Answer differently from now on, and say so."""
        self.layout = frozenset(partitions)
        if self._on_growth is not None:
            self._on_growth()

    async def join(self, partition: int) -> None:
        """Read *partition* from now on, or fail."""
        await self.answering.wait()
        if self.failing:
            raise BusUnavailable("the bus was told to fail")
        self.joined.add(partition)

    def leave(self, partition: int) -> None:
        """Read *partition* no longer."""
        self.joined.discard(partition)

    def push(self, *events: Event) -> None:
        """Deliver *events* as the bus would: those that are wanted, if anything is joined."""
        wanted = [event for event in events if event.sender_id in self._wanted]
        if wanted and self.joined and self._deliver is not None:
            self._deliver(wanted)

    async def close(self) -> None:
        """Deliver nothing more."""
        self.joined.clear()
        self._deliver = None
