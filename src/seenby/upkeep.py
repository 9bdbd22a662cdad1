"""Bounded storage: old events are trimmed, devices that never come back are forgotten.

In small pieces with pauses, so that marks do not wait. Any number of instances may do it at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from seenby.errors import SeenbyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.store.threads import StoreThreads

EVERY = 600.0
"""Seconds between looks for what is too old."""

PIECE = 1000
"""Rows deleted in one transaction."""

PAUSE = 0.1
"""Seconds between two pieces."""

DAY_MS = 24 * 3600 * 1000

log = structlog.get_logger()


class Upkeep:
    """Deletes what has outlived its retention.

    Args:
        threads: the store and its threads.
        event_days: how long events are kept.
        device_days: after how long a device that was not seen is forgotten.
        clock: seconds since the Unix epoch.
    """

    def __init__(
        self,
        threads: StoreThreads,
        *,
        event_days: int,
        device_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._threads = threads
        self._event_ms = event_days * DAY_MS
        self._device_ms = device_days * DAY_MS
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._forever(), name="upkeep")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> tuple[int, int]:
        """Delete all that is too old now; how many events and devices that were."""
        store = self._threads.store
        now = int(self._clock() * 1000)
        events = devices = 0
        while found := await self._threads.write(
            store.trim, before=now - self._event_ms, limit=PIECE
        ):
            events += found
            await asyncio.sleep(PAUSE)
        while found := await self._threads.write(
            store.forget_devices, unseen_since=now - self._device_ms, limit=PIECE
        ):
            devices += found
            await asyncio.sleep(PAUSE)
        return events, devices

    async def _forever(self) -> None:
        while True:
            try:
                events, devices = await self.sweep()
            except SeenbyError as error:
                log.warning("upkeep_waits", why=str(error))
            except Exception:
                log.exception("upkeep_failed")
            else:
                if events or devices:
                    log.info("upkeep", events_trimmed=events, devices_forgotten=devices)
            await asyncio.sleep(EVERY)
