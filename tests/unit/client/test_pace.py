"""The waits before trying again."""

from __future__ import annotations

import pytest

from seenby.client import Pace


@pytest.mark.parametrize(
    ("attempt", "longest"), [(0, 1.0), (1, 2.0), (4, 16.0), (5, 30.0), (6, 30.0), (10**6, 30.0)]
)
def test_the_longest_wait_doubles_up_to_a_bound(attempt: int, longest: float) -> None:
    """However often it failed: a client may run for months."""
    pace = Pace(random=lambda: 1.0)
    assert pace.jittered(attempt, first=1.0, most=30.0) == longest


def test_the_jitter_is_full() -> None:
    """From nothing up to the longest wait: that spreads many clients best."""
    assert Pace(random=lambda: 0.0).jittered(3, first=1.0, most=30.0) == 0.0
    assert Pace(random=lambda: 0.25).jittered(3, first=1.0, most=30.0) == 2.0
