"""When requests begin; time is an argument, so no clock here.

Closed loop: whenever a connection is free. Open loop: at fixed times, whatever the server does. A
request that finds no free connection then begins late, and its latency counts from the time at
which it was meant to begin: a server that stalls is not asked less, which would hide the stall.
"""

from __future__ import annotations


class Schedule:
    """The times at which requests are meant to begin.

    Args:
        rate: requests per second; 0 for the closed loop.
        begin: the first request's time, in seconds of the caller's clock.
        end: no request begins from here on.
        most: no more than so many begin; None: as many as there is time for.
    """

    def __init__(self, rate: float, begin: float, end: float, most: int | None = None) -> None:
        self._rate = rate
        self._most = most
        self._begin = begin
        self._taken = 0
        self.end = end

    def stop(self, now: float) -> None:
        """No request begins from *now* on."""
        self.end = min(self.end, now)

    def take(self, now: float) -> float | None:
        """The time at which the next request was meant to begin; None when it is not due yet."""
        meant = self.due_at if self._rate else now
        if meant > now or meant >= self.end or self._taken == self._most:
            return None
        self._taken += 1
        return meant

    @property
    def due_at(self) -> float:
        """The time of the next request in the open loop."""
        return self._begin + self._taken / self._rate

    def left(self) -> int:
        """How many requests were meant to begin before the end, and were not taken."""
        if not self._rate:
            return 0
        count = max(0, int((self.end - self._begin) * self._rate) - 1)
        # The last ones by the rule of take(): a product rounds otherwise than a quotient.
        while self._begin + count / self._rate < self.end:
            count += 1
        return max(0, count - self._taken)
