"""One timer for all sessions, and no more memory than its sessions need."""

from __future__ import annotations

from seenby.gateway.session import Session
from seenby.gateway.wheel import Wheel


def session() -> Session:
    """Somebody who waits."""
    return Session(silent=True, user_id="u", device_id="", now=0.0)


def test_a_session_is_looked_at_at_the_first_tick_past_its_deadline() -> None:
    """Never before, once."""
    wheel, waits = Wheel(100.9, tick=1.0), session()
    wheel.add(waits, 103.2)
    assert wheel.due(103.9) == []
    assert wheel.due(104.0) == [waits]
    assert wheel.due(200.0) == []


def test_a_deadline_that_has_passed_is_due_at_the_next_tick() -> None:
    """Whatever it was."""
    wheel, waits = Wheel(100.0, tick=1.0), session()
    wheel.add(waits, 5.0)
    assert wheel.due(100.9) == []
    assert wheel.due(101.0) == [waits]


def test_an_earlier_deadline_counts_and_the_later_place_is_passed_over() -> None:
    """A session waits in one place."""
    wheel, waits = Wheel(0.0, tick=1.0), session()
    wheel.add(waits, 30.0)
    wheel.add(waits, 2.0)
    wheel.add(waits, 9.0)
    assert wheel.due(3.0) == [waits]
    assert wheel.due(60.0) == []


def test_a_later_deadline_is_only_kept_when_moved() -> None:
    """add() may look too early, move() does not."""
    wheel, waits = Wheel(0.0, tick=1.0), session()
    wheel.add(waits, 2.0)
    wheel.add(waits, 30.0)
    assert wheel.due(3.0) == [waits]
    wheel.add(waits, 10.0)
    wheel.move(waits, 30.0)
    assert wheel.due(30.0) == []
    assert wheel.due(31.0) == [waits]


def test_ticks_that_were_slept_through_are_not_lost() -> None:
    """A busy loop looks late, in order."""
    wheel, first, second = Wheel(0.0, tick=1.0), session(), session()
    wheel.add(second, 7.0)
    wheel.add(first, 3.0)
    assert wheel.due(1000.0) == [first, second]


def test_being_brought_forward_every_second_costs_no_growing_memory() -> None:
    """A device that is pushed to for hours keeps as many places as a heartbeat has seconds."""
    wheel, waits = Wheel(0.0, tick=1.0), session()
    for second in range(5000):
        wheel.add(waits, float(second))
        for due in wheel.due(second + 1.0):
            wheel.add(due, second + 31.0)
    assert sum(len(slot) for slot in wheel._slots.values()) <= 32


def test_a_tick_may_be_a_part_of_a_second() -> None:
    """Four looks a second find a deadline at most a quarter of a second late."""
    wheel, waits = Wheel(100.1, tick=0.25), session()
    wheel.add(waits, 100.8)
    assert wheel.due(100.99) == []
    assert wheel.due(101.0) == [waits]
