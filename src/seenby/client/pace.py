"""When to try again, and what tells the time; a test brings its own."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True)
class Pace:
    """Time and chance, as a client sees them.

    Attributes:
        clock: the time in seconds of any steady clock.
        sleep: waits for so many seconds.
        random: a number from 0 up to 1.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def jittered(self, attempt: int, *, first: float, most: float) -> float:
        """Seconds to wait before trying again: full jitter, so that many clients spread out.

        Args:
            attempt: how many attempts have failed before, from 0.
            first: the longest wait after the first failure; it doubles with each one.
            most: the longest wait ever.
        """
        # The exponent is bounded: 2.0 ** 1024 is an error, and a client may run for months.
        return self.random() * min(most, first * 2.0 ** min(attempt, 32))
