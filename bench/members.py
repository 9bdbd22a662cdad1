"""Members of groups that mark, and senders who listen: the load of the rows about conversations.

A process of its own, told what to do by one JSON document a line (``load.Hall`` speaks to it). What
is checked on the senders' side: each receipt comes once and in order and, where the message is
registered, says how many have read it by then; of a crowd the counts only grow, come at most once
a second but for the first and the last, and the last is right.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from bench.turns import ONE, Crowd, Groups
from seenby.bench.ledger import Ledger
from seenby.bench.load import Load
from seenby.bench.readers import HttpReaders, Marks
from seenby.bench.schedule import Schedule
from seenby.bench.sockets import Sockets
from seenby.bench.target import target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.turns import Turns
    from seenby.bench.ledger import Device
    from seenby.bench.sockets import Socket

PATIENCE = 10.0
"""Seconds without any answer or delivery after which the rest is given up."""


class Frame(msgspec.Struct, gc=False):
    """What a sender is sent."""

    type: str
    msg_id: str = ""
    reader_id: str = ""
    seq: int = 0
    read: int | None = None
    of: int | None = None


decode = msgspec.json.Decoder(Frame).decode


class Written(Marks):
    """The text of the marks of some turns."""

    def __init__(self) -> None:
        self.turns: Turns = Groups("")

    def mark(self, number: int, reader: int) -> bytes:  # noqa: ARG002 -- the turns know the reader
        """A mark without the bracket that opens it."""
        text = b'"msg_id":"%b","reader_id":"%b","sender_id":"%b","conversation_id":"%b"}'
        return text % tuple(map(str.encode, self.turns.reading(number)))


class Receipts:
    """The receipts that senders are owed by some marks.

    Args:
        owed: (msg_id, reader_id) of each.
        of: how many a message was sent to; None: it is not registered.
    """

    def __init__(self, owed: Iterable[tuple[str, str]], of: int | None) -> None:
        self._owed = set(owed)
        self._of = of
        self._read: Counter[str] = Counter()
        self.doubled = self.wrong = 0

    @property
    def missing(self) -> int:
        """How many are still to come."""
        return len(self._owed)

    def took(self, device: Device, frame: Frame) -> None:
        """One has come."""
        key = frame.msg_id, frame.reader_id
        if key not in self._owed:
            self.doubled += 1
            return
        self._owed.remove(key)
        self._read[frame.msg_id] += 1
        counted = None if self._of is None else self._read[frame.msg_id]
        if frame.seq <= device.seq or (frame.read, frame.of) != (counted, self._of):
            self.wrong += 1
        device.seq = frame.seq


class Counts:
    """The counts of one message that its sender is told.

    Args:
        read: how many will have read it in the end.
        of: of how many.
    """

    def __init__(self, read: int, of: int) -> None:
        self._end = read, of
        self._last = 0, of
        self._seq = 0
        self.wrong = 0
        self.first = 0
        self.times: list[float] = []

    @property
    def missing(self) -> int:
        """How many readers the sender does not know of yet."""
        return self._end[0] - self._last[0]

    @property
    def too_many(self) -> int:
        """Counts beyond one per second, the first and the last."""
        span = self.times[-1] - self.times[0] if self.times else 0.0
        return max(0, len(self.times) - 2 - int(span))

    def took(self, frame: Frame, now: float) -> None:
        """One has come."""
        told = frame.read or 0, frame.of or 0
        if told[0] <= self._last[0] or told[1] != self._end[1] or frame.seq <= self._seq:
            self.wrong += 1
        self.first = self.first or told[0]
        self._last, self._seq = told, frame.seq
        self.times.append(now)


class Members:
    """Connections that mark, and sockets of the senders."""

    def __init__(self) -> None:
        self._marks = Written()
        self._sockets = Sockets(self._took)
        self._readers: HttpReaders | None = None
        self._receipts: Receipts | None = None
        self._counts: Counts | None = None
        self._welcomed = 0
        self._heard = 0.0

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; what came of it."""
        if order["do"] == "connect":
            await self._connect(**{name: order[name] for name in order if name != "do"})
            return {}
        turns: Turns
        if order["do"] == "groups":
            turns = Groups(order["tag"])
            readings = map(turns.reading, range(order["count"]))
            self._receipts = Receipts(((r.msg_id, r.reader_id) for r in readings), order["of"])
        else:
            first, one = order["first"], order["do"] == "one"
            turns = Crowd(one=one, first=first)
            self._receipts = None
            self._counts = Counts(first + order["count"], order["of"]) if one else None
        return await self._mark(turns, order["count"])

    async def _connect(
        self, api: str, gateway: str, connections: int, senders: list[str], *, updates: bool
    ) -> None:
        """Open connections, and a socket for each sender; *updates*: one that is told counts."""
        where = target("api", api, scheme="http", owned=False)
        self._readers = HttpReaders(where, {}, self._marks, Ledger("", 0, time.perf_counter), 0)
        await self._readers.connect(connections)
        headers = {"Sec-WebSocket-Protocol": "seenby.v1"} if updates else {}
        users = [{"user_id": sender} for sender in senders]
        for socket in await self._sockets.connect(gateway, users, headers=headers):
            if updates:
                socket.send(b'{"type":"hello"}')
        while updates and self._welcomed < len(senders):  # noqa: ASYNC110 -- short
            await asyncio.sleep(0.01)

    def _took(self, socket: Socket, message: bytes) -> None:
        self._heard = now = time.perf_counter()
        frame = decode(message)
        if frame.type == "welcome":
            self._welcomed += 1
        elif self._receipts is not None:
            self._receipts.took(socket, frame)
        elif self._counts is not None and (frame.type, frame.msg_id) == ("read_count", ONE):
            # Senders are readers too: their devices are told what they read themselves.
            self._counts.took(frame, now)

    async def _mark(self, turns: Turns, count: int) -> dict[str, Any]:
        """So many marks, as fast as they are answered; then wait for what senders are owed."""
        readers = self._readers
        if readers is None:
            raise RuntimeError("nobody is connected")
        clock = time.perf_counter
        self._marks.turns = turns
        ledger = readers.ledger = Ledger("", 0, clock)
        load = Load(Schedule(0, 0.0, math.inf, most=count), clock)
        used, began = time.process_time(), clock()
        self._heard = began
        readers.start(load)
        answered = 0
        while ledger.asked < count or ledger.unanswered:
            await asyncio.sleep(0.001)
            if ledger.marks != answered:
                answered, self._heard = ledger.marks, clock()
            if clock() - self._heard > PATIENCE:
                readers.give_up()
                break
        seconds = clock() - began
        used = time.process_time() - used
        owed = self._receipts or self._counts
        while owed is not None and owed.missing and clock() - self._heard < PATIENCE:  # noqa: ASYNC110 -- a count
            await asyncio.sleep(0.002)
        return self._report(ledger, seconds, used)

    def _report(self, ledger: Ledger, seconds: float, used: float) -> dict[str, Any]:
        """What ``load.Marks`` reads, and more."""
        receipts, counts = self._receipts, self._counts
        owed = receipts or counts
        return {
            "marks": ledger.marks,
            "refused": dict(ledger.refusals),
            "marks_per_second": ledger.marks / seconds,
            "answer_ms": ledger.answers.summary(),
            "cpu_seconds": used,
            "missing": owed.missing if owed else 0,
            "doubled": receipts.doubled if receipts else 0,
            "out_of_order": 0,
            "wrong": owed.wrong if owed else 0,
            "too_many": counts.too_many if counts else 0,
            "counts": len(counts.times) if counts else 0,
            "first": counts.first if counts else 0,
            "sockets_lost": self._sockets.lost,
        }


async def obey_all() -> None:
    """Carry out what comes on standard input, until it ends."""
    members = Members()
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await members.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(obey_all())
