"""Deliveries only: ready-made events go into Kafka, and sockets take what the gateway sends.

A process of its own; the marks' side (API, database) is left out, so that the topic can be filled
faster than any gateway reads. Events are seenby's own: with seqs in order for each sender, the
epoch's header and the commit's time. One JSON line says that all sockets are connected, one more
at the end says what came: every event once, in order, on each device.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from typing import TYPE_CHECKING

import uvloop
from confluent_kafka import Producer

from seenby import events as wire
from seenby.bench.sockets import Sockets
from seenby.model import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.bench.sockets import Socket

MARK = b'"msg_id":"'
SEQ = b'"seq":'


class Topic:
    """Writes events as the relay does."""

    def __init__(self, brokers: str, topic: str, epoch: str, linger: int) -> None:
        self._topic = topic
        self._headers: list[tuple[str, str | bytes | None]] = [(wire.EPOCH, epoch.encode())]
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "snappy",
                "partitioner": "fnv1a",
                "linger.ms": linger,
                "queue.buffering.max.messages": 2_000_000,
                "log_level": 0,
            }
        )

    def write(self, user: str, seq: int) -> None:
        """One event, committed now; its msg_id says when, in microseconds."""
        now = time.time()
        at = int(now * 1000)
        event = Event(user, seq, f"{now * 1e6:.0f}-{seq}", f"reader{seq % 50}", "conv", at, at)
        self._producer.produce(
            self._topic, wire.encode(event), user, timestamp=at, headers=self._headers
        )

    def poll(self) -> None:
        """Let acknowledgements in."""
        self._producer.poll(0)

    def flush(self) -> None:
        """Return when all is acknowledged."""
        if self._producer.flush(60):
            raise SystemExit("Kafka did not take all events")


class Arrivals:
    """What the sockets have been sent."""

    def __init__(self, *, timed: bool) -> None:
        self.wrong = 0
        self.late: list[float] = []
        self._timed = timed

    def took(self, socket: Socket, frame: bytes) -> None:
        """A frame: is it the socket's next?"""
        seq = int(frame[frame.rfind(SEQ) + len(SEQ) : -1])
        if seq != socket.seq + 1:
            self.wrong += 1
        socket.seq = seq
        if self._timed:
            start = frame.find(MARK) + len(MARK)
            written = int(frame[start : frame.find(b"-", start)])
            self.late.append(time.time() - written / 1e6)


def percentile(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Connect, write, wait until all has come."""
    dice = random.Random(arguments.seed)  # noqa: S311 -- a load, not a secret
    users = [f"{arguments.tag}{number}" for number in range(arguments.users)]
    seqs = dict.fromkeys(users, 0)
    topic = Topic(arguments.brokers, arguments.topic, arguments.epoch, arguments.linger)
    arrivals = Arrivals(timed=arguments.rate > 0)
    sockets = Sockets(arrivals.took)
    for number, url in enumerate(arguments.gateways):
        mine = users[number :: len(arguments.gateways)]
        clients = [{"user_id": user} for user in mine for _ in range(arguments.devices)]
        await sockets.connect(url, clients)
    await asyncio.sleep(1.5)
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.sleep(0.2)
    began = time.perf_counter()
    last = began
    for number in range(arguments.events):
        if arguments.rate:
            ahead = began + number / arguments.rate - time.perf_counter()
            if ahead > 0.0005:
                topic.poll()
                await asyncio.sleep(ahead)
        elif number % 200 == 0:
            topic.poll()
            await asyncio.sleep(0)
        user = dice.choice(users)
        seqs[user] += 1
        topic.write(user, seqs[user])
    wanted = arguments.events * arguments.devices
    patience = time.perf_counter() + 30
    while sockets.messages < wanted and time.perf_counter() < patience:
        topic.poll()
        last = time.perf_counter()
        await asyncio.sleep(0.01)
    took = last - began
    topic.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    sockets.close()
    return {
        "deliveries": sockets.messages,
        "wanted": wanted,
        "wrong": arrivals.wrong,
        "lost_sockets": sockets.lost,
        "seconds": took,
        "per_second": sockets.messages / took,
        "p50_ms": percentile(arrivals.late, 0.5),
        "p99_ms": percentile(arrivals.late, 0.99),
        "cpu_seconds": used.ru_utime + used.ru_stime,
    }


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateways", nargs="+", required=True)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--epoch", required=True)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--linger", type=int, default=5)
    parser.add_argument("--tag", default="u")
    parser.add_argument("--seed", type=int, default=1)
    result = uvloop.run(run(parser.parse_args()))
    print(json.dumps(result), flush=True)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
