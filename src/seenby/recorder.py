"""Group commit: marks that arrive while a commit is in flight share the next one.

One class, one loop, no timer: an idle system records a single mark at once, a busy one fills
its batches by itself. Whoever waits is answered after the commit, never before. A batch that the
database refuses for its content is halved until the bad mark stands alone. When the database is
away, all who wait are told so, and not one batch after the other.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from seenby.errors import Draining, Overloaded, SeenbyError, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seenby.errors import Conflict, OwnMessage
    from seenby.metrics import Metrics
    from seenby.model import Mark, Receipt
    from seenby.store.base import Recorded
    from seenby.store.threads import StoreThreads

    Outcome = Receipt | Conflict | OwnMessage | StoreRefused | StoreUnavailable
    """The last one only for a part of a batch that was refused as a whole."""

    Futures = list[tuple[int, asyncio.Future[list[Outcome]]]]
    """How many marks each request brought, and where its outcomes go."""

MAX_BATCH = 500
"""Marks in one transaction: past some hundred the cost per mark no longer falls."""

MAX_WAITING = 20_000
"""Marks that may wait for a commit: two seconds' worth at the rate an instance must hold."""

log = structlog.get_logger()


class Outlet(Protocol):
    """What becomes of a committed batch (the relay, seen from here)."""

    @property
    def lease(self) -> float | None:
        """For how many seconds a batch written now is ours to publish; None: no outbox row."""
        ...

    def published(self) -> Sequence[int]:
        """Outbox ids to delete along with the next commit."""
        ...

    def committed(self, recorded: Recorded, *, discarded: Sequence[int]) -> None:
        """A batch is durable, and the rows of *discarded* are gone."""
        ...


class Recorder:
    """Turns concurrent requests into few transactions.

    Args:
        threads: the store and its threads.
        outlet: takes each committed batch.
        metrics: counts batches and marks.
        clock: seconds since the Unix epoch.
    """

    def __init__(
        self,
        threads: StoreThreads,
        outlet: Outlet,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing runs before start()."""
        self._threads = threads
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock
        self._waiting: list[tuple[Sequence[Mark], asyncio.Future[list[Outcome]]]] = []
        self._waiting_marks = 0
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to record; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="recorder")

    async def record(self, marks: Sequence[Mark]) -> list[Outcome]:
        """Record *marks* in one transaction with whatever else waits; one outcome per mark.

        A caller that is cancelled stops waiting; its marks may be recorded all the same.

        Raises:
            Overloaded: too many marks wait already.
            Draining: this instance is stopping.
            StoreUnavailable: the database is away. Nothing was recorded.
        """
        if not marks:
            return []
        if self._closing:
            raise Draining("this instance is stopping; nothing was recorded")
        if self._waiting_marks + len(marks) > MAX_WAITING:
            raise Overloaded("the service is at its limit; nothing was recorded")
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append((marks, future))
        self._waiting_marks += len(marks)
        self._arrived.set()
        return await future

    async def close(self) -> None:
        """Record what waits, then stop."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch, futures = self._take(MAX_BATCH)
            if not futures:
                if self._closing:
                    return
                self._arrived.clear()
                continue
            try:
                outcomes = await self._commit(batch)
            except StoreUnavailable as error:
                # Those behind have waited nearly as long, and would wait as long again.
                _, others = self._take(MAX_WAITING)
                self._fail([*futures, *others], error)
            except SeenbyError as error:
                self._fail(futures, error)
            except Exception:
                log.exception("batch_failed", marks=len(batch))
                self._fail(futures, SeenbyError("the marks could not be recorded"))
            else:
                self._answer(futures, outcomes)

    @staticmethod
    def _answer(futures: Futures, outcomes: list[Outcome]) -> None:
        start = 0
        for size, future in futures:
            if not future.done():
                future.set_result(outcomes[start : start + size])
            start += size

    @staticmethod
    def _fail(futures: Futures, error: SeenbyError) -> None:
        for _, future in futures:
            if not future.done():
                future.set_exception(error)

    def _take(self, most: int) -> tuple[list[Mark], Futures]:
        """Whole requests, up to *most* marks, or one larger request alone."""
        batch: list[Mark] = []
        futures: Futures = []
        taken = 0
        for marks, future in self._waiting:
            if batch and len(batch) + len(marks) > most:
                break
            batch.extend(marks)
            futures.append((len(marks), future))
            taken += 1
        del self._waiting[:taken]
        self._waiting_marks -= len(batch)
        return batch, futures

    async def _commit(self, marks: list[Mark]) -> list[Outcome]:
        published = self._outlet.published()
        try:
            recorded = await self._threads.write(
                self._threads.store.record,
                marks,
                now=int(self._clock() * 1000),
                lease=self._outlet.lease,
                published=published,
            )
        except StoreRefused as error:
            if len(marks) == 1:
                return [error]
            middle = len(marks) // 2
            return await self._part(marks[:middle]) + await self._part(marks[middle:])
        self._metrics.committed(marks=len(marks), new=len(recorded.events))
        self._outlet.committed(recorded, discarded=published)
        return list(recorded.outcomes)

    async def _part(self, marks: list[Mark]) -> list[Outcome]:
        """Commit a part of a batch; the other part's marks keep their own outcomes."""
        try:
            return await self._commit(marks)
        except StoreUnavailable as error:
            return [error] * len(marks)
