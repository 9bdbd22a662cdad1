"""Marks that need not be waited for: kept until they are answered, sent in batches.

Marks that come while a request is on its way share the next one. A mark leaves the queue when it
is answered, with a receipt or with a refusal that another attempt would only repeat; whatever else
happens, it stays and is sent again: a mark twice is a mark once.

They go over HTTP even while a stream is connected: one request has 1000 marks, where a socket takes
100 frames at a time, each answered on its own. Measured on two cores that others used too, with
one connection and SQLite: 7,500 marks/s in batches of 1000, 870 as frames on a socket. For a single
mark HTTP is as quick: 0.7 ms to the answer.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from seenby.client.answers import Receipt
from seenby.client.calls import error_of
from seenby.errors import Refused, SeenbyError, StoreRefused, TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from seenby.client.calls import Calls
    from seenby.client.pace import Pace
    from seenby.client.storage import Mark, Storage

MAX_BATCH = 1000
"""Marks in one request (contract, section 1); a proxy before seenby may take less."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
"""Bounds of the wait before sending again, in seconds; see Pace.jittered."""

log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True):
    """What became of one mark of a batch."""

    success: bool
    receipt: Receipt | None = None
    code: str = ""
    error: str = ""


class Results(msgspec.Struct, frozen=True):
    """What became of each mark of a batch, in order."""

    results: list[Result]


class Marks:
    """The queue of one client.

    Args:
        calls: made for each use; sends.
        said: what a mark is as fields of a request.
        storage: where marks are kept.
        waiting: those that were kept before, by message.
        pace: for the waits.
        marked: told each receipt.
        refused: told each mark that is refused for good, and why.
    """

    def __init__(
        self,
        calls: Calls,
        said: Callable[[Mark], Mapping[str, object]],
        storage: Storage,
        waiting: dict[str, Mark],
        pace: Pace,
        *,
        marked: Callable[[Receipt], object] | None,
        refused: Callable[[Mark, SeenbyError], object] | None,
    ) -> None:
        self._calls = calls
        self._said = said
        self._storage = storage
        self._waiting = waiting
        self._pace = pace
        self._marked = marked
        self._refused = refused
        self._most = MAX_BATCH
        self._failures = 0
        self._under_way: frozenset[str] = frozenset()
        self._wanted = asyncio.Event()
        self._again = asyncio.Event()
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        if waiting:
            self._start()

    @property
    def waiting(self) -> list[Mark]:
        """Those that are not answered, in the order in which they came."""
        return list(self._waiting.values())

    @property
    def failing(self) -> bool:
        """Whether the last attempt to send did not succeed."""
        return self._failures > 0

    def add(self, mark: Mark) -> None:
        """Keep a mark, and send it soon."""
        self._storage.keep_mark(mark)
        self._waiting[mark.msg_id] = mark
        self._start()

    def wake(self) -> None:
        """There is reason to believe that seenby is there again: do not wait any longer."""
        self._again.set()

    async def empty(self) -> None:
        """Return when no mark waits any more."""
        async with self._moved:
            await self._moved.wait_for(lambda: not self._waiting)

    async def take_out(self, msg_id: str) -> None:
        """See to it that this message's mark is not sent from now on."""
        async with self._moved:
            await self._moved.wait_for(lambda: msg_id not in self._under_way)
        if self._waiting.pop(msg_id, None) is not None:
            self._storage.drop_marks([msg_id])

    async def close(self) -> None:
        """Send nothing more; what is kept stays kept."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _start(self) -> None:
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.create_task(self._send_all(), name="seenby-marks")

    async def _send_all(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiting:
                batch = list(islice(self._waiting.values(), self._most))
                self._under_way = frozenset(mark.msg_id for mark in batch)
                try:
                    well = await self._send(batch)
                finally:
                    self._under_way = frozenset()
                async with self._moved:
                    self._moved.notify_all()
                if well:
                    self._failures = 0
                    continue
                wait = self._pace.jittered(self._failures, first=FIRST_WAIT, most=LONGEST_WAIT)
                self._failures += 1
                await self._pause(wait)

    async def _send(self, batch: Sequence[Mark]) -> bool:
        """Send some marks; whether the next ones may follow at once."""
        body = {"receipts": [self._said(mark) for mark in batch]}
        try:
            found = await self._calls.call(
                Results, "POST", "/api/v1/messages/read/batch", body=body
            )
            answers = list(zip(batch, found.results, strict=True))
        except TooLarge as error:
            if len(batch) == 1:
                self._settle([(batch[0], error)])
            # Half of it, down to the one mark that is too large by itself.
            self._most = (len(batch) + 1) // 2
            return True
        except (SeenbyError, ValueError) as error:
            # Not the fault of any one mark. They wait: perhaps for somebody who signs in again.
            log.warning("%d marks wait, for they cannot be sent: %s", len(batch), error)
            return False
        except Exception:  # The application's: whatever its source of tokens raises.
            log.exception("%d marks wait, for they cannot be sent", len(batch))
            return False
        answered = [(mark, _outcome(result)) for mark, result in answers]
        final = [
            (mark, outcome)
            for mark, outcome in answered
            if isinstance(outcome, Receipt | Refused | StoreRefused)
        ]
        self._settle(final)
        return len(final) == len(batch)

    def _settle(self, final: Sequence[tuple[Mark, Receipt | SeenbyError]]) -> None:
        # One that was made anew meanwhile is not refused: it may say what this one lacked.
        done = [
            mark.msg_id
            for mark, outcome in final
            if isinstance(outcome, Receipt) or self._waiting.get(mark.msg_id) is mark
        ]
        for msg_id in done:
            self._waiting.pop(msg_id, None)
        try:
            self._storage.drop_marks(done)
        except Exception:  # Also the application's own storage; the queue has to go on.
            log.exception("marks that were answered stay in the storage, and are sent once more")
        for mark, outcome in final:
            try:
                if isinstance(outcome, Receipt):
                    if self._marked is not None:
                        self._marked(outcome)
                elif self._refused is not None:
                    self._refused(mark, outcome)
                else:
                    log.warning("the mark of %s is refused: %s", mark.msg_id, outcome)
            except Exception:  # The application's, and no reason to send anything again.
                log.exception("the application failed when it was told of a mark")

    async def _pause(self, seconds: float) -> None:
        works = (self._pace.sleep(seconds), self._again.wait())
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._again.clear()


def _outcome(result: Result) -> Receipt | SeenbyError:
    if result.receipt is not None:
        return result.receipt
    return error_of(result.code, result.error)
