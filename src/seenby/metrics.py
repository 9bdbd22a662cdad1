"""What seenby counts, under the names that dashboards and alerts know (contract, section 6).

Each Metrics has a registry of its own: nothing is global, and a process that is API and gateway
in one shows both on either port. What happens per delivery or per request is kept in plain
numbers and turned into samples only when somebody asks: 0.1 us for a value in a histogram where
the library's own needs 0.9. Those are for the event loop's thread; the rest may be called from
any thread.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

LATENCY_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
"""Seconds. The upper ones are for devices that come back: their acknowledgements are old."""

BATCH_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Marks in one commit."""

MANY_DEVICES = 10
"""From so many devices on, `device_count` says "10+": a label must not grow without bound."""


class OutboxState(Protocol):
    """What is still to be published, as the store tells it."""

    @property
    def rows(self) -> int:
        """Batches in the outbox."""
        ...

    @property
    def oldest(self) -> float:
        """Age of the oldest, in seconds."""
        ...


class _Histogram:
    """Counts per bucket, and the sum; made into samples on demand."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        # Two machines' clocks may make a time negative, and a sum must never fall.
        self._sum += max(value, 0.0) * times

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values are in each bucket alone."""
        return tuple(self._counts)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulated counts by upper bound, and the sum of all values."""
        cumulated: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            cumulated.append((bound, float(total)))
        return cumulated, self._sum


class Snapshot(NamedTuple):
    """What operators look at while it happens: counted since the start, and what is there now.

    ``pushed`` and ``acked`` count by LATENCY_BUCKETS, and one more for all above.
    """

    marks: int
    published: int
    delivered: int
    pushed: tuple[int, ...]
    acked: tuple[int, ...]
    lag: int
    connections: int


class Metrics:
    """Everything one process counts."""

    def __init__(self) -> None:
        """Every series without a label, and those an alert needs, exist from the start, at 0."""
        # In the text format creation times are series of their own, one per counter, read by none.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Not annotated there.
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        # The seed's names.
        self._published = Counter(
            "read_receipt_events_published",
            "Events published: ok, swept (left behind by an instance, published later), error.",
            ["status"],
            registry=registry,
        )
        self._consumed = Counter(
            "read_receipt_events_consumed",
            "Records read: ok; bad: not decodable, a dead letter now; lost: nor was that written.",
            ["status"],
            registry=registry,
        )
        self._registered = Counter(
            "seenby_messages_registered",
            "Records of the chat's topic: ok; bad: a dead letter now; lost: nor was that written.",
            ["status"],
            registry=registry,
        )
        for status in ("ok", "swept", "error"):
            self._published.labels(status)
        for status in ("ok", "bad", "lost"):
            self._consumed.labels(status)
            self._registered.labels(status)
        self._delivered = [0] * (MANY_DEVICES + 1)
        self._lag = _gauge(registry, "read_receipt_consumer_lag", "Records not read yet.")

        # Ours: marks and the outbox.
        self._marks = _counter(registry, "marks", "Marks answered after a commit.")
        self._receipts = _counter(registry, "receipts", "Marks that were the first: receipts made.")
        self._batches = _Histogram(BATCH_BUCKETS)
        self._outbox_rows = _gauge(
            registry, "seenby_outbox_rows", "Committed batches still to be published."
        )
        self._outbox_oldest = _gauge(
            registry, "seenby_outbox_oldest_seconds", "Age of the oldest of them."
        )

        # Ours: the gateway.
        self._pushed = _Histogram(LATENCY_BUCKETS)
        self._acked = _Histogram(LATENCY_BUCKETS)
        self._connections = _gauge(registry, "seenby_connections", "Sockets that are open.")
        self._holes = _counter(
            registry, "holes_filled", "Events read from the store because the bus skipped them."
        )
        self._rescued = _counter(
            registry, "rescued", "Events found by anti-entropy only: 0 while the bus is healthy."
        )
        self._slow = _counter(
            registry, "slow_consumers", "Sockets closed because the client read too slowly."
        )
        self._lost = _counter(
            registry, "lost", "Events a silent client missed because they were no longer kept."
        )
        self._disconnects = Counter(
            "seenby_disconnects", "Sockets closed by the gateway.", ["code"], registry=registry
        )

        # Ours: HTTP.
        self._requests: dict[tuple[str, int], int] = {}
        self._request_seconds: dict[str, _Histogram] = {}
        registry.register(_Numbers(self))

    # The service and the relay

    def committed(self, *, marks: int, new: int) -> None:
        """One transaction recorded *marks*, of which *new* were first reads."""
        self._marks.inc(marks)
        self._receipts.inc(new)
        self._batches.observe(marks)

    def published(self, status: str, events: int) -> None:
        """*events* were published: ``ok``, ``swept`` or ``error``."""
        self._published.labels(status).inc(events)

    def outbox(self, state: OutboxState) -> None:
        """How much is still to be published."""
        self._outbox_rows.set(state.rows)
        self._outbox_oldest.set(state.oldest)

    # The bus

    def consumed(self, status: str, events: int) -> None:
        """*events* were read from the bus: ``ok``, ``bad`` or ``lost``."""
        self._consumed.labels(status).inc(events)

    def registered(self, status: str, messages: int) -> None:
        """*messages* of the chat's topic were read: ``ok``, ``bad`` or ``lost``."""
        self._registered.labels(status).inc(messages)

    def offline(self, events: int) -> None:
        """*events* whose sender has no device on this gateway; for the event loop's thread."""
        self._delivered[0] += events

    def lag(self, records: int) -> None:
        """So many *records* are in the topic that this gateway has not read."""
        self._lag.set(records)

    # The gateway

    def delivered(self, devices: int, events: int = 1) -> None:
        """*events* were each pushed to so many *devices* of their sender."""
        self._delivered[min(devices, MANY_DEVICES)] += events

    def pushed(self, seconds: float, events: int = 1) -> None:
        """*events* were pushed so many *seconds* after their mark."""
        self._pushed.observe(seconds, events)

    def acked(self, seconds: float) -> None:
        """An event was acknowledged so many *seconds* after its mark."""
        self._acked.observe(seconds)

    def connections(self, count: int) -> None:
        """So many sockets are open now."""
        self._connections.set(count)

    def holes_filled(self, events: int) -> None:
        """*events* were read from the store because the bus skipped them."""
        self._holes.inc(events)

    def rescued(self, events: int) -> None:
        """*events* were found by anti-entropy only."""
        self._rescued.inc(events)

    def slow_consumer(self) -> None:
        """A socket was closed because its client read too slowly."""
        self._slow.inc()

    def lost(self, events: int) -> None:
        """*events* were no longer kept when a silent client came back for them."""
        self._lost.inc(events)

    def disconnected(self, code: int) -> None:
        """The gateway closed a socket with *code*."""
        self._disconnects.labels(str(code)).inc()

    # HTTP

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request to *route* (the pattern, never the address) was answered."""
        requests, key = self._requests, (route, status)
        requests[key] = requests.get(key, 0) + 1
        histogram = self._request_seconds.get(route)
        if histogram is None:
            histogram = self._request_seconds[route] = _Histogram(LATENCY_BUCKETS)
        histogram.observe(seconds)

    def snapshot(self) -> Snapshot:
        """What has been counted so far; for the event loop's thread."""
        published = [_value(self._published.labels(status)) for status in ("ok", "swept")]
        return Snapshot(
            marks=_value(self._marks),
            published=sum(published),
            delivered=sum(self._delivered[1:]),
            pushed=self._pushed.counts,
            acked=self._acked.counts,
            lag=_value(self._lag),
            connections=_value(self._connections),
        )

    def render(self) -> tuple[bytes, str]:
        """All of it in Prometheus' text format, and that format's content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def collect_numbers(self) -> Iterator[Metric]:
        """What is kept in plain numbers, as the library wants it."""
        delivered = CounterMetricFamily(
            "read_receipt_delivered",
            "Events by where their sender was: online with that many devices here, or offline.",
            labels=["status", "device_count"],
        )
        for devices, events in enumerate(self._delivered):
            count = str(devices) if devices < MANY_DEVICES else f"{MANY_DEVICES}+"
            delivered.add_metric(["online" if devices else "offline", count], events)
        yield delivered
        for name, text, histogram in (
            ("seenby_mark_to_push_seconds", "From mark to push.", self._pushed),
            ("seenby_mark_to_ack_seconds", "From mark to acknowledgement.", self._acked),
            ("seenby_commit_marks", "Marks in one commit.", self._batches),
        ):
            buckets, total = histogram.buckets()
            yield HistogramMetricFamily(name, text, buckets=buckets, sum_value=total)
        requests = CounterMetricFamily(
            "seenby_http_requests", "Requests answered.", labels=["route", "status"]
        )
        for (route, status), number in self._requests.items():
            requests.add_metric([route, str(status)], number)
        yield requests
        seconds = HistogramMetricFamily(
            "seenby_http_request_seconds", "From request to answer.", labels=["route"]
        )
        for route, histogram in self._request_seconds.items():
            buckets, total = histogram.buckets()
            seconds.add_metric([route], buckets, total)
        yield seconds


class _Numbers(Collector):
    """Shows a Metrics' plain numbers to its registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect_numbers()


def _value(metric: Counter | Gauge) -> int:
    """What one series stands at."""
    [family] = metric.collect()
    return int(family.samples[0].value)


def _counter(registry: CollectorRegistry, name: str, text: str) -> Counter:
    return Counter(f"seenby_{name}", text, registry=registry)


def _gauge(registry: CollectorRegistry, name: str, text: str) -> Gauge:
    return Gauge(name, text, registry=registry)
