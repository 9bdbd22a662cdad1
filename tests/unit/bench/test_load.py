"""Requests and free slots, on a clock that stands still."""

from __future__ import annotations

import pytest

from seenby.bench.load import TICK, Load
from seenby.bench.schedule import Schedule
from seenby.testing import ManualClock


class Slot:
    """A connection that remembers the times its requests were meant for."""

    def __init__(self) -> None:
        self.sent: list[float] = []

    def send(self, meant: float) -> None:
        """See Slot."""
        self.sent.append(meant)


def loaded(rate: float, slots: int) -> tuple[ManualClock, Load, list[Slot]]:
    """A load from 10 to 20 on a clock that shows 10, and so many free slots."""
    clock = ManualClock(10.0)
    load = Load(Schedule(rate, 10.0, 20.0), clock)
    found = [Slot() for _ in range(slots)]
    for slot in found:
        load.free(slot)
    return clock, load, found


def test_in_the_closed_loop_a_free_slot_sends_at_once() -> None:
    """Until the end."""
    clock, load, [slot] = loaded(0, 1)
    clock.now = 19.0
    load.free(slot)
    clock.now = 20.0
    load.free(slot)
    assert slot.sent == [10.0, 19.0]


def test_in_the_open_loop_free_slots_wait_for_their_time() -> None:
    """One request for each that is due; the slot that has waited longest goes first."""
    clock, load, [first, second] = loaded(2, 2)
    assert (first.sent, second.sent) == ([10.0], [])
    clock.now = 10.5
    load.look()
    assert (first.sent, second.sent) == ([10.0], [10.5])


def test_a_request_that_finds_no_free_slot_keeps_its_time() -> None:
    """No coordinated omission: what it waits for a slot counts as latency."""
    clock, load, [slot] = loaded(2, 1)
    clock.now = 11.2
    load.look()
    assert slot.sent == [10.0]
    load.free(slot)
    load.free(slot)
    load.free(slot)
    assert slot.sent == [10.0, 10.5, 11.0]


def test_the_next_look_is_when_the_next_request_is_due() -> None:
    """But not at once, where requests are closer together than a wake-up is worth."""
    _, load, _ = loaded(2, 1)
    assert load.look() == pytest.approx(0.5)
    _, load, _ = loaded(1_000_000, 1)
    assert load.look() == pytest.approx(TICK)


def test_a_late_look_is_the_generators_own_fault() -> None:
    """The worst one is remembered; a look in time changes nothing."""
    clock, load, _ = loaded(2, 0)
    load.look()
    assert load.behind == 0.0
    clock.now = 10.0 + TICK + 0.25
    clock.advance(load.look())
    load.look()
    assert load.behind == pytest.approx(0.25)


def test_a_busy_server_does_not_put_the_generator_behind() -> None:
    """Requests may wait for a slot while every look is in time."""
    clock, load, _ = loaded(1000, 0)
    for _ in range(10):
        clock.advance(load.look())
    assert load.behind == pytest.approx(0.0)


def test_a_slot_that_is_gone_gets_nothing() -> None:
    """A server may close a connection that it finds idle; others are not touched."""
    clock, load, [busy, idle, other] = loaded(1, 3)
    load.gone(idle)
    load.gone(busy)
    clock.now = 12.0
    load.look()
    assert (busy.sent, idle.sent, other.sent) == ([10.0], [], [11.0])
