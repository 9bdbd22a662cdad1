"""The archive of a broker's classes is made once, and used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import kafka_archive
from tests.servers.kafka import GIVEN_BROKERS, Kafka, archive


def test_a_broker_maps_it() -> None:
    """Once it is made, each broker starts with it."""
    if Kafka.given() is not None:
        pytest.skip(f"{GIVEN_BROKERS} names brokers that the tests do not start")
    kafka_archive.make()
    broker = Kafka.launch()
    try:
        mapped = Path(f"/proc/{broker.pid}/maps").read_text(encoding="utf-8")
    finally:
        broker.dispose()
    assert str(archive()) in mapped


def test_it_is_made_once() -> None:
    """Whoever finds it, makes no other."""
    if Kafka.given() is not None:
        pytest.skip(f"{GIVEN_BROKERS} names brokers that the tests do not start")
    kafka_archive.make()
    made = archive().stat().st_mtime_ns
    kafka_archive.make()
    assert archive().stat().st_mtime_ns == made
