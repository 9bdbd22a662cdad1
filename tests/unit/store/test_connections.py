"""Trying again: what is tried, for how long, and what it ends with."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

import pytest
from sqlalchemy.exc import OperationalError

from seenby.errors import SchemaError, StoreRefused, StoreUnavailable
from seenby.store import connections as module
from seenby.store.connections import Connections, Dialect, Fault, keep_trying
from seenby.store.url import database_at
from seenby.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


class Time:
    """Stands for the module ``time``: only pauses take any."""

    def __init__(self) -> None:
        self.monotonic = ManualClock(1000.0)
        self.sleep = self.monotonic.advance


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The clock by which the store gives up."""
    time = Time()
    monkeypatch.setattr(module, "time", time)
    return time.monotonic


class DriverError(Exception):
    """What the driver raises; it carries its own meaning."""


class Told:
    """A dialect for which errors mean what they say."""

    errors: tuple[type[Exception], ...] = (DriverError,)

    def fault(self, error: Exception) -> Fault:
        """What the error carries."""
        fault: Fault = error.args[0]
        return fault


DIALECT = cast("Dialect", Told())


class Failing:
    """Work that fails a few times, then says how often it was done."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.times = 0

    def __call__(self) -> int:
        """Fail, or answer."""
        self.times += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.times


def for_ever(error: Exception) -> Failing:
    """Work that never succeeds."""
    return Failing(*[error] * 10_000)


def test_work_that_succeeds_is_done_once() -> None:
    """Its answer is the caller's."""
    assert keep_trying(DIALECT, Failing(), 0.0) == 1


def test_a_passing_failure_is_tried_again() -> None:
    """As often as it passes within the time."""
    assert keep_trying(DIALECT, Failing(*[DriverError(Fault.PASSING)] * 3), 5.0) == 4


def test_the_time_for_trying_again_ends(clock: ManualClock) -> None:
    """With StoreUnavailable, the driver's words, and its error as the cause; never later."""
    error = DriverError(Fault.PASSING, "gone")
    work = for_ever(error)
    with pytest.raises(StoreUnavailable, match=r"not available.*gone") as raised:
        keep_trying(DIALECT, work, 0.1)
    assert raised.value.__cause__ is error
    assert work.times > 1
    assert 1000.0 < clock.now <= 1000.1


def test_no_time_is_one_attempt() -> None:
    """A store that may not wait does not."""
    work = Failing(DriverError(Fault.PASSING))
    with pytest.raises(StoreUnavailable):
        keep_trying(DIALECT, work, 0.0)
    assert work.times == 1


@pytest.mark.parametrize(
    ("fault", "outcome"), [(Fault.AWAY, StoreUnavailable), (Fault.REFUSED, StoreRefused)]
)
@pytest.mark.parametrize("racing", [False, True])
def test_what_cannot_pass_is_not_tried_again(
    fault: Fault, outcome: type[Exception], racing: bool
) -> None:
    """A database that is away for long, a value that does not fit."""
    work = Failing(DriverError(fault))
    with pytest.raises(outcome):
        keep_trying(DIALECT, work, 5.0, racing=racing)
    assert work.times == 1


def test_a_lost_race_is_tried_again_where_there_is_one() -> None:
    """Elsewhere a key that is there already is a value that does not fit."""
    assert keep_trying(DIALECT, Failing(DriverError(Fault.RACE)), 5.0, racing=True) == 2
    with pytest.raises(StoreRefused):
        keep_trying(DIALECT, Failing(DriverError(Fault.RACE)), 5.0)


@pytest.mark.parametrize(
    "error", [OverflowError("too big"), UnicodeEncodeError("ascii", "\u00e9", 0, 1, "no")]
)
def test_what_no_driver_can_pass_on_is_refused(error: Exception) -> None:
    """It never reached the database."""
    with pytest.raises(StoreRefused, match="cannot hold"):
        keep_trying(DIALECT, Failing(error), 5.0)


def test_sqlalchemys_errors_mean_what_is_inside() -> None:
    """It wraps what goes wrong while it looks at a new connection."""
    wrapped = OperationalError("SELECT 1", {}, DriverError(Fault.PASSING))
    assert keep_trying(DIALECT, Failing(wrapped), 5.0) == 2


@pytest.mark.parametrize(
    "error", [SchemaError("too old"), KeyError("a bug"), StoreUnavailable("closed")]
)
def test_other_errors_go_through(error: Exception) -> None:
    """What is not the driver's is not tried again, nor hidden."""
    work = Failing(error)
    with pytest.raises(type(error)) as raised:
        keep_trying(DIALECT, work, 5.0)
    assert (raised.value, work.times) == (error, 1)


class TestAway:
    """A database that is away is found out once, and not by everybody anew."""

    LOCKED = "database is locked"

    def connections(self, folder: Path) -> Connections:
        """Connections to an SQLite file, which wait a twentieth of a second for it."""
        return Connections(database_at(f"sqlite:///{folder}/a.db"), retry_seconds=0.05)

    def locked(self) -> sqlite3.OperationalError:
        """What SQLite says while another process writes."""
        error = sqlite3.OperationalError(self.LOCKED)
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        return error

    def tries(self, connections: Connections, work: Failing) -> int:
        """How often work that fails is tried."""
        before = work.times
        with pytest.raises(StoreUnavailable):
            connections.run(lambda _: work())
        return work.times - before

    def test_the_next_calls_try_once(self, tmp_path: Path) -> None:
        """Whoever comes after the first is told at once."""
        connections = self.connections(tmp_path)
        work = Failing(*[self.locked()] * 10_000)

        assert self.tries(connections, work) > 1
        assert [self.tries(connections, work) for _ in range(3)] == [1, 1, 1]
        connections.close()

    def test_an_answer_ends_it(self, tmp_path: Path) -> None:
        """Once the database has answered, patience is back."""
        connections = self.connections(tmp_path)
        self.tries(connections, Failing(*[self.locked()] * 10_000))
        assert connections.run(lambda _: 1) == 1

        assert self.tries(connections, Failing(*[self.locked()] * 10_000)) > 1
        connections.close()
