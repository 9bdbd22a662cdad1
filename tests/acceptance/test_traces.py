"""One mark is followed by its trace id: request, record in Kafka, push; and counted on the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from confluent_kafka import Consumer, TopicPartition

from seenby.bus.partitions import partition_of
from tests.acceptance.devices import Api, Device
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tests.acceptance.conftest import Launch

TRACE = "0af7651916cd43dd8448eb211c80319c"


def first_record(brokers: str, topic: str, partition: int) -> Message:
    """The first record of a partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        record = consumer.poll(30)
    finally:
        consumer.close()
    assert record is not None
    assert record.error() is None
    return record


def test_one_mark_from_request_to_push(
    launch: Launch, servers: dict[str, str], migrated: None
) -> None:
    """The trace id of a request is in the record's headers and in the log line of the push."""
    settings = servers | {"SEENBY_LOG_LEVEL": "debug"}
    api = launch("api", **settings)
    gateway = launch("gateway", **settings)
    reader = Api(api.api)
    with Device(gateway.gateway, "sender", hello={}) as phone:
        phone.wait("welcome: what is pushed before comes from the store", lambda d: bool(d.frames))
        status, document = reader.request(
            "POST",
            "/api/v1/messages/read",
            {"msg_id": "m1", "reader_id": "r", "sender_id": "sender", "conversation_id": "c"},
            {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        )
        assert status == 200, document
        phone.wait_receipts(1)
    reader.close()
    topic, brokers = servers["READ_RECEIPT_TOPIC"], servers["KAFKA_BROKERS"]
    record = first_record(brokers, topic, partition_of("sender", 16))
    headers = dict(cast("list[tuple[str, bytes]]", record.headers()))

    assert record.key() == b"sender"
    assert json.loads(record.value() or b"")["seq"] == 1
    assert headers["traceparent"].decode().split("-")[1] == TRACE
    assert headers["epoch"]
    for process, event in ((api, "marked"), (api, "published"), (gateway, "pushed")):
        wait_until(
            f"{event} is logged",
            lambda process=process, event=event: any(  # type: ignore[misc]
                line["event"] == event and line.get("trace") == TRACE
                for line in process.log_lines()
            ),
        )


def test_what_is_counted(launch: Launch, servers: dict[str, str], migrated: None) -> None:
    """The seed's metrics and ours tell what happened to five marks, one of them of nobody here."""
    api = launch("api", **servers)
    gateway = launch("gateway", **servers)
    reader = Api(api.api)
    # The two users share a partition, so that the record of the one who is away is read at all.
    away = next(
        name
        for name in (f"user{number}" for number in range(1000))
        if partition_of(name, 16) == partition_of("sender", 16)
    )
    with (
        Device(gateway.gateway, "sender", "phone") as phone,
        Device(gateway.gateway, "sender", "pc", hello={}) as pc,
    ):
        pc.wait("welcome", lambda d: bool(d.of("welcome")))
        for number in range(4):
            reader.mark(f"m{number}", "reader", "sender")
        reader.mark("m4", "reader", away)
        phone.wait_receipts(4)
        pc.wait_receipts(4)
        pc.send({"type": "ack", "seq": 4})
        wait_until(
            "the acknowledgement is counted",
            lambda: gateway.metric("seenby_mark_to_ack_seconds_count") > 0,
        )
        wait_until(
            "the record of the one who is away is counted",
            lambda: gateway.metric("read_receipt_delivered_total", status="offline") == 1,
        )
        wait_until("both sockets are counted", lambda: gateway.metric("seenby_connections") == 2)
    reader.close()

    wait_until(
        "all is published",
        lambda: api.metric("read_receipt_events_published_total", status="ok") == 5,
    )
    delivered = gateway.metric("read_receipt_delivered_total", status="online", device_count="2")
    assert delivered == 4
    assert gateway.metric("read_receipt_events_consumed_total", status="ok") == 4
    assert gateway.metric("seenby_mark_to_push_seconds_count") == 4
    assert gateway.metric("seenby_rescued_total") == 0
    assert api.metric("seenby_commit_marks_sum") == 5
