"""Durations in buckets of a fixed number: percentiles within 1 %, whatever the run's length."""

from __future__ import annotations

import math

LOWEST = 1e-6
"""Seconds; what is shorter counts as this."""

HIGHEST = 1000.0
"""Seconds; what is longer counts as this, but for the maximum."""

_GROWTH = 1.02
_PER_LOG = 1 / math.log(_GROWTH)
_BUCKETS = int(math.log(HIGHEST / LOWEST) * _PER_LOG) + 1


class Histogram:
    """Counts durations; each bucket is 2 % wider than the one before.

    An own one: hdrhistogram records in Python too, with four calls where this makes two.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count *count* durations of *seconds*."""
        place = int(math.log(seconds / LOWEST) * _PER_LOG) if seconds > LOWEST else 0
        self._counts[place if place < _BUCKETS else -1] += count
        self.count += count
        self.longest = max(self.longest, seconds)

    def percentile(self, share: float) -> float:
        """The duration in seconds that *share* (0 to 1) of all do not exceed; 0 without any."""
        left = max(1, math.ceil(share * self.count))
        for place, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                middle = LOWEST * math.exp((place + 0.5) / _PER_LOG)
                return min(middle, self.longest)
        return 0.0

    def summary(self) -> dict[str, float]:
        """Median, 90th and 99th percentile, and maximum, in milliseconds."""
        seconds = {
            "p50": self.percentile(0.5),
            "p90": self.percentile(0.9),
            "p99": self.percentile(0.99),
            "max": self.longest,
        }
        return {name: round(1000 * value, 3) for name, value in seconds.items()}
