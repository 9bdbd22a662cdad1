"""From the outbox to the bus: each committed batch is published, and none is forgotten.

The instance that committed a batch holds its lease and publishes it at once. When the bus has
acknowledged every record, exactly that outbox row is deleted: with the next commit, or after
FLUSH_AFTER. Whatever goes wrong in between (bus away, instance killed), the row stays, its lease
runs out, and the sweeper of any instance claims and publishes it. While the bus is away nothing
is produced and new rows carry no lease. Publishing twice does no harm: seq tells.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import structlog

from seenby.errors import BusUnavailable, SeenbyError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from seenby.bus.base import Publisher
    from seenby.metrics import Metrics
    from seenby.model import Event
    from seenby.store.base import Recorded, Store
    from seenby.store.threads import StoreThreads

LEASE = 30.0
"""Seconds in which an instance publishes what it committed before others may."""

FLUSH_AFTER = 0.2
"""Seconds after which rows of published batches are deleted if no commit takes them along."""

SWEEP_EVERY = 1.0
"""Seconds between looks for rows whose lease has run out."""

SWEEP_BATCHES = 20
"""Outbox rows claimed at once: about ten thousand events."""

MAX_BACKOFF = 10.0
"""Longest pause of a sweeper that keeps failing, in seconds: how late it may notice that the store
is back."""

REMEMBERED = 4096
"""Commits whose publishing is remembered, for people who look: some minutes of a busy instance, in
half a megabyte."""

DRAIN_WITHIN = 5.0
"""Seconds that close() waits for the bus; what is left stays in the outbox."""

log = structlog.get_logger()


class Relay:
    """Publishes committed batches; the recorder's outlet.

    Args:
        threads: the store and its threads.
        publisher: the bus, or None where there is none (gateways then read the database).
        metrics: counts what was published.
        owner: this instance's name in the outbox.
        wall: seconds since the Unix epoch.
    """

    def __init__(
        self,
        threads: StoreThreads[Store],
        publisher: Publisher | None,
        metrics: Metrics,
        *,
        owner: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Nothing runs before start()."""
        self._threads = threads
        self._publisher = publisher
        self._metrics = metrics
        self._owner = owner
        self._done: set[int] = set()
        self._failed: set[int] = set()
        self._wall = wall
        self._acknowledged: dict[int, int] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep; needs a running event loop."""
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="relay-sweeper")

    @property
    def lease(self) -> float | None:
        """Seconds of lease for a row written now: none at all without a bus, 0 while it is away."""
        if self._publisher is None:
            return None
        return LEASE if self._publisher.healthy else 0.0

    def published(self) -> Sequence[int]:
        """Rows that are published and not yet deleted."""
        return tuple(self._done)

    def published_at(self, at: int) -> int | None:
        """When the bus had acknowledged all that this instance published of the commits of *at*.

        Both in ms since the Unix epoch, by the clock of the instance that committed and by this
        one's. None: nothing of that time was, or it is no longer remembered.
        """
        return self._acknowledged.get(at)

    def committed(self, recorded: Recorded, *, discarded: Sequence[int]) -> None:
        """Publish a batch that has just been committed; forget the rows deleted with it."""
        self._done.difference_update(discarded)
        publisher, outbox_id = self._publisher, recorded.outbox_id
        if outbox_id is None or publisher is None:
            return
        if publisher.healthy:
            self._spawn(self._publish(publisher, outbox_id, recorded.events, recorded.epoch))
        else:
            # The bus may have gone during the commit, and left the row with a full lease.
            self._failed.add(outbox_id)
            self._flush_later()

    async def close(self) -> None:
        """Wait a bounded time for what is on its way, tidy the outbox, close the bus."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_WITHIN)
        if self._publisher is not None:
            await self._publisher.close()
        # What the bus has not acknowledged by now it never will.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        await self._flush()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(
        self, publisher: Publisher, outbox_id: int, events: Sequence[Event], epoch: str
    ) -> None:
        acknowledged = False
        try:
            await publisher.publish(events, epoch=epoch)
            acknowledged = True
            self._remember(events)
        except BusUnavailable as error:
            log.warning("publish_failed", outbox_id=outbox_id, events=len(events), why=str(error))
        except Exception:
            log.exception("publish_failed", outbox_id=outbox_id, events=len(events))
        finally:
            (self._done if acknowledged else self._failed).add(outbox_id)
            self._metrics.published("ok" if acknowledged else "error", len(events))
            self._flush_later()
        # Asked once: a line that nobody wants costs 0.9 us, three times an event's encoding.
        if acknowledged and log.is_enabled_for(logging.DEBUG):
            for event in events:
                if event.trace:
                    log.debug("published", trace=event.trace, sender=event.sender_id, seq=event.seq)

    def _remember(self, events: Sequence[Event]) -> None:
        """The events of one commit have one time: a number for the whole batch."""
        if not events:
            return
        remembered, at = self._acknowledged, events[0].at
        remembered.pop(at, None)
        if len(remembered) >= REMEMBERED:
            del remembered[next(iter(remembered))]
        remembered[at] = int(self._wall() * 1000)

    def _flush_later(self) -> None:
        if self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(FLUSH_AFTER, self._start_flush)

    def _start_flush(self) -> None:
        self._flush_timer = None
        self._spawn(self._flush())

    async def _flush(self) -> None:
        """Delete rows that are done and give failed ones back; both wait if the store is away."""
        done, failed = list(self._done), list(self._failed)
        store = self._threads.store
        try:
            if done:
                await self._threads.write(store.discard, done)
                self._done.difference_update(done)
            if failed:
                await self._threads.write(store.release, failed)
                self._failed.difference_update(failed)
        except SeenbyError as error:
            log.warning("outbox_not_tidied", rows=len(done) + len(failed), why=str(error))

    async def _sweep_forever(self) -> None:
        pause = SWEEP_EVERY
        while True:
            await asyncio.sleep(pause)
            longer = min(max(pause, SWEEP_EVERY) * 2, MAX_BACKOFF)
            try:
                pause = 0.0 if await self._sweep() == SWEEP_BATCHES else SWEEP_EVERY
            except SeenbyError as error:
                pause = longer
                log.warning("sweep_failed", why=str(error), next_in=pause)
            except Exception:
                pause = longer
                log.exception("sweep_failed", next_in=pause)

    async def _sweep(self) -> int:
        """Publish what was left behind; how many batches were."""
        store = self._threads.store
        # What the store was not there to tidy before.
        await self._flush()
        self._metrics.outbox(await self._threads.read(store.outbox))
        if self._publisher is None or not self._publisher.healthy:
            return 0
        batches = await self._threads.write(
            store.claim, owner=self._owner, lease=LEASE, limit=SWEEP_BATCHES
        )
        if not batches:
            return 0
        published: set[int] = set()
        try:
            epoch = await self._threads.read(store.epoch)
            for batch in batches:
                # Otherwise it is published, and only its deletion is late.
                if batch.id not in self._done:
                    await self._publisher.publish(batch.events, epoch=epoch)
                    self._remember(batch.events)
                    self._metrics.published("swept", len(batch.events))
                published.add(batch.id)
        finally:
            self._done.update(published)
            self._failed.update({batch.id for batch in batches} - published)
            await self._flush()
        return len(batches)
