"""How far a command is: shown to a terminal, and to nobody else."""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from seenby.cli import databases
from seenby.cli.progress import progress
from seenby.store.schema import migrate

if TYPE_CHECKING:
    from pathlib import Path


def terminal(file: io.StringIO, width: int = 100) -> Console:
    """A terminal that is looked at afterwards."""
    return Console(file=file, force_terminal=True, width=width)


def shown(file: io.StringIO) -> list[str]:
    """Every line that was ever there, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    return [" ".join(line.split()) for line in re.split(r"[\r\n]", text) if line.strip()]


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_where_the_end_is_known_there_is_a_bar() -> None:
    """So many of so many."""
    file = io.StringIO()
    with progress("things", 4, console=terminal(file)) as work:
        work.advance(4)
    assert "things" in file.getvalue()
    assert "4/4" in file.getvalue()


def test_where_it_is_not_there_is_a_number() -> None:
    """No end is made up; what is being done can change."""
    file = io.StringIO()
    with progress("things", console=terminal(file)) as work:
        work.advance()
        work.advance(2)
        work.now("other things")
    assert "other things 3" in " ".join(file.getvalue().split())
    assert "%" not in file.getvalue()
    assert "/" not in file.getvalue()


def test_elsewhere_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a file or a pipe goes the result alone."""
    with progress("things", 4) as work:
        work.advance()
        work.say("a line of the result")
    assert capsys.readouterr() == ("a line of the result\n", "")


def test_what_is_left_is_estimated_once_that_can_be_told() -> None:
    """By how fast it goes; nothing is said before, and nothing at the end."""
    file, clock = io.StringIO(), Clock()
    with progress("things", console=terminal(file), clock=clock) as work:
        work.of(1000)
        for _ in range(3):
            clock.now += 1
            work.advance(100)
            work.redraw()
        assert shown(file)[-1].endswith("300/1,000 0:00:03 0:00:07 left")
        clock.now += 7
        work.advance(700)
        work.redraw()
        assert shown(file)[-1].endswith("1,000/1,000 0:00:10")
    assert not any("-" in line for line in shown(file))


def test_where_one_takes_longer_than_the_other_nothing_is_estimated() -> None:
    """It would be made up."""
    file, clock = io.StringIO(), Clock()
    with progress("things", 4, even=False, console=terminal(file), clock=clock) as work:
        for _ in range(3):
            clock.now += 1
            work.advance()
            work.redraw()
    assert not any("left" in line for line in shown(file))


def test_each_part_has_a_count_of_its_own() -> None:
    """With an end where that part's is known."""
    file = io.StringIO()
    with progress("all", console=terminal(file)) as work:
        for what, done, total in (
            ("one", 1, None),
            ("one", 2, None),
            ("two", 10, 40),
            ("one", 0, 9),
        ):
            work.at(what, done, total)
            work.redraw()
            found = shown(file)[-1]
            assert what in found
            assert f" {done}/{total} " in found if total else f" {done} " in found


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 120])
def test_it_stays_on_one_line(width: int) -> None:
    """However narrow the terminal, with how far it is; words are cut before numbers."""
    file, clock = io.StringIO(), Clock()
    console = terminal(file, width)
    with progress("verifying the conversations", console=console, clock=clock) as work:
        work.of(12_345)
        for _ in range(3):
            clock.now += 1
            work.advance(10)
            work.redraw()
        assert "\n" not in file.getvalue().rstrip("\n").split("\r")[-1]
        assert ("30/12,345" if width > 20 else "30/") in shown(file)[-1]


def test_nobody_who_does_not_look_pays_for_a_total() -> None:
    """It need be asked for only where it is shown."""
    with progress("things", console=Console(file=io.StringIO(), force_terminal=False)) as work:
        assert not work.shown
    with progress("things", console=terminal(io.StringIO())) as work:
        assert work.shown


def test_the_step_of_a_migration_is_shown(tmp_path: Path) -> None:
    """By its number, what it is for and how many there are; the log is as before afterwards."""
    log = logging.getLogger("alembic.runtime.migration")
    before = (log.level, list(log.handlers))
    file = io.StringIO()
    with (
        progress("migrating, steps", console=terminal(file, 400)) as work,
        databases._following_steps(work),
    ):
        applied = migrate(f"sqlite:///{tmp_path}/seenby.db")
        work.redraw()
    revision, _, what = applied[-1].partition(": ")
    last = shown(file)[-1]
    assert f"migrating {revision}, {what}, steps" in last
    assert f" {len(applied) - 1}/{len(applied)} " in last
    assert (log.level, list(log.handlers)) == before


def test_a_migration_that_begins_in_the_middle_has_the_rest_to_do() -> None:
    """Steps that were done before are no part of it."""
    whole = databases._steps_after("")
    assert databases._steps_after("0001") == whole - 1
    assert databases._steps_after("0003") == whole - 3
