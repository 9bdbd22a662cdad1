"""What Kafka's clients have met: what somebody must mend is told from what passes."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from seenby.bus.kafka_security import ALL_BROKERS_DOWN, Trouble

SSL, TRANSPORT = KafkaError._SSL, KafkaError._TRANSPORT


@pytest.mark.parametrize(
    ("code", "why", "refused"),
    [
        (SSL, "SSL handshake failed", True),
        (TRANSPORT, "error:0A000086:SSL routines::certificate verify failed", True),
        (TRANSPORT, "connection refused", False),
    ],
)
def test_a_certificate_that_does_not_hold_is_a_refusal(
    code: int, why: str, *, refused: bool
) -> None:
    """Also where the library takes it for a broken connection."""
    trouble = Trouble()
    assert trouble.heard(KafkaError(code, why)) == why
    assert trouble.refused is refused


def test_that_all_are_down_is_no_reason() -> None:
    """It follows what is known already, and says nothing of its own."""
    trouble = Trouble()
    trouble.heard(KafkaError(SSL, "SSL handshake failed"))
    assert trouble.heard(KafkaError(ALL_BROKERS_DOWN, "1/1 brokers are down")) == (
        "SSL handshake failed"
    )
    assert trouble.refused
