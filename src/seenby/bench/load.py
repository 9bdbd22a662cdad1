"""Gives marks to free connections, when the schedule says so."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.bench.schedule import Schedule

TICK = 0.0005
"""Seconds between two looks at the schedule at least: a wake-up costs 40 us of CPU."""


class Slot(Protocol):
    """A connection, or one of several places on it, that can take a request."""

    def send(self, meant: float) -> None:
        """Send the request that was meant to begin at *meant*."""
        ...


class Load:
    """Brings requests and free slots together.

    Args:
        schedule: when requests begin.
        clock: seconds, those of the schedule.
    """

    def __init__(self, schedule: Schedule, clock: Callable[[], float]) -> None:
        self._schedule = schedule
        self._clock = clock
        self._idle: deque[Slot] = deque()
        self._look_at = 0.0
        self.behind = 0.0
        """Seconds by which the worst look at the schedule was late: this process's own fault."""

    def free(self, slot: Slot) -> None:
        """A slot can take a request."""
        meant = self._schedule.take(self._clock())
        if meant is None:
            self._idle.append(slot)
        else:
            slot.send(meant)

    def gone(self, slot: Slot) -> None:
        """A slot that was free is there no more."""
        if slot in self._idle:
            self._idle.remove(slot)

    def look(self) -> float:
        """Send what is due, as far as slots are free; seconds until the next look."""
        now = self._clock()
        if self._look_at:
            self.behind = max(self.behind, now - self._look_at)
        while self._idle and (meant := self._schedule.take(now)) is not None:
            self._idle.popleft().send(meant)
        now = self._clock()
        self._look_at = max(self._schedule.due_at, now + TICK)
        return self._look_at - now


class Pace:
    """Looks at an open loop's schedule in time.

    The event loop's own timers go by milliseconds, which at 1,000 marks a second would be half of
    what is measured; the interval timer of the operating system is late by 0.05 ms.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._runs = False

    def start(self) -> None:
        """Look from now on. To be called in the main thread, as signals are."""
        self._runs = True
        asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, self._look)
        self._look()

    def stop(self) -> None:
        """Look no more."""
        self._runs = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGALRM)

    def _look(self) -> None:
        # One that was called for before stop() may come after it.
        if self._runs:
            signal.setitimer(signal.ITIMER_REAL, self._load.look())
