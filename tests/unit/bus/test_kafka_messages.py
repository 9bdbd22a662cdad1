"""Messages of the chat's own topic: what a record must be, and life without Kafka."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from seenby.bus import kafka_messages as module
from seenby.bus.kafka_messages import GroupMessages, message_in
from seenby.errors import BadEvent, BadInput
from seenby.model import NewMessage
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

NOWHERE = "127.0.0.1:1"
RECORD = {"msg_id": "m1", "group_id": "g1", "sender_id": "ann", "timestamp": 1_704_067_200}


def value(**changes: Any) -> bytes:
    """RECORD with some fields changed; None takes a field away."""
    fields = RECORD | changes
    return json.dumps({name: field for name, field in fields.items() if field is not None}).encode()


def test_a_record_is_a_message() -> None:
    """What else it holds is the chat's own business."""
    expected = NewMessage("m1", "g1", "ann", 1_704_067_200_000)
    assert message_in(value()) == expected
    assert message_in(value(content="hi", mentions=["bob"])) == expected


def test_a_groups_id_is_the_conversations() -> None:
    """Also where the record names something else as well (contract, section 1)."""
    assert message_in(value(group_id=None, conversation_id="c1")).conversation_id == "c1"
    assert message_in(value(group_id="", conversation_id="c1")).conversation_id == "c1"
    assert message_in(value(conversation_id="c1")).conversation_id == "g1"


@pytest.mark.parametrize(
    ("timestamp", "sent_at"),
    [
        (1_704_067_200, 1_704_067_200_000),
        (1_704_067_200_123, 1_704_067_200_123),
        (1_704_067_200.5, 1_704_067_200_500),
        (0, None),
        (None, None),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (253_402_300_799_999, 253_402_300_799_999),
    ],
)
def test_a_time_is_in_seconds_or_milliseconds(timestamp: float | None, sent_at: int | None) -> None:
    """Its size tells which; none, or 0, is not known."""
    assert message_in(value(timestamp=timestamp)).sent_at == sent_at


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "no value"),
        (b"", "not a message"),
        (b"not json", "not a message"),
        (b"\xff", "not a message"),
        (b"[]", "Expected `object`"),
        (b'{"x":' + b"[" * 100_000, "not a message"),
        (value(msg_id=None), "`msg_id`"),
        (value(sender_id=None), "`sender_id`"),
        (value(group_id=None), "group_id or conversation_id must be"),
        (value(msg_id=7), "$.msg_id"),
        (value(msg_id=""), "msg_id must be"),
        (value(msg_id="m" * 65), "msg_id must be"),
        (value(sender_id="two words"), "sender_id must be"),
        (value(group_id="g" * 129), "group_id or conversation_id must be"),
        (value(timestamp="now"), "$.timestamp"),
        (value(timestamp=True), "$.timestamp"),
        (value(timestamp=-1), "timestamp must be"),
        (value(timestamp=1_704_067_200_123_456), "timestamp must be"),
    ],
)
def test_what_cannot_be_a_message_is_refused_with_the_reason(
    record: bytes | None, reason: str
) -> None:
    """The reason goes into the dead letter's headers, so it names the field."""
    with pytest.raises((BadEvent, BadInput)) as refused:
        message_in(record)
    assert reason in str(refused.value)


async def nobody(messages: list[NewMessage]) -> Sequence[object]:
    """Never called."""
    raise AssertionError(messages)


async def test_that_kafka_is_not_there_is_logged_once_and_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again quietly."""
    monkeypatch.setattr(module, "CLOSE_WITHIN", 60.0)
    before = set(threading.enumerate())
    with capture_logs() as logged:
        messages = GroupMessages(NOWHERE, "any", "group", "node", nobody)
        messages.start()
        await eventually(lambda: any(line["log_level"] == "warning" for line in logged))
        messages._complain(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        await messages.close()
    [line] = [line for line in logged if line["log_level"] != "debug"]
    assert line["event"] == "messages_trouble"
    begun = set(threading.enumerate()) - before
    assert not any(thread.name == "kafka-messages" for thread in begun)


async def test_what_was_never_started_may_be_closed() -> None:
    """As every other part."""
    await GroupMessages(NOWHERE, "any", "group", "node", nobody).close()
