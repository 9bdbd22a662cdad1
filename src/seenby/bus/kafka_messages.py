"""The chat's own topic of messages: each record registers one, without a call over HTTP.

A thread reads batches as a member of a consumer group, so instances share the partitions, and
lets the event loop register them. Offsets are committed only then: whatever fails or dies before,
the records come again, and registering a message twice changes nothing. While the database is
away the batch waits; nothing is skipped. A record that cannot be a message, or is refused, becomes
a dead letter and holds nothing up.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from seenby import inputs
from seenby.bus.dead_letters import DeadLetters
from seenby.bus.kafka_security import ALL_BROKERS_DOWN, IN_THE_CLEAR, Trouble
from seenby.errors import BadEvent, BadInput, SeenbyError
from seenby.model import NewMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from seenby.bus.kafka_security import Security

    Register = Callable[[list[NewMessage]], Coroutine[Any, Any, Sequence[object]]]
    """Registers messages on the event loop; one result for each. A SeenbyError among the results
    refuses that message; a retriable one that is raised says: nothing was registered, try again."""

BATCH = 1000
"""Messages registered at once, at most."""

POLL = 0.1
"""Seconds that the thread waits for a record before it looks around."""

PAUSE = 0.1
PAUSE_MAX = 2.0
"""Seconds until a batch is tried again, the first time and at most."""

LETTERS_WITHIN = 2.0
"""Seconds that dead letters have to be written before the offsets behind them are committed."""

CLOSE_WITHIN = 5.0
"""Seconds that close() waits for a batch that is being registered."""

SECONDS_BELOW = 100_000_000_000
"""A timestamp is in seconds below this (the year 5138), and in ms from there (1973) on."""

LATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

MISSING = KafkaError.UNKNOWN_TOPIC_OR_PART

log = structlog.get_logger()


class MessageMetrics(Protocol):
    """Where records of the chat's topic are counted; called from any thread."""

    def registered(self, status: str, messages: int, /) -> None:
        """*messages* were read.

        "ok": registered, now or before; "bad": a dead letter now; "lost": nor was that written.
        """
        ...


class GroupMessages:
    """Registers the messages of a topic.

    Args:
        brokers: host:port, separated by commas.
        topic: the chat's topic; it is the chat's to create.
        group_id: the consumer group that the instances share.
        node: this instance's name.
        register: see Register.
        metrics: counts what was read.
        security: how the brokers are spoken to (kafka_security.py).
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        group_id: str,
        node: str,
        register: Register,
        *,
        metrics: MessageMetrics | None = None,
        security: Security = IN_THE_CLEAR,
    ) -> None:
        self._topic = topic
        self._register = register
        self._metrics = metrics
        self._settings: dict[str, Any] = {
            **security,
            "bootstrap.servers": brokers,
            "client.id": f"seenby-{node}-messages",
            "group.id": group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # A group that is new, or whose offsets have been forgotten, skips nothing.
            "auto.offset.reset": "earliest",
            # What an instance that died was reading is read by another after so long.
            "session.timeout.ms": 10_000,
            # A topic that is made, or grows, is noticed so soon.
            "topic.metadata.refresh.interval.ms": 5_000,
            "allow.auto.create.topics": False,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
            "error_cb": self._on_error,
        }
        self._dead_letters = DeadLetters(brokers, security)
        self._counted = (0, 0)
        self._told = ""
        self._trouble = Trouble()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, whether Kafka is there or not; on the loop that registers."""
        self._loop = asyncio.get_running_loop()
        self._consumer = Consumer(self._settings)
        self._consumer.subscribe([self._topic])
        self._thread = threading.Thread(target=self._run, name="kafka-messages", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Finish the batch that is being registered, and leave the group."""
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_WITHIN)
            await asyncio.to_thread(self._dead_letters.close, 1.0)

    # In the thread

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._step()
            except Exception:
                log.exception("messages_thread_failed")
                self._closing.wait(PAUSE_MAX)
                # What was read and not committed is read again.
                self._consumer.unsubscribe()
                self._consumer.subscribe([self._topic])
        self._consumer.close()

    def _step(self) -> None:
        self._dead_letters.serve()
        # consume(n, timeout) would wait for n records or the timeout; this waits for the first.
        first = self._consumer.poll(POLL)
        if first is None:
            self._count(0)
            return
        records: list[Message] = []
        for record in (first, *self._consumer.consume(BATCH - 1, 0)):
            error = record.error()
            if error is None:
                records.append(record)
            else:
                self._complain(error)
        if records and self._settled(records):
            self._told = ""
            self._commit(records)

    def _settled(self, records: Sequence[Message]) -> bool:
        """Whether each record is registered or a dead letter; False when closed before that."""
        good: list[tuple[Message, NewMessage]] = []
        bad: list[tuple[Message, str]] = []
        for record in records:
            try:
                good.append((record, message_in(record.value())))
            except (BadEvent, BadInput) as error:
                bad.append((record, str(error)))
        results = self._register_all([message for _, message in good])
        if results is None:
            return False
        for (record, _), result in zip(good, results, strict=True):
            if isinstance(result, SeenbyError):
                bad.append((record, str(result)))
        if bad:
            self._bury(bad)
        self._count(len(records) - len(bad))
        return True

    def _register_all(self, messages: list[NewMessage]) -> Sequence[object] | None:
        """One result for each message, however long it takes; None when closed before that."""
        if not messages:
            return []
        pause = PAUSE
        while not self._closing.is_set():
            try:
                answer = asyncio.run_coroutine_threadsafe(self._register(messages), self._loop)
                return answer.result()
            except SeenbyError as error:
                if not error.retriable:
                    return self._one_by_one(messages, error)
                if pause == PAUSE:
                    log.warning("messages_wait", messages=len(messages), why=str(error))
            # Not polled meanwhile: a rebalance waits, and could change nothing. After minutes the
            # group goes on without this member, and what it could not commit comes again.
            self._closing.wait(pause)
            pause = min(pause * 2, PAUSE_MAX)
        return None

    def _one_by_one(
        self, messages: list[NewMessage], error: SeenbyError
    ) -> Sequence[object] | None:
        """The batch is refused as a whole: halved until what is refused stands alone."""
        if len(messages) == 1:
            return [error]
        middle = len(messages) // 2
        first = self._register_all(messages[:middle])
        rest = None if first is None else self._register_all(messages[middle:])
        return None if first is None or rest is None else [*first, *rest]

    def _bury(self, bad: Sequence[tuple[Message, str]]) -> None:
        for record, reason in bad:
            self._dead_letters.write(record, reason)
        self._dead_letters.flush(LETTERS_WITHIN)
        first, reason = bad[0]
        log.warning(
            "messages_refused",
            records=len(bad),
            first_partition=first.partition(),
            first_offset=first.offset(),
            first_reason=reason,
        )

    def _commit(self, records: Sequence[Message]) -> None:
        # In the order of the partition, so that the last one of each stands.
        ends = {record.partition(): (record.offset() or 0) + 1 for record in records}
        places = [
            TopicPartition(self._topic, partition, offset)
            for partition, offset in ends.items()
            if partition is not None
        ]
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            # Kafka is away, or the group has given the partitions to others: they come again.
            log.debug("offsets_not_committed", why=str(error))

    def _count(self, ok: int) -> None:
        if self._metrics is None:
            return
        letters = self._dead_letters
        before, self._counted = self._counted, (letters.written, letters.lost)
        bad, lost = (now - then for now, then in zip(self._counted, before, strict=True))
        for name, number in (("ok", ok), ("bad", bad), ("lost", lost)):
            if number:
                self._metrics.registered(name, number)

    def _on_error(self, error: KafkaError) -> None:
        log.debug("kafka_error", client="messages", why=str(error))
        why = self._trouble.heard(error)
        # That all are down is told once. That a password is wrong may be found out afterwards.
        if error.code() == ALL_BROKERS_DOWN or (self._told and self._trouble.refused):
            self._complain(error, why)

    def _complain(self, error: KafkaError, why: str = "") -> None:
        """Once, until something has been read again."""
        why = why or str(error)
        what = "refused" if self._trouble.refused else error.name()
        if what == self._told:
            return
        self._told = what
        if error.code() == MISSING:
            todo = "the chat's backend has to create it; until then messages come by HTTP only"
            log.warning("topic_missing", topic=self._topic, why=why, todo=todo)
        else:
            log.warning("messages_trouble", topic=self._topic, why=why)


class _Record(msgspec.Struct):
    msg_id: str
    sender_id: str
    group_id: str = ""
    conversation_id: str = ""
    timestamp: int | float | None = None


_decode = msgspec.json.Decoder(_Record).decode


def message_in(value: bytes | None) -> NewMessage:
    """The message in a record.

    ``group_id`` is the conversation's id of a group, and goes before ``conversation_id``. A
    ``timestamp`` of 0 is none.

    Raises:
        BadEvent: the value is not JSON, or a field is missing or not of its type.
        BadInput: an id or the timestamp has the wrong form.
    """
    if value is None:
        raise BadEvent("the record has no value")
    try:
        record = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent(f"the value is not a message: {error}") from error
    return NewMessage(
        inputs.msg_id(record.msg_id),
        inputs.conversation_id(
            record.group_id or record.conversation_id, "group_id or conversation_id"
        ),
        inputs.user_id(record.sender_id, "sender_id"),
        _ms(record.timestamp),
    )


def _ms(timestamp: float | None) -> int | None:
    if not timestamp:
        return None
    ms = timestamp * 1000 if timestamp < SECONDS_BELOW else timestamp
    if not 0 < ms <= LATEST_MS:
        raise BadInput("timestamp", "unix seconds or milliseconds")
    return int(ms)
