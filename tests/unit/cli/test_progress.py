"""How far a command is: shown to a terminal, and to nobody else."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from rich.console import Console

from seenby.cli import databases
from seenby.cli.progress import progress
from seenby.store.schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def terminal(file: io.StringIO) -> Console:
    """A terminal that is looked at afterwards."""
    return Console(file=file, force_terminal=True, width=100)


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


def test_the_step_of_a_migration_is_shown(tmp_path: Path) -> None:
    """By its number and what it is for; Alembic's log is as before afterwards."""
    log = logging.getLogger("alembic.runtime.migration")
    before = (log.level, list(log.handlers))
    file = io.StringIO()
    with (
        progress("migrating, steps", console=terminal(file)) as work,
        databases._following_steps(work),
    ):
        applied = migrate(f"sqlite:///{tmp_path}/seenby.db")
    revision, _, what = applied[-1].partition(": ")
    assert f"migrating {revision}, {what}, steps {len(applied)}" in " ".join(
        file.getvalue().split()
    )
    assert (log.level, list(log.handlers)) == before
