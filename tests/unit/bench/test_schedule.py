"""When requests are meant to begin."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.bench.schedule import Schedule


def taken(schedule: Schedule, now: float) -> list[float]:
    """All that is due."""
    found = []
    while (meant := schedule.take(now)) is not None:
        found.append(meant)
    return found


class TestClosedLoop:
    def test_a_request_begins_when_it_is_asked_for(self) -> None:
        """There is no other time it could have been meant for."""
        schedule = Schedule(0, begin=10.0, end=20.0)
        assert [schedule.take(now) for now in (10.0, 12.5, 12.5)] == [10.0, 12.5, 12.5]

    def test_none_begins_at_the_end(self) -> None:
        """And none is left over."""
        schedule = Schedule(0, begin=10.0, end=20.0)
        assert schedule.take(20.0) is None
        assert schedule.left() == 0

    def test_no_more_begin_than_were_asked_for(self) -> None:
        """However much time there is: a slice of load is a number of requests."""
        schedule = Schedule(0, begin=0.0, end=math.inf, most=2)
        assert [schedule.take(1.0) for _ in range(3)] == [1.0, 1.0, None]


class TestOpenLoop:
    def test_requests_are_meant_for_fixed_times(self) -> None:
        """Whenever they are taken: one that begins late keeps its time."""
        schedule = Schedule(4, begin=10.0, end=20.0)
        assert taken(schedule, 10.3) == [10.0, 10.25]
        assert taken(schedule, 10.4) == []
        assert schedule.due_at == 10.5
        assert taken(schedule, 11.1) == [10.5, 10.75, 11.0]

    def test_what_was_due_before_the_end_may_begin_after_it(self) -> None:
        """Nothing new is due from then on."""
        schedule = Schedule(2, begin=10.0, end=11.0)
        assert schedule.left() == 2
        assert taken(schedule, 99.0) == [10.0, 10.5]
        assert schedule.left() == 0

    def test_a_stop_is_the_end(self) -> None:
        """It never moves the end out."""
        schedule = Schedule(2, begin=10.0, end=20.0)
        schedule.stop(11.2)
        schedule.stop(15.0)
        assert taken(schedule, 99.0) == [10.0, 10.5, 11.0]

    @given(
        st.floats(0.001, 1e6),
        st.floats(0, 1e6),
        st.floats(0.001, 0.1),
        st.integers(0, 1000),
    )
    def test_what_is_left_is_what_could_be_taken(
        self, rate: float, begin: float, seconds: float, before: int
    ) -> None:
        """By the same rule, whatever the rounding."""
        rate = min(rate, 1000 / seconds)
        schedule = Schedule(rate, begin, begin + seconds)
        for _ in range(before):
            schedule.take(math.inf)
        left = schedule.left()
        assert len(taken(schedule, math.inf)) == left
        assert schedule.left() == 0

    @pytest.mark.parametrize("rate", [1, 3, 7, 1000, 48_000])
    def test_the_rate_is_kept_to_the_mark(self, rate: float) -> None:
        """Sixty seconds hold sixty times as many: no interval is rounded."""
        assert Schedule(rate, begin=0.0, end=60.0).left() == 60 * rate
