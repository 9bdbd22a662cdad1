"""All processes at a glance: what old rows say is not taken for what happens now."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from seenby.api.asking import LOST_MS
from seenby.api.overview import FRESH_MS, latency, overview
from seenby.api.sights import Latency, Overview
from seenby.metrics import LATENCY_BUCKETS
from seenby.nodes import Here, Numbers
from seenby.store.base import OutboxState
from seenby.store.inspecting import Node

EMPTY = [0] * (len(LATENCY_BUCKETS) + 1)


def counts(**by_place: int) -> list[int]:
    """A histogram with so many in some buckets: ``_3=5`` has five in the fourth."""
    filled = list(EMPTY)
    for place, count in by_place.items():
        filled[int(place[1:])] = count
    return filled


def node(name: str = "n", role: str = "gateway", unseen_ms: int = 100, **changes: Any) -> Node:
    """A process and its row."""
    values: dict[str, Any] = {
        "version": "1",
        "clock": 50_010,
        "uptime_ms": 40_000,
        "over_ms": 2000,
        "marks": 20,
        "published": 10,
        "delivered": 30,
        "pushed": counts(_2=30),
        "acked": EMPTY,
        "connections": 4,
        "lag": 5,
        "here": Here(3, [1, 2], bus=True) if role == "gateway" else None,
    }
    numbers = msgspec.json.encode(Numbers(**(values | changes))).decode()
    return Node(name, role, "http://n", "t", 10_000, 50_000, unseen_ms, numbers)


def seen(*nodes: Node) -> Overview:
    """What is shown of them."""
    return overview(nodes, OutboxState(2, 1.5), epoch="e", now=60_000, bus=True)


def test_rates_are_those_of_all_together() -> None:
    """Each over its own time."""
    shown = seen(node(), node("m", over_ms=1000, marks=5, published=0, pushed=counts(_3=30)))
    assert shown.rates.marks_per_second == 15
    assert shown.rates.published_per_second == 5
    assert shown.rates.deliveries_per_second == 45
    assert shown.rates.mark_to_push == Latency(60, 5.0, 10.0)
    assert (shown.outbox.rows, shown.outbox.oldest_seconds) == (2, 1.5)


def test_what_is_shown_of_a_process() -> None:
    """A process without a gateway has nothing that only a gateway has."""
    gateway, api = seen(node(), node("a", "api")).nodes
    assert (gateway.connections, gateway.users, gateway.partitions) == (4, 3, [1, 2])
    assert (gateway.lag, gateway.bus, gateway.lost) == (5, True, False)
    assert gateway.clock_ahead_ms == 10
    assert gateway.started_at == "1970-01-01T00:00:10.000Z"
    assert (api.users, api.partitions, api.lag, api.bus) == (None, None, None, None)
    assert api.marks_per_second == 10


@pytest.mark.parametrize(
    ("unseen_ms", "counts_now", "lost"),
    [
        (FRESH_MS, True, False),
        (FRESH_MS + 1, False, False),
        (LOST_MS, False, False),
        (LOST_MS + 1, False, True),
    ],
)
def test_who_is_silent_is_doing_nothing_and_then_lost(
    unseen_ms: int, counts_now: bool, lost: bool
) -> None:
    """An old row says nothing of the last seconds."""
    shown = seen(node(unseen_ms=unseen_ms))
    assert (shown.rates.marks_per_second > 0) is counts_now
    assert (shown.nodes[0].deliveries_per_second > 0) is counts_now
    assert (shown.rates.mark_to_push.count > 0) is counts_now
    assert shown.nodes[0].lost is lost


def test_a_row_of_another_version_hides_nobody() -> None:
    """What cannot be understood counts nothing; the process is shown all the same."""
    strange = Node("n", "gateway", "http://n", "t", 10_000, 50_000, 1, '{"marks":"many"}')
    shown = seen(strange, node("m"))
    assert [each.node for each in shown.nodes] == ["n", "m"]
    assert shown.rates.marks_per_second == 10
    assert shown.nodes[0].clock_ahead_ms == 0


@pytest.mark.parametrize(
    ("histogram", "p50", "p99"),
    [
        (EMPTY, None, None),
        (counts(_0=1), 1.0, 1.0),
        (counts(_0=50, _4=50), 1.0, 25.0),
        (counts(_0=49, _4=51), 25.0, 25.0),
        (counts(_0=99, _4=1), 1.0, 1.0),
        (counts(_0=98, _4=2), 1.0, 25.0),
        (counts(_0=1, _16=1), 1.0, None),
        (counts(_16=9), None, None),
    ],
)
def test_shares_are_bounds_that_hold(
    histogram: list[int], p50: float | None, p99: float | None
) -> None:
    """At the least so many took no longer; over the last bucket there is no bound."""
    assert latency([histogram]) == Latency(sum(histogram), p50, p99)
