"""The gateway's side of Kafka: a consumer without a group membership, and two threads.

Two topics are read as one: who joins a partition joins that number in both. Where the one for
updates is missing, receipts come all the same.

One thread reads, and alone uses the consumer: batches of records become events and go to the
loop, at most two at a time; between them it takes up and gives up partitions, and commits offsets
so that Kafka's own tools show the lag. The other thread asks brokers (kafka_survey.py) where a
partition ends and what the topics' layout is. So a broker that hangs holds up questions only.
(A Consumer lets one thread in at a time, and poll() is inside nearly always.)

A partition is joined at its end as the broker knows it at that moment, so the offset from which
everything is delivered is known before join() returns. Should a broker refuse an offset (a topic
made anew, or records removed before they were read), the partition is joined again where it stood,
or else at the start of what is there: events may come twice, but none that is there is skipped, as
the library would do in silence without ``auto.offset.reset=error``.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException

from seenby.bus.base import NoFeedMetrics
from seenby.bus.dead_letters import DeadLetters
from seenby.bus.kafka_assignment import Assignment, Place
from seenby.bus.kafka_records import Records
from seenby.bus.kafka_security import ALL_BROKERS_DOWN, IN_THE_CLEAR, Trouble
from seenby.bus.kafka_survey import Survey
from seenby.bus.partitions import Layout
from seenby.errors import BusUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from confluent_kafka import Message, TopicPartition

    from seenby.bus.base import Deliver, FeedMetrics
    from seenby.bus.kafka_security import Security
    from seenby.model import Event

BATCH = 4096
"""Records handed to the loop at once, if so many wait: about 40 ms of its time if all are wanted.
The more there are, the more of them go to the same sockets, each of which is written to once."""

IN_FLIGHT = 2
"""Batches between the reading thread and the loop."""

POLL = 0.02
"""Seconds that the reading thread waits for a record before it looks around: what a join takes."""

PROGRESS_EVERY = 1.0
"""Seconds between commits and reports."""

REFRESH_EVERY = 3.0
"""Seconds between questions for the topics' layout: with the survey's ANSWER_WITHIN, the time in
which a broker that hangs is noticed, which the library itself would take a minute for."""

RETRY_EVERY = 1.0
"""The same while Kafka, or a topic, is not there."""

CLOSE_WITHIN = 3.0
"""Seconds that close() waits for the last commit. On a broker that hangs it would not return."""

OFFSET_VOID = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 -- librdkafka's own name

log = structlog.get_logger()


class KafkaFeed:
    """A Feed on two topics.

    Args:
        brokers: host:port, separated by commas.
        topic: the topic of receipts.
        group_id: offsets are committed under ``<group_id>.<node>``.
        node: this gateway's name.
        updates_topic: the topic of all other kinds of event.
        all_partitions: read every partition from the start, for a topic whose producers
            partition otherwise; partitions_of() then has nothing to add.
        metrics: counts what was read.
        clock: seconds that only grow.
        security: how the brokers are spoken to (kafka_security.py).
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        group_id: str,
        node: str,
        *,
        updates_topic: str,
        all_partitions: bool = False,
        metrics: FeedMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        security: Security = IN_THE_CLEAR,
    ) -> None:
        self._topic = topic
        self._all = all_partitions
        self._metrics = metrics or NoFeedMetrics()
        self._clock = clock
        self._layouts = {topic: Layout(), updates_topic: Layout()}
        self._dead_letters = DeadLetters(brokers, security)
        self._settings: dict[str, Any] = {
            **security,
            "bootstrap.servers": brokers,
            "client.id": f"seenby-{node}",
            "group.id": f"{group_id}.{node}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            # A partition joined while a fetch waits at the broker is read after that fetch only.
            "fetch.wait.max.ms": 100,
            # While more than a few records wait here already, the broker is asked every 10 ms and
            # not again and again for what has just come: at 10,000 marks a second a third of the
            # CPU of gateway and broker. At 1,000 a second nothing waits, and nothing is delayed.
            "queued.min.messages": 10,
            "fetch.queue.backoff.ms": 10,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
        self._trouble = Trouble()
        self._closing = False
        self._questions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wanted: set[int] = set()
        self._stood: dict[Place, int] = {}
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._records = Records(self._dead_letters, updates_topic)
        self._reported = (0, 0, 0, 0)
        self._next_progress = 0.0
        self._refreshed = -REFRESH_EVERY
        self._threads: list[threading.Thread] = []

    @property
    def healthy(self) -> bool:
        """Whether both topics were there when last asked for; and read whole, if they are to be."""
        if not self._threads or not self._survey.complete:
            return False
        return not self._all or len(self._assignment) >= sum(self._survey.counts.values())

    def start(
        self,
        *,
        epoch: str,
        wanted: Container[str],
        deliver: Deliver,
        on_growth: Callable[[], None] | None = None,
    ) -> None:
        """Begin, whether Kafka is there or not; see the port."""
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._on_growth = on_growth
        self._records.epoch, self._records.wanted = epoch, wanted
        self._survey = Survey(self._settings, tuple(self._layouts))
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
        self._consumer = Consumer(self._settings | callbacks)
        self._assignment = Assignment(self._consumer)
        self._threads = [
            threading.Thread(target=self._run, args=(step, end), name=name, daemon=True)
            for name, step, end in (
                ("kafka-reader", self._read, self._end_reading),
                ("kafka-asker", self._ask, self._survey.close),
            )
        ]
        for thread in self._threads:
            thread.start()

    def set_epoch(self, epoch: str) -> None:
        """From now on only records of *epoch* take part in seqs."""
        self._records.epoch = epoch

    def partitions_of(self, user_id: str) -> frozenset[int]:
        """Where records of this user may arrive; see the port."""
        if self._all:
            return frozenset()
        # Where the topics differ in size, a user has a partition in each.
        return frozenset[int]().union(*(layout.of(user_id) for layout in self._layouts.values()))

    async def join(self, partition: int) -> None:
        """Return when every record from now on will be delivered.

        Raises:
            BusUnavailable: the broker did not answer in time, or has no such partition.
        """
        if self._closing or not self._threads:
            raise BusUnavailable("the feed is not running")
        answer: asyncio.Future[str] = self._loop.create_future()
        self._questions.put(partial(self._join, partition, answer))
        why = await answer
        if why:
            raise BusUnavailable(f"partition {partition} of {self._topic} was not joined: {why}")

    def leave(self, partition: int) -> None:
        """Stop reading a partition; unknown ones are ignored."""
        self._questions.put(partial(self._leave, partition))

    async def close(self) -> None:
        """Commit offsets and stop; takes little more than CLOSE_WITHIN at most."""
        self._closing = True
        self._questions.put(lambda: None)
        if self._threads:
            await asyncio.to_thread(self._end)
            self._report(0)

    # On the loop

    def _learn(self, counts: Mapping[str, int]) -> None:
        """So many partitions there are. Here, so that an answer and on_growth agree."""
        now = self._clock()
        changes = [self._layouts[topic].learn(count, now) for topic, count in counts.items()]
        if any(changes) and self._on_growth is not None:
            self._on_growth()

    def _arrive(self, events: list[Event], epoch: str) -> None:
        try:
            # What was decoded before the epoch changed counts otherwise than what it would meet.
            if epoch == self._records.epoch:
                self._deliver(events)
        finally:
            self._slots.release()

    def _report(self, lag: int) -> None:
        letters = self._dead_letters
        now = (self._records.decoded, letters.written, letters.lost, self._records.dropped)
        before, self._reported = self._reported, now
        ok, bad, lost, dropped = (new - old for new, old in zip(now, before, strict=True))
        for status, records in (("ok", ok), ("bad", bad), ("lost", lost)):
            if records:
                self._metrics.consumed(status, records)
        if dropped:
            self._metrics.offline(dropped)
        self._metrics.lag(lag)

    # In both threads

    def _run(self, step: Callable[[], None], end: Callable[[], None]) -> None:
        while not self._closing:
            try:
                step()
            except Exception:
                log.exception("feed_thread_failed")
                self._survey.away("a thread of the feed has failed")
                time.sleep(POLL)
        end()

    def _answer(self, answer: asyncio.Future[str] | None, why: str) -> None:
        if answer is not None:
            self._tell(_resolve, answer, why)

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *arguments)
        except RuntimeError:  # The loop is closed: nobody is here to listen any more.
            self._closing = True

    # The reading thread

    def _read(self) -> None:
        _carry_out(self._orders)
        if time.monotonic() >= self._next_progress:
            self._progress()
            self._next_progress = time.monotonic() + PROGRESS_EVERY
        # consume(n, timeout) would wait for n records or the timeout; this waits for the first.
        first = self._consumer.poll(POLL)
        if first is None:
            return
        batch = [first, *self._consumer.consume(BATCH - 1, 0)]
        good = [record for record in batch if record.error() is None]
        if len(good) < len(batch):
            self._complain([record for record in batch if record.error() is not None])
        epoch = self._records.epoch
        events = self._records.events(good)
        if not events:
            return
        while not self._slots.acquire(timeout=POLL):
            if self._closing:
                return
        self._tell(self._arrive, events, epoch)

    def _complain(self, records: Sequence[Message]) -> None:
        """Records that carry no message but a partition's trouble."""
        for record in records:
            error, topic, partition = record.error(), record.topic(), record.partition()
            log.warning(
                "partition_trouble",
                topic=topic,
                partition=partition,
                offset=record.offset(),
                why=str(error),
            )
            place = Place(str(topic), -1 if partition is None else partition)
            if error is not None and error.code() == OFFSET_VOID and place in self._assignment:
                self._stood[place] = self._assignment.position(place)
                self._assignment.leave(place)
                self._questions.put(partial(self._join, place.partition, None))
            elif topic is None:
                self._survey.away(str(error))
            else:
                self._survey.doubt(topic)

    def _progress(self) -> None:
        self._dead_letters.serve()
        self._tell(self._report, self._commit())

    def _commit(self) -> int:
        """Commit what was read of the topics that are there; how many records wait in all."""
        moved, lag = self._assignment.progress()
        self._assignment.commit([at for at in moved if at.topic in self._survey.counts])
        return lag

    def _take_up(
        self, places: Mapping[Place, int], answer: asyncio.Future[str] | None = None
    ) -> None:
        why = "the feed is closed"
        if not self._closing:
            try:
                for place, offset in places.items():
                    self._assignment.join(place, offset)
                why = ""
            except KafkaException as error:
                why = str(error)
        self._answer(answer, why)

    def _give_up(self, partition: int) -> None:
        if not self._closing:
            for topic in self._layouts:
                self._assignment.leave(Place(topic, partition))

    def _end_reading(self) -> None:
        with contextlib.suppress(KafkaException):
            self._commit()
        self._consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        log.debug("kafka_error", client="feed", why=str(error))
        why = self._trouble.heard(error)
        if error.code() == ALL_BROKERS_DOWN:
            self._survey.away(why)

    def _on_commit(self, error: KafkaError | None, _: Sequence[TopicPartition]) -> None:
        if error is not None:
            log.debug("offsets_not_committed", why=str(error))
            self._assignment.uncommitted()

    # The asking thread

    def _ask(self) -> None:
        if time.monotonic() >= self._refresh_due():
            self._refresh()
            self._refreshed = time.monotonic()
        self._survey.serve()
        patience = min(self._refresh_due() - time.monotonic(), RETRY_EVERY)
        with contextlib.suppress(queue.Empty):
            self._questions.get(timeout=max(patience, 0))()

    def _refresh_due(self) -> float:
        return self._refreshed + (REFRESH_EVERY if self._survey.complete else RETRY_EVERY)

    def _refresh(self) -> None:
        """Ask for the topics' layout; join what is wanted and, for whatever reason, not read."""
        new = self._survey.look()
        counts = self._survey.counts
        self._tell(self._learn, counts)
        missing = [
            Place(topic, partition)
            for topic, count in counts.items()
            for partition in range(count)
            if self._all or partition in self._wanted
        ]
        for place in missing:
            if place in self._assignment:
                continue
            try:
                offset = self._offset(place, new=place.topic in new)
            except (KafkaException, TimeoutError) as error:
                self._survey.away(str(error))
                return
            self._orders.put(partial(self._take_up, {place: offset}))

    def _join(self, partition: int, answer: asyncio.Future[str] | None) -> None:
        """Find out where *partition* is to be read from, in each topic, and let it be read."""
        counts = self._survey.counts
        if self._closing:
            why = "the feed is closed"
        elif self._topic not in counts:
            why = "Kafka, or the topic, is not there"
        elif not 0 <= partition < max(counts.values()):
            why = f"the topic has {counts[self._topic]} partitions"
        else:
            places = [Place(topic, partition) for topic in counts if partition < counts[topic]]
            if answer is None:
                # After a refusal. A look at the layout may have found it first, and the place where
                # it stood: from the end it must not be joined again.
                places = [place for place in places if place in self._stood]
            try:
                offsets = {place: self._offset(place) for place in places}
            except (KafkaException, TimeoutError) as error:
                why = str(error)
                self._survey.away(why)
            else:
                self._wanted.add(partition)
                self._orders.put(partial(self._take_up, offsets, answer))
                return
        self._answer(answer, why)

    def _offset(self, place: Place, *, new: bool = False) -> int:
        """From where *place* is to be read; of a *new* topic from its start."""
        start, end = self._survey.ends(*place)
        stood = self._stood.pop(place, None)
        if stood is not None:
            return stood if start <= stood <= end else start
        fresh = self._layouts[place.topic].fresh(place.partition, self._clock())
        return start if new or fresh else end

    def _leave(self, partition: int) -> None:
        self._wanted.discard(partition)
        for topic in self._layouts:
            self._stood.pop(Place(topic, partition), None)
        self._orders.put(partial(self._give_up, partition))

    # In the closing thread

    def _end(self) -> None:
        end = time.monotonic() + CLOSE_WITHIN
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        # Whoever still waits for a join is told that nothing comes of it.
        _carry_out(self._questions)
        _carry_out(self._orders)
        self._survey.counts = {}
        self._dead_letters.close(1.0)


def _carry_out(tasks: queue.SimpleQueue[Callable[[], None]]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            tasks.get_nowait()()


def _resolve(answer: asyncio.Future[str], why: str) -> None:
    if not answer.done():
        answer.set_result(why)
