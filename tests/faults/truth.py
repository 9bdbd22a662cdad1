"""What the database must say after the chaos, and all who were told: devices, topics, streams."""

from __future__ import annotations

import json
import subprocess
from bisect import bisect_left
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from seenby.model import ERASED, TYPE_OF_KIND, Kind
from tests.faults.chaos import Told
from tests.faults.chat import AGGREGATE_OVER, HIDDEN
from tests.servers.seenby import COMMAND
from tests.servers.wait import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seenby.store.sql import SqlStore
    from tests.faults.chaos import Ledger
    from tests.faults.chat import Book

SEED_FIELDS = frozenset(
    {"msg_id", "sender_id", "reader_id", "conversation_id", "read_at", "device_id", "seq"}
)
"""Of a receipt's record; of a registered message read and of stand beside them."""

NAMING = {"read_receipt", "read_withdrawn"}


class Record(NamedTuple):
    """A record of one of the topics."""

    topic: str
    user: str
    seq: int
    told: Told
    text: str


class Truth:
    """Everything that is in the database, read once all is quiet.

    Args:
        store: the database.
        ledger: is told what is wrong.
    """

    def __init__(self, store: SqlStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self.events: dict[tuple[str, int], Told | None] = {}
        self._shown: dict[tuple[str, bool], list[int]] = {}
        columns = "user_id, seq, kind, msg_id, reader_id, conversation_id, at, amount, audience"
        for user, seq, kind, msg_id, reader, where, at, amount, audience in self._rows(
            f"SELECT {columns} FROM events"
        ):
            # An erased event has no body.
            self.events[user, seq] = msg_id and Told(
                TYPE_OF_KIND[kind],
                msg_id,
                reader if kind in {Kind.RECEIPT, Kind.WITHDRAWN} else "",
                where,
                0 if kind in {Kind.COUNT, Kind.UNREAD_SELF} else at // 1000,
                amount,
                audience,
                kind == Kind.READ_SELF_UP_TO,
            )

    def _rows(self, statement: str) -> list[Any]:
        return self._store.connections.run(lambda connection: connection.rows(statement))

    def last(self, user: str, *, silent: bool) -> int:
        """The seq of the last event that a device of the user is sent."""
        return max(self.shown(user, silent=silent), default=0)

    def shown(self, user: str, *, silent: bool) -> list[int]:
        """The seqs of what a device of the user is sent, in order."""
        if (user, silent) not in self._shown:
            self._shown[user, silent] = sorted(
                seq
                for (owner, seq), told in self.events.items()
                if owner == user and told and (not silent or told.type == "read_receipt")
            )
        return self._shown[user, silent]

    # What must be there

    def compare_devices(self, users: list[str]) -> None:
        """Devices were sent what is in the streams, and all of it."""
        ledger = self._ledger
        for user in users:
            pushed = ledger.stream(user)
            for seq in self.shown(user, silent=False):
                right, found = self.events[user, seq], pushed.pop(seq, None)
                if found != right:
                    ledger.problem(f"{user} was sent {found} at {seq}, not {right}")
            extra = {seq: told for seq, told in pushed.items() if (user, seq) not in self.events}
            if extra:
                ledger.problem(f"{user} was sent what is in no stream: {extra}")
        for gap in ledger.gaps:
            shown = self.shown(gap.user, silent=gap.silent)
            missed = shown[bisect_left(shown, gap.first) : bisect_left(shown, gap.end)]
            if missed:
                ledger.problem(f"{gap} leaves out {missed[:5]}")

    def compare_streams(self) -> None:
        """Each receipt that is shown by name was told once, and each one taken back as well."""
        balance: Counter[tuple[str, str]] = Counter()
        for told in self.events.values():
            if told and told.type in NAMING:
                balance[told.msg_id, told.reader_id] += 1 if told.type == "read_receipt" else -1
        large = {
            msg_id
            for (msg_id,) in self._rows(
                f"SELECT msg_id FROM messages WHERE sent_to > {AGGREGATE_OVER}"
            )
        }
        named = {
            (msg_id, reader)
            for msg_id, reader, sender, hidden in self._rows(
                "SELECT msg_id, reader_id, sender_id, hidden FROM receipts"
            )
            if hidden == 0 and msg_id not in large and sender != ERASED
        }
        wrong = [pair for pair in named if balance[pair] != 1]
        wrong += [pair for pair, number in balance.items() if number and pair not in named]
        if wrong:
            some = [(pair, balance[pair], pair in named) for pair in wrong[:5]]
            self._ledger.problem(f"{len(wrong)} receipts are not in the streams as often: {some}")

    def compare_book(self, book: Book) -> None:
        """What was answered is there, as it was answered; what was taken back is not."""
        there = {
            (msg_id, reader): number
            for msg_id, reader, number in self._rows("SELECT msg_id, reader_id, id FROM receipts")
        }
        lost = [
            pair
            for pair, number in book.there.items()
            if there.get(pair) is None or number not in {None, there[pair]}
        ]
        back = [pair for pair in book.gone if pair in there]
        registered = self._registered()
        missing = [sent for sent in book.messages if sent.msg_id not in registered]
        for what, wrong in (
            ("answered receipts are lost", lost),
            ("receipts are there that were taken back", back),
            ("answered registrations are lost", missing),
        ):
            if wrong:
                self._ledger.problem(f"{len(wrong)} {what}: {wrong[:5]}")
        self._compare_erased(book)

    def _compare_erased(self, book: Book) -> None:
        for table, column in (
            ("receipts", "reader_id"),
            ("receipts", "sender_id"),
            ("events", "user_id"),
            ("events", "reader_id"),
            ("messages", "sender_id"),
            ("members", "user_id"),
            ("preferences", "user_id"),
            ("devices", "user_id"),
            ("erasures", "user_id"),
        ):
            names = {name for (name,) in self._rows(f"SELECT DISTINCT {column} FROM {table}")}
            if names & book.erased:
                self._ledger.problem(f"erased, and in {table}.{column}: {names & book.erased}")

    def _registered(self) -> set[str]:
        return {msg_id for (msg_id,) in self._rows("SELECT msg_id FROM messages")}

    def topic_is_registered(self, book: Book) -> bool:
        """Whether every message is there that the chat has put into its topic."""
        return self._registered().issuperset(book.on_topic)

    def counts_are_told(self) -> bool:
        """Whether no count is held back any more."""
        return self._rows("SELECT COUNT(*) FROM pending_counts") == [(0,)]

    def compare_counts(self) -> None:
        """The last count that a sender was told is the count."""
        last: dict[str, int | None] = {}
        for (_, _), told in sorted(self.events.items(), key=lambda event: event[0]):
            if told and told.type == "read_count":
                last[told.msg_id] = told.number
        rows = self._rows(
            f"SELECT msg_id, readers, told FROM messages WHERE sent_to > {AGGREGATE_OVER}"
        )
        if not any(readers for _, readers, _ in rows):
            self._ledger.problem("nobody has read a message to many: it tests nothing")
        for msg_id, readers, told in rows:
            if (told, last.get(msg_id, 0)) != (readers, readers):
                self._ledger.problem(
                    f"{msg_id} has {readers} readers, its sender was told {last.get(msg_id)} {told}"
                )

    def compare_topics(self, book: Book, brokers: str, topics: tuple[str, str]) -> None:
        """The topics hold each event, receipts in the first and all others in the second."""
        seen: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for record in records(brokers, topics):
            place = record.user, record.seq
            seen[record.topic].add(place)
            right = self.events.get(place)
            if right and record.told != right:
                self._ledger.problem(f"{record} is not {right}")
            if place not in self.events and record.user not in book.erased:
                self._ledger.problem(f"{record} is in no stream")
            if HIDDEN in record.text and HIDDEN not in record.user:
                self._ledger.problem(f"a record names who hides: {record}")
            self._compare_name(book, record.told)
        for place, told in self.events.items():
            if told and place not in seen[topics[told.type != "read_receipt"]]:
                self._ledger.problem(f"{told} at {place} is not in its topic")

    def compare_names(self, book: Book) -> None:
        """No event names who hides."""
        for told in self.events.values():
            if told:
                self._compare_name(book, told)

    def _compare_name(self, book: Book, told: Told) -> None:
        if told.type in NAMING and book.secret((told.msg_id, told.reader_id)):
            self._ledger.problem(f"{told} names who hides")

    def compare_counters(self, settings: Mapping[str, str]) -> None:
        """The command says that no counter is wrong."""
        done = subprocess.run(
            [COMMAND, "verify"],
            env=dict(settings),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0 or not done.stdout.endswith(" 0 differences\n"):
            self._ledger.problem(f"verify: {done.stdout[:2000]}{done.stderr[-2000:]}")


def records(brokers: str, topics: tuple[str, str]) -> Iterator[Record]:
    """All that is in the two topics now: receipts, and updates."""
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "truth", "enable.auto.commit": False}
    )
    try:
        for topic in topics:
            partitions = consumer.list_topics(topic, PATIENCE).topics[topic].partitions
            places = [TopicPartition(topic, partition, 0) for partition in partitions]
            ends = {at.partition: consumer.get_watermark_offsets(at, PATIENCE) for at in places}
            # How many each partition still owes. More may come meanwhile: whoever was not sure
            # that a batch arrived publishes it again. Those stand for none of these.
            left = {partition: end - start for partition, (start, end) in ends.items()}
            consumer.assign(places)
            while owed := sum(left.values()):
                # Not more than there are: for those it would wait.
                for message in consumer.consume(min(owed, 1000), 1.0):
                    assert message.error() is None, message.error()
                    partition = message.partition() or 0
                    left[partition] = max(left[partition] - 1, 0)
                    key, value = message.key() or b"", message.value() or b""
                    yield _record(topic, key.decode(), value.decode())
    finally:
        consumer.close()


def _record(topic: str, user: str, text: str) -> Record:
    value = json.loads(text)
    if "type" in value:
        if value["type"] not in {"read_count", "unread_self"}:
            value["read_at"] = value["at"]
        return Record(topic, user, value["seq"], Told.by(value), text)
    assert value.keys() - {"read", "of"} == SEED_FIELDS, text
    return Record(topic, user, value["seq"], Told.by({"type": "read_receipt", **value}), text)
