"""Percentiles from buckets, beside exact ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.bench.histogram import HIGHEST, LOWEST, Histogram

seconds = st.floats(LOWEST, HIGHEST)


def filled(values: list[float]) -> Histogram:
    """A histogram of these."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(seconds, min_size=1), st.floats(0, 1))
def test_a_percentile_is_right_within_two_percent(values: list[float], share: float) -> None:
    """The exact one is the smallest value that at least that share of all do not exceed."""
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert filled(values).percentile(share) == pytest.approx(exact, rel=0.02)


@given(st.lists(seconds, min_size=1))
def test_the_maximum_is_exact(values: list[float]) -> None:
    """And no percentile is above it."""
    histogram = filled(values)
    assert histogram.longest == max(values)
    assert histogram.percentile(1) <= max(values)


@given(st.lists(st.tuples(seconds, st.integers(1, 50)), min_size=1))
def test_several_at_once_are_as_one_by_one(groups: list[tuple[float, int]]) -> None:
    """A batch counts for each of its marks."""
    together = Histogram()
    for value, count in groups:
        together.add(value, count)
    apart = filled([value for value, count in groups for _ in range(count)])
    assert together.count == apart.count
    assert together.summary() == apart.summary()


@pytest.mark.parametrize("value", [0.0, -1e-9, 1e-12])
def test_no_time_at_all_counts_as_the_shortest(value: float) -> None:
    """A clock may stand still between two looks."""
    assert filled([value, 1.0]).percentile(0.5) == pytest.approx(LOWEST, rel=0.02)


def test_longer_than_the_longest_still_counts() -> None:
    """In the last bucket, and in full as the maximum."""
    histogram = filled([1.0, 10 * HIGHEST])
    assert histogram.count == 2
    assert histogram.longest == 10 * HIGHEST
    assert histogram.percentile(1) == pytest.approx(HIGHEST, rel=0.02)


def test_nothing_has_no_latency() -> None:
    """A run without an answer reports zeros."""
    assert Histogram().summary() == {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}


def test_the_summary_is_in_milliseconds() -> None:
    """Of a hundred values, each percentile is one of them."""
    summary = filled([number / 1000 for number in range(1, 101)]).summary()
    assert summary == {
        "p50": pytest.approx(50, rel=0.02),
        "p90": pytest.approx(90, rel=0.02),
        "p99": pytest.approx(99, rel=0.02),
        "max": 100.0,
    }
