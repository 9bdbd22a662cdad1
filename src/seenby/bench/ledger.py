"""What was asked, answered and delivered: every mark once to each device, and in order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec

from seenby.bench.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable


class Device(Protocol):
    """A socket that remembers the last seq it was given."""

    seq: int


class _Frame(msgspec.Struct, gc=False):
    msg_id: str = ""
    seq: int = 0


_decode = msgspec.json.Decoder(_Frame).decode


class Ledger:
    """The books of one run. Marks are numbered from 0; a number is the end of its msg_id.

    Args:
        tag: what the run's message ids begin with.
        devices: how many listen for each sender; 0: nobody does.
        clock: seconds.
    """

    def __init__(self, tag: str, devices: int, clock: Callable[[], float]) -> None:
        self.tag = tag
        self.count_from = 0.0
        """Latencies of marks meant to begin before this are not counted: the warm-up."""
        self.asked = 0
        self.marks = 0
        self.refusals: Counter[str] = Counter()
        self.answers = Histogram()
        self.pushes = Histogram()
        self.deliveries = 0
        self.doubled = 0
        self.out_of_order = 0
        self._clock = clock
        self._prefix = f"{tag}-"
        self._refused = bytearray()
        # By device: the marks that are still to come there, and when each was meant to begin.
        self._coming: list[dict[int, float]] = [{} for _ in range(devices)]

    @property
    def unanswered(self) -> int:
        """Marks of which nothing has been heard."""
        return self.asked - self.marks - self.refusals.total()

    @property
    def missing(self) -> int:
        """Deliveries that are still to come."""
        return sum(map(len, self._coming))

    def begin(self, meant: float, count: int = 1) -> int:
        """*count* marks begin; the number of the first."""
        first = self.asked
        self.asked += count
        self._refused += bytes(count)
        for coming in self._coming:
            for number in range(first, self.asked):
                coming[number] = meant
        return first

    def answered(self, meant: float, count: int = 1) -> None:
        """*count* marks that were meant to begin at *meant* are recorded."""
        self.marks += count
        if meant >= self.count_from:
            self.answers.add(self._clock() - meant, count)

    def refused(self, number: int, why: str) -> None:
        """A mark is not recorded, or nobody knows: nothing has to come of it, though it may."""
        self.refusals[why] += 1
        self._refused[number] = 1
        for coming in self._coming:
            coming.pop(number, None)

    def listener(self, device: int) -> Callable[[Device, bytes], None]:
        """What takes the messages to each sender's device of that number."""
        coming = self._coming[device]
        prefix, clock, skipped = self._prefix, self._clock, len(self._prefix)

        def took(to: Device, message: bytes) -> None:
            now = clock()
            frame = _decode(message)
            if not frame.msg_id.startswith(prefix):
                return
            self.deliveries += 1
            number = int(frame.msg_id[skipped:])
            meant = coming.pop(number, None)
            if meant is None:
                # A mark that ended in an error may have been recorded for all that.
                self.doubled += not self._refused[number]
                return
            if frame.seq <= to.seq:
                self.out_of_order += 1
            to.seq = frame.seq
            if meant >= self.count_from:
                self.pushes.add(now - meant)

        return took
