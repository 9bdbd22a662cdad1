"""What is counted: the names that dashboards know, in a format that Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from seenby.metrics import Metrics
from seenby.store.base import OutboxState

if TYPE_CHECKING:
    from collections.abc import Callable


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample that Prometheus would read, by name and labels."""
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=")
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(body.decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample."""
    return samples(metrics)[name, tuple(sorted(labels.items()))]


SEEDS_NAMES = [
    ("read_receipt_events_published_total", {"status": "ok"}),
    ("read_receipt_events_published_total", {"status": "error"}),
    ("read_receipt_events_consumed_total", {"status": "ok"}),
    ("read_receipt_events_consumed_total", {"status": "bad"}),
    ("read_receipt_delivered_total", {"status": "online", "device_count": "1"}),
    ("read_receipt_delivered_total", {"status": "offline", "device_count": "0"}),
    ("read_receipt_consumer_lag", {}),
]
OURS = [
    "seenby_mark_to_push_seconds_count",
    "seenby_mark_to_push_seconds_sum",
    "seenby_mark_to_ack_seconds_count",
    "seenby_connections",
    "seenby_outbox_rows",
    "seenby_outbox_oldest_seconds",
    "seenby_holes_filled_total",
    "seenby_rescued_total",
    "seenby_slow_consumers_total",
    "seenby_lost_total",
    "seenby_commit_marks_count",
    "seenby_marks_total",
    "seenby_receipts_total",
]


@pytest.mark.parametrize(("name", "labels"), SEEDS_NAMES)
def test_the_originals_names_exist_from_the_start(name: str, labels: dict[str, str]) -> None:
    """Contract, section 6: dashboards of the original go on working, and alerts see a 0."""
    assert value(Metrics(), name, **labels) == 0


@pytest.mark.parametrize("name", OURS)
def test_our_names_exist_from_the_start(name: str) -> None:
    """An alert on a series that is not there yet never fires."""
    assert value(Metrics(), name) == 0


@pytest.mark.parametrize(
    ("count", "name", "labels", "expected"),
    [
        (lambda m: m.published("ok", 3), "read_receipt_events_published_total", "status=ok", 3),
        (
            lambda m: m.published("swept", 2),
            "read_receipt_events_published_total",
            "status=swept",
            2,
        ),
        (lambda m: m.consumed("bad", 2), "read_receipt_events_consumed_total", "status=bad", 2),
        (lambda m: m.lag(1001), "read_receipt_consumer_lag", "", 1001),
        (
            lambda m: m.offline(4),
            "read_receipt_delivered_total",
            "status=offline,device_count=0",
            4,
        ),
        (
            lambda m: m.delivered(2, 5),
            "read_receipt_delivered_total",
            "status=online,device_count=2",
            5,
        ),
        (lambda m: m.committed(marks=7, new=5), "seenby_marks_total", "", 7),
        (lambda m: m.committed(marks=7, new=5), "seenby_receipts_total", "", 5),
        (lambda m: m.committed(marks=7, new=5), "seenby_commit_marks_sum", "", 7),
        (lambda m: m.committed(marks=7, new=5), "seenby_commit_marks_bucket", "le=10.0", 1),
        (lambda m: m.committed(marks=7, new=5), "seenby_commit_marks_bucket", "le=5.0", 0),
        (lambda m: m.outbox(OutboxState(3, 1.5)), "seenby_outbox_rows", "", 3),
        (lambda m: m.outbox(OutboxState(3, 1.5)), "seenby_outbox_oldest_seconds", "", 1.5),
        (lambda m: m.pushed(0.004, 3), "seenby_mark_to_push_seconds_bucket", "le=0.005", 3),
        (lambda m: m.pushed(400, 2), "seenby_mark_to_push_seconds_bucket", "le=+Inf", 2),
        (lambda m: m.pushed(0.25, 3), "seenby_mark_to_push_seconds_sum", "", 0.75),
        (lambda m: m.acked(0.5), "seenby_mark_to_ack_seconds_count", "", 1),
        (lambda m: m.connections(9), "seenby_connections", "", 9),
        (lambda m: m.holes_filled(2), "seenby_holes_filled_total", "", 2),
        (lambda m: m.rescued(2), "seenby_rescued_total", "", 2),
        (lambda m: m.lost(2), "seenby_lost_total", "", 2),
        (lambda m: m.slow_consumer(), "seenby_slow_consumers_total", "", 1),
        (lambda m: m.disconnected(4000), "seenby_disconnects_total", "code=4000", 1),
        (
            lambda m: m.request("mark", 200, 0.1),
            "seenby_http_requests_total",
            "route=mark,status=200",
            1,
        ),
        (
            lambda m: m.request("mark", 200, 0.1),
            "seenby_http_request_seconds_count",
            "route=mark",
            1,
        ),
    ],
)
def test_what_happens_is_counted(
    count: Callable[[Metrics], None], name: str, labels: str, expected: float
) -> None:
    """Each under its own name and labels."""
    metrics = Metrics()
    count(metrics)
    pairs = dict(pair.split("=") for pair in labels.split(",") if pair)
    assert value(metrics, name, **pairs) == expected


def test_counters_add_up() -> None:
    """Nothing is forgotten between two scrapes."""
    metrics = Metrics()
    for _ in range(3):
        metrics.delivered(1, 2)
        metrics.request("mark", 200, 0.25)
        metrics.pushed(1.0)
        samples(metrics)
    assert value(metrics, "read_receipt_delivered_total", status="online", device_count="1") == 6
    assert value(metrics, "seenby_http_requests_total", route="mark", status="200") == 3
    assert value(metrics, "seenby_mark_to_push_seconds_sum") == 3


def test_the_number_of_devices_is_a_bounded_label() -> None:
    """A user with a thousand devices makes no thousand series."""
    metrics = Metrics()
    before = len(samples(metrics))
    for devices in range(1, 1000):
        metrics.delivered(devices)
    assert len(samples(metrics)) == before
    ten_or_more = value(
        metrics, "read_receipt_delivered_total", status="online", device_count="10+"
    )
    assert ten_or_more == 990


def test_a_sum_never_falls() -> None:
    """Two machines' clocks may make a time negative; Prometheus would see a restart."""
    metrics = Metrics()
    metrics.pushed(0.5)
    metrics.pushed(-0.25)
    metrics.acked(-1.0)
    assert value(metrics, "seenby_mark_to_push_seconds_sum") == 0.5
    assert value(metrics, "seenby_mark_to_push_seconds_bucket", le="0.001") == 1
    assert value(metrics, "seenby_mark_to_ack_seconds_sum") == 0


def test_a_bucket_holds_its_upper_bound() -> None:
    """Prometheus' `le`: less than or equal; each bucket holds those below it as well."""
    metrics = Metrics()
    metrics.pushed(0.005)
    metrics.pushed(0.005_1)
    assert value(metrics, "seenby_mark_to_push_seconds_bucket", le="0.0025") == 0
    assert value(metrics, "seenby_mark_to_push_seconds_bucket", le="0.005") == 1
    assert value(metrics, "seenby_mark_to_push_seconds_bucket", le="0.01") == 2
    assert value(metrics, "seenby_mark_to_push_seconds_bucket", le="300.0") == 2


def test_nothing_is_shared_between_two() -> None:
    """No global registry: two nodes in one process count apart."""
    one, other = Metrics(), Metrics()
    one.rescued(1)
    assert value(other, "seenby_rescued_total") == 0


def test_every_name_is_the_seeds_ours_or_the_process_own() -> None:
    """Nothing ends up under a name that nobody would look for."""
    prefixes = ("read_receipt_", "seenby_", "process_", "python_")
    assert [name for name, _ in samples(Metrics()) if not name.startswith(prefixes)] == []
