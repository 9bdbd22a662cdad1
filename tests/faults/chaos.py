"""Those who live through the chaos: rude devices, impatient readers, and the ledger they keep.

Each looks at every frame and every answer at once and tells the ledger what may not be:

- A mark is answered with one receipt, however often and wherever it is repeated.
- A seq of a user's stream is one event for everybody.
- Within a connection seqs rise, after a reset too.
- Over connections: who says its seq goes on behind it; a device with a stored position may get
  some again. Only a new epoch and trimming excuse more: ``Ledger.excused``.
- What is passed over is noted (``Gap``). In the end the database must say that there was nothing
  to be shown: an erased event, or for a silent client one that is no receipt.
- A silent client is sent receipts and nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from tests.faults.link import PATIENCE, Gone, Socket

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.servers.seenby import Seenby

    Mark = dict[str, str]

Kind = Literal["live", "silent", "seq", "position"]
"""Silent without a device_id and with one; seenby.v1 that says its seq, or its device_id only."""

PASSING = {"store_unavailable", "draining"}
"""Why a mark may be refused while things break; it is then made again."""


UPDATES = frozenset({"read_count", "read_withdrawn", "read_self", "unread_self"})
"""Frames that clients of seenby.v1 are sent besides receipts."""


class Told(NamedTuple):
    """An event as a frame tells it, without the moment of the push.

    ``at`` is 0 where the frame does not say when it was.
    """

    type: str
    msg_id: str
    reader_id: str
    conversation_id: str
    at: int
    number: int | None
    of: int | None
    up_to: bool

    @classmethod
    def by(cls, frame: dict[str, Any]) -> Told:
        """What a frame tells."""
        return cls(
            frame["type"],
            frame["msg_id"],
            frame.get("reader_id", ""),
            frame["conversation_id"],
            frame.get("read_at", frame.get("withdrawn_at", 0)),
            frame.get("unread", frame.get("read")),
            frame.get("of"),
            frame.get("up_to", False),
        )


class Gap(NamedTuple):
    """Seqs that a client was not sent: from *first* to before *end*."""

    who: str
    user: str
    silent: bool
    first: int
    end: int


class Ledger:
    """What was answered, what was pushed, and what should not have been.

    ``peace`` ends the rudeness, ``no_more_marks`` the load, ``over`` everything.
    """

    def __init__(self, seed: int, apis: Sequence[Seenby], gateways: Sequence[Seenby]) -> None:
        self.seed = seed
        self.apis = apis
        self.gateways = gateways
        self.senders = ["sender0", "sender1"]
        self.answered: dict[tuple[str, str], tuple[str, int]] = {}
        self.problems: list[str] = []
        self.failures: Counter[str] = Counter()
        self.excused = False
        self.peace = threading.Event()
        self.no_more_marks = threading.Event()
        self.over = threading.Event()
        self.numbers = itertools.count()
        self._lock = threading.Lock()
        self.gaps: set[Gap] = set()
        self._told_at: dict[tuple[str, int], Told] = {}

    def problem(self, text: str) -> None:
        """Something happened that may not."""
        self.problems.append(f"{time.strftime('%X')} {text}")

    def answer(self, mark: Mark, receipt: dict[str, Any]) -> None:
        """A mark was answered."""
        fields = ("msg_id", "reader_id", "sender_id", "conversation_id")
        if any(receipt[field] != mark[field] for field in fields):
            self.problem(f"{mark} was answered {receipt}")
        fact = (mark["sender_id"], int(receipt["id"]))
        with self._lock:
            first = self.answered.setdefault((mark["msg_id"], mark["reader_id"]), fact)
        if fact != first:
            self.problem(f"{mark} was answered {fact}, before {first}")

    def failed(self, why: str) -> None:
        """A mark was not answered."""
        with self._lock:
            self.failures[why] += 1

    def pushed(self, who: str, user: str, frame: dict[str, Any]) -> None:
        """An event with a place in the stream came to one of the user's devices."""
        told = Told.by(frame)
        with self._lock:
            before = self._told_at.setdefault((user, frame["seq"]), told)
        if told != before:
            self.problem(f"{who}: {told} at {frame['seq']}; others have {before} there")

    def passed_over(self, gap: Gap) -> None:
        """A client was not sent some of a stream, and must not have been."""
        with self._lock:
            self.gaps.add(gap)

    def stream(self, user: str) -> dict[int, Told]:
        """What was pushed of a stream, by seq."""
        with self._lock:
            return {seq: told for (who, seq), told in self._told_at.items() if who == user}


class Client(threading.Thread):
    """A device that connects to any gateway, leaves in many ways, and comes back.

    Args:
        ledger: is told what may not be.
        sender: whose device it is.
        kind: how it keeps its position.
        chance: decides for it.
        batch: takes frames of many receipts.
        slow: reads so slowly that gateways close it.
    """

    def __init__(
        self,
        ledger: Ledger,
        sender: str,
        kind: Kind,
        chance: random.Random,
        *,
        batch: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(daemon=True, name=f"{sender}-{kind}{'-batch' * batch}{'-slow' * slow}")
        self.kind = kind
        self.sender = sender
        self.seq: int | None = None
        self.connections = 0
        self._ledger = ledger
        self._chance = chance
        self._batch = batch
        self._slow = slow
        self._epoch = ""
        self._before: int | None = None
        self._welcome = False

    def run(self) -> None:
        """Live, until all is over."""
        while not self._ledger.over.is_set():
            try:
                self._connect()
            except (Gone, OSError):
                self._ledger.over.wait(self._chance.uniform(0, 0.3))
            except Exception as error:  # noqa: BLE001 -- whatever it is, the test must hear of it
                self._ledger.problem(f"{self.name}: {error!r}")

    def _connect(self) -> None:
        query = {"user_id": self.sender}
        if self.kind == "silent":
            query["device_id"] = self.name
        v1 = self.kind in ("seq", "position")
        gateway = self._chance.choice(self._ledger.gateways)
        link = Socket(gateway.gateway, query, v1=v1, slow=self._slow)
        self.connections += 1
        try:
            self._before, self._welcome = None, not v1
            if v1:
                link.send({"type": "hello", "batch": self._batch, **self._position()})
            self._listen(link)
        finally:
            link.cut(reset=self._chance.random() < 0.5)

    def _position(self) -> dict[str, Any]:
        if self.kind == "position" or self.seq is None:
            return {"device_id": self.name}
        return {"epoch": self._epoch, "seq": self.seq}

    def _listen(self, link: Socket) -> None:
        chance, ledger = self._chance, self._ledger
        leave = time.monotonic() + chance.uniform(0.2, 5)
        politely = chance.random() < 0.5
        opened, acknowledged = time.monotonic(), self.seq or 0
        while not ledger.over.is_set():
            frames = link.frames()
            for frame in frames:
                self._take(frame)
            have = self.seq or 0
            if self.kind == "position" and have > acknowledged and chance.random() < 0.5:
                link.send({"type": "ack", "seq": have})
                acknowledged = have
            link.confirm()
            if not self._welcome and time.monotonic() > opened + PATIENCE:
                ledger.problem(f"{self.name}: no welcome")
                return
            if ledger.peace.is_set():
                continue
            if time.monotonic() > leave:
                if not politely:
                    return
                link.start_close()
                if time.monotonic() > leave + PATIENCE:
                    ledger.problem(f"{self.name}: its close was not answered")
                    return
            elif self._slow and frames:
                time.sleep(chance.uniform(0, 0.5))

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "welcome":
                self._welcome, self._epoch = True, frame["epoch"]
            case "reset":
                if not self._ledger.excused:
                    self._ledger.problem(f"{self.name}: {frame}, having {self.seq}")
                self.seq = self._before = frame["seq"]
            case "read_receipt":
                self._event(frame)
            case "read_receipts" if self._batch:
                for receipt in frame["receipts"]:
                    self._event(receipt)
            case update if update in UPDATES and self.kind in ("seq", "position"):
                self._event(frame)
            case _:
                self._ledger.problem(f"{self.name}: {frame}")

    def _event(self, frame: dict[str, Any]) -> None:
        if "seq" not in frame:
            # Published in one epoch, read in another.
            if not self._ledger.excused:
                self._ledger.problem(f"{self.name}: {frame} has no seq")
            return
        seq: int = frame["seq"]
        self._ledger.pushed(self.name, self.sender, frame)
        if not (self._welcome and self._follows(seq)):
            self._ledger.problem(f"{self.name}: {seq}; here {self._before}, before {self.seq}")
        self._before, self.seq = seq, max(seq, self.seq or 0)

    def _follows(self, seq: int) -> bool:
        """Whether what comes now may come now; what it leaves out is noted."""
        excused, silent = self._ledger.excused, self.kind in ("live", "silent")
        have = self.seq or 0
        if self._before is not None:
            behind = self._before
        elif self.kind == "live" or (self.kind != "seq" and seq <= have):
            return True
        else:
            behind = have
        # A silent client is not told that something was trimmed under its feet.
        began = self._before is not None
        trimmed = excused and (silent if began else self.kind != "seq" or self.seq is None)
        if seq > behind + 1 and not trimmed:
            self._ledger.passed_over(Gap(self.name, self.sender, silent, behind + 1, seq))
        return seq > behind


class Reader(threading.Thread):
    """Marks in its own way: what was not answered again and again, what was now and then.

    Args:
        ledger: is told what was answered.
        way: one by one over HTTP, many at once, or over a socket.
        chance: decides for it.
    """

    def __init__(
        self, ledger: Ledger, way: Literal["http", "batch", "socket"], chance: random.Random
    ) -> None:
        self.user = f"reader{next(ledger.numbers)}"
        super().__init__(daemon=True, name=f"{self.user}-{way}")
        self._ledger = ledger
        self._chance = chance
        self._way = {"http": self._http, "batch": self._batch, "socket": self._socket}[way]
        self._open: list[Mark] = []
        self._answered: list[Mark] = []

    def run(self) -> None:
        """Mark, until enough is marked."""
        while not self._ledger.no_more_marks.is_set():
            try:
                self._way()
            except (OSError, http.client.HTTPException, Gone) as error:
                self._ledger.failed(type(error).__name__)
                self._pause(0.2)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the test must hear of it
                self._ledger.problem(f"{self.name}: {error!r}")
                self._pause(0.2)

    def _pause(self, seconds: float) -> None:
        self._ledger.no_more_marks.wait(self._chance.uniform(0, seconds))

    def _marks(self, most: int) -> list[Mark]:
        """Some marks to make: for one sender or for several."""
        chance = self._chance
        senders = self._ledger.senders
        if chance.random() < 0.5:
            senders = [chance.choice(senders)]
        return [self._mark(chance.choice(senders)) for _ in range(chance.randint(1, most))]

    def _mark(self, sender: str) -> Mark:
        dice = self._chance.random()
        if self._answered and dice < 0.1:
            return self._chance.choice(self._answered)
        if self._open and dice < 0.5:
            return self._open.pop(self._chance.randrange(len(self._open)))
        return {
            "msg_id": f"m{next(self._ledger.numbers)}",
            "reader_id": self.user,
            "sender_id": sender,
            "conversation_id": f"with-{sender}",
        }

    def _result(self, mark: Mark, result: dict[str, Any]) -> None:
        if result["success"]:
            self._ledger.answer(mark, result["receipt"])
            self._answered.append(mark)
        else:
            self._open.append(mark)
            self._ledger.failed(result["code"])
            if result["code"] not in PASSING:
                self._ledger.problem(f"{self.name}: {mark} was refused: {result}")

    def _http(self) -> None:
        self._request("/api/v1/messages/read", most=1)

    def _batch(self) -> None:
        self._request("/api/v1/messages/read/batch", most=100)

    def _request(self, path: str, most: int) -> None:
        api = self._chance.choice(self._ledger.apis)
        connection = http.client.HTTPConnection(urlsplit(api.api).netloc, timeout=PATIENCE)
        headers = {"Content-Type": "application/json"}
        with contextlib.closing(connection):
            for _ in range(self._chance.randint(1, 30)):
                marks = self._marks(most)
                body = json.dumps(marks[0] if most == 1 else {"receipts": marks})
                try:
                    connection.request("POST", path, body, headers)
                    answer = connection.getresponse()
                    document = json.loads(answer.read())
                except BaseException:
                    self._open += marks
                    raise
                results = document.get("results", [document] * len(marks))
                for mark, result in zip(marks, results, strict=True):
                    self._result(mark, result)
                if self._ledger.no_more_marks.is_set():
                    return
                self._pause(0.05 if most == 1 else 0.5)

    def _socket(self) -> None:
        gateway = self._chance.choice(self._ledger.gateways)
        link = Socket(gateway.gateway, {"user_id": self.user}, v1=True)
        waiting: dict[int, Mark] = {}
        try:
            link.send({"type": "hello"})
            leave = time.monotonic() + self._chance.uniform(1, 5)
            welcome = False
            while time.monotonic() < leave and not self._ledger.no_more_marks.is_set():
                for mark in self._marks(10) if welcome and len(waiting) < 50 else ():
                    ref = next(self._ledger.numbers)
                    waiting[ref] = mark
                    link.send({"type": "read", "ref": ref, **mark})
                for frame in link.frames():
                    welcome = welcome or frame["type"] == "welcome"
                    if frame["type"] == "read_result":
                        self._result(waiting.pop(frame["ref"]), frame)
                    elif frame["type"] != "welcome":
                        self._ledger.problem(f"{self.name}: {frame}")
                link.confirm()
                self._pause(0.2)
        finally:
            self._open += waiting.values()
            link.cut()
