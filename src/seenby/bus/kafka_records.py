"""From Kafka's records to events: drop by key, decode, or write a dead letter.

Runs in the feed's reading thread, a batch at a time. What it costs per record decides how much
of a topic one gateway can read: a record nobody here wants is dropped before it is decoded.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import structlog

from seenby import events as wire
from seenby.errors import BadEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from confluent_kafka import Message

    from seenby.bus.dead_letters import DeadLetters
    from seenby.model import Event

log = structlog.get_logger()


class Records:
    """Reads batches of records for one gateway; those of *updates_topic* are updates.

    Attributes:
        epoch: the epoch in force; may be set from another thread.
        wanted: the user ids whose events are.
        decoded: how many records have become events.
        dropped: how many nobody here wants.
    """

    def __init__(self, dead_letters: DeadLetters, updates_topic: str) -> None:
        self.epoch = ""
        self.wanted: Container[str] = ()
        self.decoded = 0
        self.dropped = 0
        self._dead_letters = dead_letters
        self._updates_topic = updates_topic
        # Only a debug line shows it.
        self._traced = log.is_enabled_for(logging.DEBUG)

    def events(self, records: Sequence[Message]) -> list[Event]:
        """The wanted events of a batch, in its order."""
        wanted, epoch, traced = self.wanted, self.epoch, self._traced
        updates_topic = self._updates_topic
        events: list[Event] = []
        bad: list[tuple[Message, str]] = []
        for record in records:
            key = record.key()
            if key is None:
                bad.append((record, "the record has no key"))
                continue
            # No user has a name with U+FFFD in it: a key that is not UTF-8 is nobody's.
            sender_id = str(key, "utf-8", "replace")
            if sender_id in wanted:
                decode = wire.decode_update if record.topic() == updates_topic else wire.decode
                try:
                    events.append(_event(decode, record, sender_id, epoch, traced=traced))
                except BadEvent as error:
                    bad.append((record, str(error)))
        self.decoded += len(events)
        self.dropped += len(records) - len(events) - len(bad)
        if bad:
            self._bury(bad)
        return events

    def _bury(self, bad: Sequence[tuple[Message, str]]) -> None:
        for record, reason in bad:
            self._dead_letters.write(record, reason)
        first, reason = bad[0]
        log.warning(
            "records_undecodable",
            records=len(bad),
            first_topic=first.topic(),
            first_partition=first.partition(),
            first_offset=first.offset(),
            first_reason=reason,
        )


def _event(
    decode: Callable[..., Event],
    record: Message,
    sender_id: str,
    current_epoch: str,
    *,
    traced: bool,
) -> Event:
    value = record.value()
    if value is None:
        raise BadEvent("the record has no value")
    epoch, trace = None, ""
    headers = cast("list[tuple[str, bytes | None]]", record.headers() or ())
    for name, header in headers:
        if header is None:
            continue
        if name == wire.EPOCH:
            epoch = str(header, "utf-8", "replace")
        elif traced and name == wire.TRACEPARENT:
            trace = wire.trace_of(header)
    return decode(
        value,
        key=sender_id,
        timestamp_ms=record.timestamp()[1],
        epoch=epoch,
        current_epoch=current_epoch,
        trace=trace,
    )
