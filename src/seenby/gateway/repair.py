"""What the bus lost, doubled or delayed is mended from the store.

- Holes: events that are missing for HOLE_AFTER seconds below one that has come are read.
- Anti-entropy: the heads of all connected users are compared with the store, and what the bus did
  not bring is pushed from there. So an online sender gets every receipt even with the bus gone.

The bus is healthy while it answers, every partition with users is read, and no comparison has
found an event that it did not bring in time. Once it has failed it is trusted again when it has
brought something and a comparison finds nothing missing.
"""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING

import structlog

from seenby.gateway.source import EVENTS_PER_QUERY, PAGE, USERS_PER_QUERY
from seenby.store.base import Want

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seenby.bus.base import Feed
    from seenby.gateway.hub import Hub
    from seenby.gateway.partitions import Partitions
    from seenby.gateway.source import Source
    from seenby.metrics import Metrics

HOLE_AFTER = 0.05
"""Seconds a hole may last before it is filled from the store."""

COMPARE_EVERY = 30.0
COMPARE_EVERY_UNHEALTHY = 1.0

MISSED_AFTER = 2.0
"""Seconds that a healthy bus has to bring an event which the store already shows."""

MISSED_AFTER_UNHEALTHY = 0.5

STREAMS_AT_ONCE = EVENTS_PER_QUERY // PAGE
"""Each may be missing a whole page."""

log = structlog.get_logger()


class Repair:
    """Fills the hub's holes and compares its streams with the store.

    Args:
        source: reads the store.
        hub: the streams here.
        feed: the bus.
        partitions: which of its partitions are read.
        metrics: counts what was filled and rescued.
        flush: writes what the sessions then have to send.
        epoch_is: is told the epoch that the store says.
    """

    def __init__(
        self,
        source: Source,
        hub: Hub,
        feed: Feed,
        partitions: Partitions,
        metrics: Metrics,
        *,
        flush: Callable[[], None],
        epoch_is: Callable[[str], None],
    ) -> None:
        self._source = source
        self._hub = hub
        self._feed = feed
        self._partitions = partitions
        self._metrics = metrics
        self._flush = flush
        self._epoch_is = epoch_is
        self._hole = asyncio.Event()
        self._missed = False
        self._from_bus = 0

    @property
    def healthy(self) -> bool:
        """Whether the bus can be trusted to bring what is published."""
        return self._bus_answers and not self._missed

    @property
    def _bus_answers(self) -> bool:
        return self._feed.healthy and self._partitions.complete

    # Holes

    def look(self) -> None:
        """Events have come from the bus; there may be holes now."""
        if self._hub.oldest_hole() is not None:
            self._hole.set()

    async def fill_holes(self) -> None:
        """One turn: wait until a hole is old enough, and fill all that are."""
        await self._hole.wait()
        oldest = self._hub.oldest_hole()
        if oldest is None:
            self._hole.clear()
            return
        await asyncio.sleep(max(0.0, oldest + HOLE_AFTER - _now()))
        users = self._hub.holes(_now() - HOLE_AFTER)
        if users:
            self._metrics.holes_filled(await self._catch_up(users))
            await asyncio.sleep(HOLE_AFTER / 5)

    # Anti-entropy

    async def compare(self) -> None:
        """One turn: wait until a comparison is due, and push what the bus did not bring."""
        await self._until_due()
        behind = await self._find_behind()
        if behind and self._bus_answers:
            await asyncio.sleep(MISSED_AFTER_UNHEALTHY if self._missed else MISSED_AFTER)
            behind = {user: head for user, head in behind.items() if self._hub.behind(user, head)}
        if behind:
            rescued = await self._catch_up(list(behind))
            self._metrics.rescued(rescued)
            if rescued and self._bus_answers:
                log.warning("bus_missed_receipts", users=len(behind), receipts=rescued)
                self._missed = True
                self._from_bus = self._hub.from_bus
        elif self._hub.from_bus > self._from_bus:
            self._missed = False

    async def _until_due(self) -> None:
        """Wait out the interval; a change of health cuts it short."""
        trusted = self.healthy
        turns = int((COMPARE_EVERY if trusted else COMPARE_EVERY_UNHEALTHY) / 0.5)
        for _ in range(turns):
            await asyncio.sleep(0.5)
            if self.healthy is not trusted:
                return

    async def _find_behind(self) -> dict[str, int]:
        """Users whose stream in the store is ahead of what was pushed, with its head."""
        users = list(self._hub.streams)
        behind: dict[str, int] = {}
        for start in range(0, len(users), USERS_PER_QUERY):
            epoch, heads = await self._source.heads(users[start : start + USERS_PER_QUERY])
            self._epoch_is(epoch)
            for user_id, ends in heads.items():
                if self._hub.behind(user_id, ends.head):
                    behind[user_id] = ends.head
        return behind

    async def _catch_up(self, users: Sequence[str]) -> int:
        """Read what streams are missing from the store; how many events were news."""
        news = 0
        while users:
            some, users = users[:STREAMS_AT_ONCE], users[STREAMS_AT_ONCE:]
            streams = [self._hub.streams.get(user_id) for user_id in some]
            wants = [Want(s.user_id, s.seq, PAGE) for s in streams if s is not None and s.known]
            heard_of = {s.user_id: s.highest for s in streams if s is not None}
            epoch = self._hub.epoch
            pages = await self._source.pages(wants) if wants else []
            if epoch != self._hub.epoch:
                break  # What was asked counted in the epoch before.
            more = []
            for want, page in zip(wants, pages, strict=True):
                if self._hub.disbelieve(want.user_id, heard_of[want.user_id], page.head):
                    log.warning("events_not_in_store", user=want.user_id, head=page.head)
                news += self._hub.fill(want.user_id, page, _now(), time())
                if len(page.events) >= want.limit:
                    more.append(want.user_id)
            self._flush()
            users = [*users, *more]
        return news


def _now() -> float:
    return asyncio.get_running_loop().time()
