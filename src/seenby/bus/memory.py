"""The bus inside one process: what is published is delivered on the same event loop.

It has one partition, 0. Events are not encoded on the way; all else is as on Kafka: nothing
arrives before join(), users nobody wants are dropped by their key, another epoch costs the seq.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from seenby.bus.base import NoFeedMetrics
from seenby.errors import BusUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from seenby.bus.base import Deliver, FeedMetrics
    from seenby.model import Event

PARTITION = 0


class MemoryBus:
    """Joins publishers and feeds of one process."""

    def __init__(self) -> None:
        self.feeds: list[MemoryFeed] = []

    def publisher(self) -> MemoryPublisher:
        """A publisher that reaches every feed of this bus."""
        return MemoryPublisher(self)

    def feed(self, metrics: FeedMetrics | None = None) -> MemoryFeed:
        """A feed of its own; each gets every event."""
        return MemoryFeed(self, metrics or NoFeedMetrics())


class MemoryPublisher:
    """A Publisher whose acknowledgement is immediate."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._open = True

    @property
    def healthy(self) -> bool:
        """True until closed: there is nothing between this publisher and the feeds."""
        return self._open

    @property
    def partitions(self) -> int:
        """Always one."""
        return 1

    async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
        """Hand *events* to every feed; erased ones are for nobody."""
        if not self._open:
            raise BusUnavailable("the in-process bus is closed")
        shown = [event for event in events if event.msg_id]
        for feed in self._bus.feeds:
            feed.take(shown, epoch=epoch)

    async def close(self) -> None:
        """Take nothing more."""
        self._open = False


class MemoryFeed:
    """A Feed that hears what publishers of the same process say."""

    def __init__(self, bus: MemoryBus, metrics: FeedMetrics) -> None:
        self._bus = bus
        self._metrics = metrics
        self._joined = False
        self._epoch = ""
        self._wanted: Container[str] = ()
        self._deliver: Deliver | None = None

    @property
    def healthy(self) -> bool:
        """True from start() to close()."""
        return self._deliver is not None

    def start(
        self,
        *,
        epoch: str,
        wanted: Container[str],
        deliver: Deliver,
        on_growth: Callable[[], None] | None = None,  # noqa: ARG002 -- it never grows
    ) -> None:
        """Begin; nothing is delivered before join()."""
        self._epoch, self._wanted, self._deliver = epoch, wanted, deliver
        self._bus.feeds.append(self)

    def set_epoch(self, epoch: str) -> None:
        """From now on only events of *epoch* take part in seqs."""
        self._epoch = epoch

    def partitions_of(self, user_id: str) -> frozenset[int]:  # noqa: ARG002 -- there is but one
        """Always the one partition."""
        return frozenset((PARTITION,))

    async def join(self, partition: int) -> None:
        """Deliver from now on."""
        if self._deliver is None or partition != PARTITION:
            raise BusUnavailable(f"the in-process bus has no partition {partition} to join now")
        self._joined = True

    def leave(self, partition: int) -> None:
        """Deliver nothing more."""
        if partition == PARTITION:
            self._joined = False

    async def close(self) -> None:
        """Stop hearing."""
        if self in self._bus.feeds:
            self._bus.feeds.remove(self)
        self._joined = False
        self._deliver = None

    def take(self, events: Sequence[Event], *, epoch: str) -> None:
        """What a publisher says. Delivered by the loop, not inside the publisher's call."""
        if not self._joined or self._deliver is None:
            return
        wanted = [event for event in events if event.sender_id in self._wanted]
        if len(wanted) < len(events):
            self._metrics.offline(len(events) - len(wanted))
        if not wanted:
            return
        if epoch != self._epoch:
            wanted = [replace(event, seq=0) for event in wanted]
        self._metrics.consumed("ok", len(wanted))
        asyncio.get_running_loop().call_soon(self._hand_over, wanted)

    def _hand_over(self, events: list[Event]) -> None:
        # Closed in between, it is to deliver nothing more.
        if self._deliver is not None:
            self._deliver(events)
