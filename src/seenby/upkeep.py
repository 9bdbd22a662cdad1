"""What is done in the background: what is too old goes, what was begun is carried on.

Old events, devices, messages and receipts are deleted; people whose erasure was begun are erased,
and leavings are settled. In small pieces with pauses, so that marks do not wait. Any number of
instances may do it at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from seenby.errors import SeenbyError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from seenby.store.sql import SqlStore
    from seenby.store.threads import StoreThreads

EVERY = 600.0
"""Seconds between looks for what is too old."""

BEGUN_EVERY = 60.0
"""Seconds between looks for what was begun: people who wait to be erased."""

PIECE = 1000
"""Rows deleted in one transaction."""

PAUSE = 0.1
"""Seconds between two pieces."""

DAY_MS = 24 * 3600 * 1000

NODE_DAYS = 1
"""Days for which a process that has gone without a word is shown as lost."""

log = structlog.get_logger()


class Swept(NamedTuple):
    """How many events and devices went, and how many rows were touched for old receipts."""

    events: int
    devices: int
    receipts: int


class Upkeep:
    """Deletes what has outlived its retention, and carries on what was begun.

    Args:
        threads: the store and its threads.
        event_days: how long events are kept.
        device_days: after how long a device that was not seen is forgotten.
        receipt_days: how long messages and receipts are kept; None: for ever.
        clock: seconds since the Unix epoch.
    """

    def __init__(
        self,
        threads: StoreThreads[SqlStore],
        *,
        event_days: int,
        device_days: int,
        receipt_days: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._threads = threads
        self._event_ms = event_days * DAY_MS
        self._device_ms = device_days * DAY_MS
        self._receipt_ms = None if receipt_days is None else receipt_days * DAY_MS
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._tasks = [
            asyncio.create_task(_forever(self._sweep, EVERY), name="upkeep"),
            asyncio.create_task(_forever(self.carry_on, BEGUN_EVERY), name="upkeep-begun"),
        ]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def sweep(self) -> Swept:
        """Delete all that is too old now."""
        store, write = self._threads.store, self._threads.write
        now = int(self._clock() * 1000)
        events = devices = receipts = 0
        while found := await write(store.trim, before=now - self._event_ms, limit=PIECE):
            events += found
            await asyncio.sleep(PAUSE)
        while found := await write(
            store.forget_devices, unseen_since=now - self._device_ms, limit=PIECE
        ):
            devices += found
            await asyncio.sleep(PAUSE)
        await write(store.inspecting.forget, unseen_ms=NODE_DAYS * DAY_MS)
        if self._receipt_ms is not None:
            before = now - self._receipt_ms
            while found := await write(store.retention.expire, before=before, limit=PIECE):
                receipts += found
                await asyncio.sleep(PAUSE)
        return Swept(events, devices, receipts)

    async def carry_on(self) -> None:
        """Finish what someone began and did not finish: leavings, and erasures."""
        store, write = self._threads.store, self._threads.write
        while await write(store.conversations.settle):  # noqa: ASYNC110 -- a pause
            await asyncio.sleep(PAUSE)
        for user_id in await self._threads.read(store.erasing.asked):
            try:
                await self._erase(user_id)
            except StoreUnavailable:
                raise
            except SeenbyError as error:
                log.warning("erasure_waits", why=str(error))
            else:
                log.info("user_erased")

    async def _erase(self, user_id: str) -> None:
        step = self._threads.store.erasing.step
        while not await self._threads.write(step, user_id, limit=PIECE):  # noqa: ASYNC110 -- a pause
            await asyncio.sleep(PAUSE)

    async def _sweep(self) -> None:
        swept = await self.sweep()
        if any(swept):
            log.info(
                "upkeep",
                events_trimmed=swept.events,
                devices_forgotten=swept.devices,
                receipt_rows_expired=swept.receipts,
            )


async def _forever(work: Callable[[], Awaitable[None]], every: float) -> None:
    while True:
        try:
            await work()
        except SeenbyError as error:
            log.warning("upkeep_waits", why=str(error))
        except Exception:
            log.exception("upkeep_failed")
        await asyncio.sleep(every)
