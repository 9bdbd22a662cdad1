"""What is measured, in the order of importance, and what each figure should be.

A figure is met when the median of its rounds reaches the target; ``beyond`` is what is hoped for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number of a row.

    Attributes:
        name: which of the row's numbers it is; "" where there is only one.
        unit: what it is counted in.
        target: what it should reach, in that unit.
        beyond: what would be better still.
        at_least: more is better; otherwise less is.
    """

    name: str
    unit: str
    target: float
    beyond: float | None = None
    at_least: bool = False

    def reaches(self, value: float, wanted: float) -> bool:
        """Whether *value* is as good as *wanted*."""
        return value >= wanted if self.at_least else value <= wanted


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: what the command line calls it.
        tried: why a target is hard to reach here, and what was tried: said when one is missed.
    """

    name: str
    words: str
    figures: tuple[Figure, ...]
    tried: str = ""


LOOP = "times the C loop"

LIVE = (
    "live nearly each event is a write of its own. Of what the loop does not have, 3 to 4 us are "
    "for reading and decoding a record, 1.4 for the hub, 1.2 for session and metrics, 1 for "
    "positions. Tried: batches of 256 to 16,384 records, decoding in the loop's thread "
    "(20 us instead of 17), pings in the same write, fewer looks of the garbage "
    "collector, counted instead of listed latencies, asking Kafka every 10 ms"
)

ROWS = (
    Row(
        "gateway-cpu",
        "gateway CPU per delivery, 5,000 users, Kafka to socket",
        (Figure("from a backlog", LOOP, 2.0, 1.6), Figure("live", LOOP, 2.0, 1.6)),
        tried=LIVE,
    ),
    Row(
        "gateway-rate",
        "deliveries/s of one gateway process",
        (Figure("", "1/s", 60_000, 80_000, at_least=True),),
    ),
    Row(
        "three-devices",
        "gateway CPU per delivery, 3 devices per user",
        (Figure("from a backlog", LOOP, 1.6, 1.3), Figure("live", LOOP, 1.6, 1.3)),
        tried=LIVE,
    ),
    Row(
        "memory",
        "memory per idle connection, session and all, 15,000 connections",
        (Figure("", "KB", 11, 8),),
    ),
    Row(
        "marks",
        "marks/s all in, 300 connections, each mark delivered to a socket",
        (Figure("", "1/s", 6_000, 10_000, at_least=True),),
    ),
    Row(
        "mark-cpu",
        "CPU per mark, the same run",
        (Figure("API", "us", 100, 70), Figure("API + MariaDB + Kafka", "us", 200, 140)),
    ),
    Row(
        "api-alone",
        "the API process alone, with a core of its own",
        (
            Figure("marks/s", "1/s", 8_000, 10_000, at_least=True),
            Figure("p99 at 0.8 of that", "ms", 50),
        ),
        tried="the other core, on which database, Kafka and load run, sets the rate: at 0.8 of it "
        "that one is nearly full, while the API leaves half of its own. A mark then waits for the "
        "database and not for the API; p99 at 8,000 marks/s stands beside the row",
    ),
    Row(
        "batch",
        "marks/s through the batch endpoint, batches of 100",
        (Figure("", "1/s", 12_000, 20_000, at_least=True),),
    ),
    Row(
        "socket-marks",
        "marks/s over the WebSocket (`read` frames)",
        (Figure("", "1/s", 10_000, 15_000, at_least=True),),
    ),
    Row(
        "latency-1000",
        "mark to socket at 1,000 marks/s",
        (Figure("p50", "ms", 6, 3), Figure("p99", "ms", 20, 10)),
        tried="at this rate nearly each mark is a commit and a record of its own and wakes up "
        "every process, so two cores are three quarters busy with a tenth of what they can "
        "bear; the tail is what the processes take from each other, and differs by half "
        "between runs. Tried: a pause between commits, the producer's linger (neither "
        "helped), Kafka with more memory (which did: 20 to 31 ms before, in the same "
        "minutes)",
    ),
    Row(
        "embedded",
        "the same embedded (SQLite)",
        (Figure("p50", "ms", 4), Figure("p99", "ms", 12)),
    ),
    Row(
        "latency-5000",
        "mark to socket at 5,000 marks/s",
        (Figure("p99", "ms", 60, 30),),
    ),
    Row(
        "reconnect",
        "5,000 devices reconnect at once, each with 20 events to catch up",
        (Figure("all served", "s", 2.5, 1), Figure("store queries per 1,000 devices", "", 20)),
    ),
    Row(
        "kafka-latency",
        "Kafka timestamp to socket at 1,000 events/s, 1,000 connections",
        (
            Figure("p50", "ms", 1.5, 0.8),
            Figure("p99", "ms", 8, 6),
            Figure("gateway CPU per event", "us", 250, 120),
        ),
        tried="one event at a time wakes up three threads: 80 to 100 us for the loop, 60 for the "
        "reading thread, 70 for Kafka's library. Tried: asking Kafka every 3 ms only (130 "
        "us, but 2.5 ms to the socket), decoding in the loop's thread (no less)",
    ),
    Row(
        "idle-cpu",
        "CPU per idle connection and second, heartbeats on",
        (Figure("", "us", 5, 2),),
    ),
    Row(
        "full-table",
        "CPU per mark with 10 million receipts in the table against an empty one",
        (Figure("", "times", 1.3, 1.1),),
    ),
    Row(
        "connections",
        "CPU per delivery with 15,000 connections against 1,000",
        (Figure("", "times", 1.15),),
        tried="at this rate each of 15,000 devices gets one receipt a second, so nearly each "
        "brings a question for the device's position and its answer; of 1,000 devices one receipt "
        "in twenty does. Questions go out with pushes where they can: 1.28 before",
    ),
    Row(
        "two-gateways",
        "two gateways against one: deliveries per CPU-second",
        (
            Figure("users sent by partition", "times", 0.95, at_least=True),
            Figure("at random", "times", 0.90, at_least=True),
        ),
    ),
    Row(
        "latency-50000",
        "delivery latency of one gateway at 50,000 deliveries/s (Kafka timestamp to socket)",
        (Figure("p99", "ms", 100, 50),),
        tried="gateway, Kafka and load together are near two cores at this rate, and wait for each "
        "other. Tried: devices in C instead of Python, the gateway on a core of its own (p99 100 "
        "to 470 ms), batches of 1,024 and 16,384 records, decoding in the loop's thread. At "
        "30,000/s the 99th percentile was 67 to 94 ms",
    ),
    Row(
        "registered",
        "CPU per mark on registered messages against unregistered ones, groups of 10",
        (
            Figure("readers' own devices told", "times", 1.5),
            Figure("not told", "times", 1.5),
        ),
        tried="where readers' own devices are told, a mark is two events, in two streams and two "
        "topics: twice the records, streams and requests to Kafka, whose library sends one for "
        "each partition. By statement timings, at 300 marks per commit, 24 us of MariaDB's part "
        "are for the counters (look, lock and change of message and member) and 11 for the event "
        "and its stream; the API's part is spread thin, most of it in the writer's thread. Tried "
        "in runs of their own: 2 partitions for updates instead of 16 (1.3 to 1.6 times), 1,000 "
        "connections (1.6 to 1.8), lists of ids instead of JSON documents for the counters (2 to 3 "
        "us less for messages, 30 to 77 more for members), an upsert (messages 0.6 us more to "
        "0.1 less, members 1 to 2 less)",
    ),
    Row(
        "unread",
        "unread counts of a user with 500 conversations and 100,000 messages",
        (Figure("MariaDB", "ms", 5), Figure("SQLite", "ms", 5)),
    ),
    Row(
        "one-message",
        "marks/s of one message read by 100,000, against as many messages' of 500 senders",
        (Figure("", "times", 0.7, at_least=True),),
    ),
    Row(
        "start",
        "start to ready, embedded",
        (Figure("", "s", 1),),
    ),
)
