"""Counts that were held back are told when they are due, whoever held them back.

The sender of a large group's message is told at most one count in a second. What is held back
stands in the database, written with the marks. Whoever is here looks every second, and when it
knows that something is due, at that time. So a count may be late after a crash, and is never lost.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from seenby.errors import SeenbyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.recorder import Recorder
    from seenby.store.sql import SqlStore
    from seenby.store.threads import StoreThreads

EVERY = 1.0
"""Seconds between looks, when nothing is known to be due."""

NOT_EARLY = 0.002
"""Seconds by which a look comes after something is due: a timer may be that early."""

MAX_BACKOFF = 10.0
"""Longest pause while the store is away, in seconds."""

PIECE = 100
"""Counts that are told in one transaction."""

log = structlog.get_logger()


class Counts:
    """Tells counts that were held back.

    Args:
        recorder: carries it out, and publishes it.
        threads: the store and its threads.
        clock: seconds since the Unix epoch.
    """

    def __init__(
        self,
        recorder: Recorder,
        threads: StoreThreads[SqlStore],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing runs before start()."""
        self._recorder = recorder
        self._tell = partial(threads.store.recording.tell_counts, limit=PIECE)
        self._clock = clock
        self._due: int | None = None
        self._held_back = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._forever(), name="counts")

    async def close(self) -> None:
        """Stop; call it before the recorder is closed. What is held back stays in the database."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def held_back(self, due: int) -> None:
        """Look at *due* (ms), or before: this instance has just held something back."""
        if self._due is None or due < self._due:
            self._due = due
            self._held_back.set()

    async def tell(self) -> None:
        """Tell all that is due.

        Raises:
            Draining: this instance is stopping.
            StoreUnavailable: the database is away.
        """
        # Before the look: what is held back from now on wants a look of its own.
        self._due = None
        while (await self._recorder.carry_out(self._tell)).more:
            pass

    async def _forever(self) -> None:
        backoff = EVERY
        while True:
            try:
                await self.tell()
            except SeenbyError as error:
                backoff = min(backoff * 2, MAX_BACKOFF)
                log.warning("counts_wait", why=str(error), next_in=backoff)
                await asyncio.sleep(backoff)
            except Exception:
                backoff = min(backoff * 2, MAX_BACKOFF)
                log.exception("counts_failed", next_in=backoff)
                await asyncio.sleep(backoff)
            else:
                backoff = EVERY
                await self._until_due()

    async def _until_due(self) -> None:
        """Wait until something is due, EVERY at most."""
        while True:
            self._held_back.clear()
            pause = EVERY
            if self._due is not None:
                pause = min(pause, self._due / 1000 + NOT_EARLY - self._clock())
            if pause <= 0:
                return
            # Not wait_for(): until Python 3.12 it may forget that it was cancelled.
            try:
                async with asyncio.timeout(pause):
                    await self._held_back.wait()
            except TimeoutError:
                return
