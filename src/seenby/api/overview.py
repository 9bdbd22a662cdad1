"""All processes at a glance, from what stands in their rows. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seenby.api.asking import LOST_MS
from seenby.api.sights import Latency, NodeSight, Outbox, Overview, Rates, stamp
from seenby.metrics import LATENCY_BUCKETS
from seenby.nodes import Numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seenby.store.base import OutboxState
    from seenby.store.inspecting import Node

_Reported = tuple["Node", Numbers]

FRESH_MS = 15_000
"""What an older row says of the last seconds is no longer true: a process that is well writes one
every ten seconds at the least."""

NOTHING = Numbers(
    version="", clock=0, uptime_ms=0, over_ms=0, marks=0, published=0, delivered=0, pushed=[],
    acked=[],
)  # fmt: skip
"""What a row says that another version has written in another form."""


def overview(
    nodes: Sequence[Node], outbox: OutboxState, *, epoch: str, now: int, bus: bool
) -> Overview:
    """What is shown of all of them.

    Args:
        nodes: their rows.
        outbox: what is still to be published.
        epoch: the one in force.
        now: ms since the Unix epoch.
        bus: whether there is one.
    """
    reported = [(node, _numbers(node)) for node in nodes]
    fresh = [numbers for node, numbers in reported if node.unseen_ms <= FRESH_MS]
    return Overview(
        at=stamp(now),
        epoch=epoch,
        bus=bus,
        outbox=Outbox(outbox.rows, round(outbox.oldest, 3)),
        rates=Rates(
            marks_per_second=_rate(fresh, lambda each: each.marks),
            published_per_second=_rate(fresh, lambda each: each.published),
            deliveries_per_second=_rate(fresh, lambda each: each.delivered),
            mark_to_push=latency([each.pushed for each in fresh]),
            mark_to_ack=latency([each.acked for each in fresh]),
        ),
        nodes=[_sight(node, numbers) for node, numbers in reported],
    )


def latency(counts: Iterable[Sequence[int]]) -> Latency:
    """Half and 99 % of several histograms together, as the upper bounds of their buckets."""
    buckets = [0] * (len(LATENCY_BUCKETS) + 1)
    for each in counts:
        for place, count in enumerate(each[: len(buckets)]):
            buckets[place] += count
    return Latency(sum(buckets), _share(buckets, 0.5), _share(buckets, 0.99))


def _share(buckets: Sequence[int], share: float) -> float | None:
    """The bound in ms that so large a share does not exceed; None: there is none."""
    left = sum(buckets) * share
    for bound, count in zip(LATENCY_BUCKETS, buckets, strict=False):
        left -= count
        if count and left <= 0:
            return bound * 1000
    return None


def _rate(reported: Iterable[Numbers], count: Callable[[Numbers], int]) -> float:
    """How many in a second, all of them together."""
    return round(sum(count(each) * 1000 / each.over_ms for each in reported if each.over_ms), 1)


def _numbers(node: Node) -> Numbers:
    try:
        return msgspec.json.decode(node.numbers, type=Numbers)
    except msgspec.MsgspecError:
        return NOTHING


def _sight(node: Node, numbers: Numbers) -> NodeSight:
    here = numbers.here
    fresh = [numbers] if node.unseen_ms <= FRESH_MS else []
    return NodeSight(
        node=node.node,
        role=node.role,
        version=numbers.version,
        started_at=stamp(node.started),
        seen_at=stamp(node.seen),
        lost=node.unseen_ms > LOST_MS,
        clock_ahead_ms=numbers.clock - node.seen if numbers.clock else 0,
        connections=numbers.connections,
        users=None if here is None else here.users,
        partitions=None if here is None else here.partitions,
        lag=None if here is None else numbers.lag,
        bus=None if here is None else here.bus,
        marks_per_second=_rate(fresh, lambda each: each.marks),
        deliveries_per_second=_rate(fresh, lambda each: each.delivered),
    )
