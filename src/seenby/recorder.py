"""Group commit: marks that arrive while a commit is in flight share the next one.

One class, one loop, no timer: an idle system records a single mark at once, a busy one fills
its batches by itself. Whoever waits is answered after the commit, never before. A batch that the
database refuses for its content is halved until the bad mark stands alone. When the database is
away, all who wait are told so, and not one batch after the other.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from seenby.errors import Draining, Overloaded, SeenbyError, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seenby.errors import Conflict
    from seenby.metrics import Metrics
    from seenby.model import Mark, Receipt
    from seenby.store.base import Recorded, Store
    from seenby.store.threads import StoreThreads
    from seenby.tally import Refusal

    Outcome = Receipt | Conflict | Refusal | StoreRefused | StoreUnavailable
    """The last one only for a part of a batch that was refused as a whole."""

    Tell = Callable[[list[Outcome] | SeenbyError], None]
    """Takes one outcome per mark, or the error that all of them share."""

    Waiting = list[tuple[Sequence[Mark], Tell]]
    """Each request's marks, and who is told of them."""

MAX_BATCH = 500
"""Marks in one transaction: past some hundred the cost per mark no longer falls."""

MAX_WAITING = 20_000
"""Marks that may wait for a commit: two seconds' worth at the rate an instance must hold."""

log = structlog.get_logger()


class HasRecorded(Protocol):
    """What such work returns."""

    @property
    def recorded(self) -> Recorded:
        """What was committed."""
        ...


T_co = TypeVar("T_co", bound=HasRecorded, covariant=True)
T = TypeVar("T", bound=HasRecorded)


class Work(Protocol[T_co]):
    """A method of the store, with its own arguments bound."""

    def __call__(self, *, now: int, lease: float | None, published: Sequence[int]) -> T_co:
        """Do it."""
        ...


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
        threads: StoreThreads[Store],
        outlet: Outlet,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing runs before start()."""
        self._threads = threads
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock
        self._waiting: Waiting = []
        self._waiting_marks = 0
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[HasRecorded]] = set()
        self._closing = False
        self._held_back: Callable[[int], None] = lambda _: None

    def tell_of_counts(self, held_back: Callable[[int], None]) -> None:
        """From now on *held_back* is told when (ms) a count that a mark held back is due."""
        self._held_back = held_back

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
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.take(marks, partial(_resolve, future))
        return await future

    def take(self, marks: Sequence[Mark], tell: Tell) -> None:
        """Record *marks* as record() does, and call *tell* once instead of being waited for.

        For whoever answers hundreds of requests per commit: to be told costs 0.4 us, where a task
        that waits for a future costs 8.

        Raises:
            Overloaded: too many marks wait already.
            Draining: this instance is stopping.
        """
        if self._closing:
            raise Draining("this instance is stopping; nothing was recorded")
        if self._waiting_marks + len(marks) > MAX_WAITING:
            raise Overloaded("the service is at its limit; nothing was recorded")
        self._waiting.append((marks, tell))
        self._waiting_marks += len(marks)
        self._arrived.set()

    async def carry_out(self, work: Work[T]) -> T:
        """Do other work that makes events, in a transaction of its own, and publish them.

        A caller that is cancelled stops waiting; what is committed is published all the same.

        Args:
            work: a method of the store that takes ``now``, ``lease`` and ``published``.

        Raises:
            Draining: this instance is stopping.
            StoreUnavailable: the database is away.
        """
        if self._closing:
            raise Draining("this instance is stopping; nothing was changed")
        task = asyncio.create_task(self._carry_out(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _carry_out(self, work: Work[T]) -> T:
        published = self._outlet.published()
        done = await self._threads.write(
            work, now=int(self._clock() * 1000), lease=self._outlet.lease, published=published
        )
        recorded = done.recorded
        if recorded.receipts:
            self._metrics.committed(marks=recorded.receipts, new=recorded.receipts)
        self._committed(recorded, published)
        return done

    async def close(self) -> None:
        """Record what waits, finish what is under way, then stop."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            requests = self._take(MAX_BATCH)
            if not requests:
                if self._closing:
                    return
                self._arrived.clear()
                continue
            marks = [mark for given, _ in requests for mark in given]
            try:
                outcomes = await self._commit(marks)
            except StoreUnavailable as error:
                # Those behind have waited nearly as long, and would wait as long again.
                _fail([*requests, *self._take(MAX_WAITING)], error)
            except SeenbyError as error:
                _fail(requests, error)
            except Exception:
                log.exception("batch_failed", marks=len(marks))
                _fail(requests, SeenbyError("the marks could not be recorded"))
            else:
                # Not now: while they are answered, the next batch is on its way already.
                loop.call_soon(_answer, requests, outcomes)

    def _take(self, most: int) -> Waiting:
        """Whole requests, up to *most* marks, or one larger request alone."""
        if self._waiting_marks <= most:
            taken, self._waiting, self._waiting_marks = self._waiting, [], 0
            return taken
        count = size = 0
        for marks, _ in self._waiting:
            if count and size + len(marks) > most:
                break
            size += len(marks)
            count += 1
        taken = self._waiting[:count]
        del self._waiting[:count]
        self._waiting_marks -= size
        return taken

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
        self._metrics.committed(marks=len(marks), new=recorded.receipts)
        self._committed(recorded, published)
        return list(recorded.outcomes)

    def _committed(self, recorded: Recorded, published: Sequence[int]) -> None:
        self._outlet.committed(recorded, discarded=published)
        if recorded.due is not None:
            self._held_back(recorded.due)

    async def _part(self, marks: list[Mark]) -> list[Outcome]:
        """Commit a part of a batch; the other part's marks keep their own outcomes."""
        try:
            return await self._commit(marks)
        except StoreUnavailable as error:
            return [error] * len(marks)


def _answer(requests: Waiting, outcomes: list[Outcome]) -> None:
    start = 0
    for marks, tell in requests:
        end = start + len(marks)
        _tell(tell, outcomes[start:end])
        start = end


def _fail(requests: Waiting, error: SeenbyError) -> None:
    for _, tell in requests:
        _tell(tell, error)


def _tell(tell: Tell, outcome: list[Outcome] | SeenbyError) -> None:
    """One that cannot be told must not keep the others waiting."""
    try:
        tell(outcome)
    except Exception:
        log.exception("answer_failed")


def _resolve(future: asyncio.Future[list[Outcome]], outcome: list[Outcome] | SeenbyError) -> None:
    if future.done():
        return
    if isinstance(outcome, SeenbyError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
