"""Deliveries only: ready-made events go into Kafka, and devices take what the gateways send.

A process of its own, told what to do by one JSON document a line (``load.Stage`` speaks to it);
the devices are another (``sink.c``), so that reading costs no more than it must.
The marks' side (API, database) is left out, so that the topic can be filled faster than any
gateway reads. Events are seenby's own: with seqs in order for each sender, the epoch's header and
the commit's time; what is counted on the other side is every event once, in order, on each device.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvloop
from confluent_kafka import Producer

from bench.returning import Returning
from seenby import events as wire
from seenby.bus.partitions import partition_of
from seenby.gateway import frames
from seenby.model import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

WEBSOCKET_HEAD = 4
"""Bytes before a frame of 126 bytes and more (RFC 6455, section 5.2)."""

BULK_LINGER, LIVE_LINGER = 5, 0
"""Milliseconds: for many events, and as one relay publishes."""

BULK_TICK, LIVE_TICK, LIVE_UP_TO = 0.005, 0.001, 5_000
"""Seconds between two writes, and the rate per second up to which one relay is imitated. What is
above comes from many marks that were committed together: librdkafka asks the broker once for each
partition and write, and with a write for each event Kafka would be all that is measured."""

PATIENCE = 20.0
"""Seconds without any arrival after which the rest is taken for lost."""


def event(user: str, seq: int) -> Event:
    """One that is committed now; its msg_id says when, in microseconds."""
    now = time.time()
    at = int(now * 1000)
    return Event(user, seq, f"{now * 1e6:.0f}-{seq}", f"reader{seq % 50}", "conv", at, at)


def producer(brokers: str, linger: int) -> Producer:
    """As the relay's, but for the time it waits for company."""
    return Producer(
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


class Sink:
    """The program ``sink.c``: devices that check what they are sent."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- our own
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.cpu = 0.0

    def connect(self, targets: Iterable[tuple[int, str]]) -> int:
        """Connect a device to each port and target; how many there are then."""
        for port, target in targets:
            print("connect", port, target, file=self._process.stdin)
        return int(self._ask("connected")["sockets"])

    def messages(self) -> int:
        """How many messages have come."""
        return int(self._ask("messages")["messages"])

    def wait(self, messages: int) -> dict[str, Any]:
        """Return when so many messages have come, or none for a while: what the program says.

        ``cpu`` is then what it used since it was asked for the last time.
        """
        came = self._ask(f"wait {messages} {PATIENCE}")
        before, self.cpu = self.cpu, came["cpu"]
        return came | {"cpu": self.cpu - before}

    def close(self) -> None:
        """Cut all devices."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, question: str) -> dict[str, Any]:
        print(question, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the sink has ended, see above")
        found: dict[str, Any] = json.loads(line)
        return found


class Audience:
    """Users of one topic, their devices, and what they are owed.

    ``turn`` gives the users one after the other, ``owed`` is how many messages there should be,
    ``taken`` how many were reported.

    Args:
        order: ``gateways`` (addresses), ``spread`` (partition or random: which user connects to
            which of them), ``users``, ``devices`` per user, ``topic``, ``partitions``, ``tag``.
    """

    def __init__(self, order: dict[str, Any], dice: random.Random, sink: Sink) -> None:
        self.users = [f"{order['tag']}{number}" for number in range(order["users"])]
        self.seqs = dict.fromkeys(self.users, 0)
        dice.shuffle(self.users)
        self.turn = cycle(self.users)
        self.topic: str = order["topic"]
        self.devices: int = order["devices"]
        self.sink = sink
        self.owed = self.taken = 0
        self._order = order
        self._dice = dice

    def connect(self) -> int:
        """All devices of all users, each at its gateway; how many there are."""
        return self.sink.connect(
            (self._port(user), f"/ws?user_id={user}&device_id=device{number}")
            for user in self.users
            for number in range(self.devices)
        )

    def _port(self, user: str) -> int:
        gateways: list[str] = self._order["gateways"]
        chosen = self._dice.randrange(len(gateways))
        if self._order["spread"] == "partition":
            partitions = self._order["partitions"]
            chosen = partition_of(user, partitions) * len(gateways) // partitions
        return urlsplit(gateways[chosen]).port or 80


class Stage:
    """Carries out the orders, one after the other."""

    def __init__(self, brokers: str, epoch: str, sink: str) -> None:
        self._program = sink
        self._headers: list[tuple[str, str | bytes | None]] = [(wire.EPOCH, epoch.encode())]
        self._bulk = producer(brokers, BULK_LINGER)
        self._live = producer(brokers, LIVE_LINGER)
        self._audiences: dict[str, Audience] = {}
        self._returning = Returning()
        self._dice = random.Random(1)  # noqa: S311 -- a load, not a secret

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do one thing, and say what came of it."""
        match order["do"]:
            case "visit":
                return await self._returning.visit(order["gateway"], order["users"])
            case "return":
                return await self._returning.come_back(order["gateway"], order["events"])
            case "connect":
                audience = Audience(order, self._dice, Sink(self._program))
                self._audiences[order["topic"]] = audience
                frame = frames.receipt(event(audience.users[-1], 1), int(time.time()))
                sockets = await asyncio.to_thread(audience.connect)
                return {"sockets": sockets, "bytes": WEBSOCKET_HEAD + len(frame)}
        return await self._with(self._audiences[order["topic"]], order)

    async def _with(self, audience: Audience, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "fill":
                return await self._fill(audience, order["events"])
            case "take":
                return await self._take(audience, order["since"])
            case "deliver":
                return await self._deliver(audience, order["events"], order["rate"])
            case _:
                audience.sink.close()
                del self._audiences[audience.topic]
                return {}

    def _write(self, kafka: Producer, audience: Audience) -> None:
        user = next(audience.turn)
        seq = audience.seqs[user] = audience.seqs[user] + 1
        audience.owed += audience.devices
        new = event(user, seq)
        kafka.produce(
            audience.topic, wire.encode(new), user, timestamp=new.at, headers=self._headers
        )

    async def _fill(self, audience: Audience, events: int) -> dict[str, Any]:
        """Write events as fast as Kafka takes them, while the gateways are held."""
        before = audience.sink.messages()
        for number in range(events):
            self._write(self._bulk, audience)
            if number % 200 == 0:
                self._bulk.poll(0)
        await asyncio.to_thread(_flush, self._bulk)
        return {"early": audience.sink.messages() - before}

    async def _take(self, audience: Audience, since: float) -> dict[str, Any]:
        """Wait until all that was written has come to all devices.

        *since*: the moment, by the machine's monotonic clock, at which the gateways were let go.
        """
        came = await asyncio.to_thread(audience.sink.wait, audience.owed)
        messages = came["messages"] - audience.taken
        seconds = came["last"] - since
        result = {
            "deliveries": messages,
            "missing": audience.owed - came["messages"],
            "wrong": came["wrong"],
            "lost_sockets": came["lost"],
            "seconds": seconds,
            "per_second": messages / seconds if messages else 0.0,
            "cpu_seconds": came["cpu"],
            "p50_ms": came["p50_ms"],
            "p99_ms": came["p99_ms"],
        }
        audience.taken = audience.owed = came["messages"]
        return result

    async def _deliver(self, audience: Audience, events: int, rate: float) -> dict[str, Any]:
        """Write events at a fixed rate, and time their arrival."""
        kafka, tick = (self._live, LIVE_TICK) if rate <= LIVE_UP_TO else (self._bulk, BULK_TICK)
        began = time.monotonic()
        used = _used()
        behind, written = 0.0, 0
        while written < events:
            due = min(events, 1 + int((time.monotonic() - began) * rate))
            behind = max(behind, due - written)
            for _ in range(written, due):
                self._write(kafka, audience)
            written = due
            kafka.poll(0)
            await asyncio.sleep(tick)
        wrote = time.monotonic() - began
        await asyncio.to_thread(_flush, kafka)
        used_writing = _used() - used
        result = await self._take(audience, began)
        result["cpu_seconds"] += used_writing
        return result | {
            "written_per_second": events / wrote,
            "behind_ms": 1000 * behind / rate,
        }


def _flush(kafka: Producer) -> None:
    if kafka.flush(60):
        raise RuntimeError("Kafka did not take all events")


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def obey_all(brokers: str, epoch: str, sink: str) -> None:
    """Carry out what comes on standard input, until it ends."""
    stage = Stage(brokers, epoch, sink)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await stage.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(obey_all(*sys.argv[1:]))
