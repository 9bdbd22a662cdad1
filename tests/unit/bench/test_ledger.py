"""Each mark once to each device, in order: every way to miss that is counted."""

from __future__ import annotations

import json

import pytest

from seenby.bench.ledger import Ledger
from seenby.testing import ManualClock


class Phone:
    """A device."""

    seq = 0


class Run:
    """A ledger on a clock that stands still, and one sender with some devices."""

    def __init__(self, devices: int = 1) -> None:
        self.clock = ManualClock(100.0)
        self.ledger = Ledger("t", devices, self.clock)
        self.phones = [Phone() for _ in range(devices)]
        self._take = [self.ledger.listener(number) for number in range(devices)]

    def push(self, number: int, seq: int, device: int = 0, tag: str = "t") -> None:
        """A receipt comes to a device."""
        frame = {"type": "read_receipt", "msg_id": f"{tag}-{number:09}", "seq": seq}
        self._take[device](self.phones[device], json.dumps(frame).encode())

    @property
    def wrong(self) -> tuple[int, int, int]:
        """Missing, doubled, out of order."""
        return self.ledger.missing, self.ledger.doubled, self.ledger.out_of_order


def test_once_to_each_device_in_order_is_well() -> None:
    """Whether the answer or the receipt comes first."""
    run = Run(devices=2)
    assert run.ledger.begin(100.0, 2) == 0
    run.ledger.answered(100.0, 2)
    for device in (0, 1):
        run.push(1, seq=7, device=device)
        run.push(0, seq=8, device=device)
    assert run.wrong == (0, 0, 0)
    assert (run.ledger.asked, run.ledger.marks, run.ledger.deliveries) == (2, 2, 4)
    assert run.ledger.unanswered == 0


def test_each_device_is_looked_at_alone() -> None:
    """One that gets a receipt twice does not stand in for one that gets none."""
    run = Run(devices=2)
    run.ledger.begin(100.0)
    run.push(0, seq=1, device=0)
    run.push(0, seq=1, device=0)
    assert run.wrong == (1, 1, 0)


def test_a_seq_that_does_not_grow_is_out_of_order() -> None:
    """On one device; a hole is not: others may mark messages of the sender too."""
    run = Run()
    run.ledger.begin(100.0, 3)
    run.push(0, seq=5)
    run.push(1, seq=4)
    run.push(2, seq=9)
    assert run.wrong == (0, 0, 1)


def test_a_receipt_without_a_seq_is_out_of_order() -> None:
    """An API gives one to every mark."""
    run = Run()
    run.ledger.begin(100.0)
    run.push(0, seq=0)
    assert run.wrong == (0, 0, 1)


def test_nothing_has_to_come_of_a_refused_mark() -> None:
    """Though it may: an answer that got lost says nothing."""
    run = Run()
    run.ledger.begin(100.0, 2)
    run.ledger.refused(0, "503")
    run.ledger.refused(1, "connection lost")
    run.push(1, seq=1)
    assert run.wrong == (0, 0, 0)
    assert run.ledger.refusals == {"503": 1, "connection lost": 1}
    assert run.ledger.unanswered == 0


def test_receipts_of_others_are_not_counted() -> None:
    """Another run may load the same senders."""
    run = Run()
    run.ledger.begin(100.0)
    run.push(0, seq=1, tag="other")
    assert run.wrong == (1, 0, 0)
    assert run.ledger.deliveries == 0


def test_latencies_count_from_the_time_a_mark_was_meant_to_begin() -> None:
    """To the answer once, and to each device."""
    run = Run(devices=2)
    run.ledger.begin(100.0)
    run.clock.now = 100.25
    run.ledger.answered(100.0)
    run.clock.now = 101.0
    run.push(0, seq=1, device=0)
    run.clock.now = 102.0
    run.push(0, seq=1, device=1)
    assert run.ledger.answers.longest == 0.25
    assert run.ledger.pushes.count == 2
    assert run.ledger.pushes.percentile(0.5) == pytest.approx(1.0, rel=0.02)
    assert run.ledger.pushes.longest == 2.0


def test_the_warm_up_has_no_latencies() -> None:
    """Its marks are looked at like all others."""
    run = Run()
    run.ledger.count_from = 101.0
    for number, meant in enumerate((100.9, 101.0)):
        run.ledger.begin(meant)
        run.ledger.answered(meant)
        run.push(number, seq=number + 1)
    assert run.ledger.marks == 2
    assert run.wrong == (0, 0, 0)
    assert (run.ledger.answers.count, run.ledger.pushes.count) == (1, 1)


def test_without_devices_nothing_is_missing() -> None:
    """Only answers are measured then."""
    run = Run(devices=0)
    run.ledger.begin(100.0)
    run.ledger.answered(100.0)
    assert run.wrong == (0, 0, 0)
