"""How far a command is, for whoever looks at a terminal; elsewhere nothing is shown.

On standard error, so that results can be piped away meanwhile. Where the end is known there is a
bar, else a number that grows; both with the time that has passed.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Work:
    """A piece of work that is going on.

    Args:
        bar: what shows it.
        what: in a word or two, with what is counted.
        total: how many there are; None when nobody knows.
    """

    def __init__(self, bar: Progress, what: str, total: float | None) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._bar.advance(self._task, count)

    def now(self, what: str) -> None:
        """This is what is being done now."""
        self._bar.update(self._task, description=what)

    def say(self, line: str) -> None:
        """Print a line of the result without spoiling what is shown."""
        if self._bar.disable or not sys.stdout.isatty():
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress(
    what: str, total: float | None = None, *, console: Console | None = None
) -> Iterator[Work]:
    """Show how far something is until the block ends.

    Args:
        what: in a word or two, with what is counted: "verifying, conversations".
        total: how many there are; None when nobody knows.
        console: where to; default: standard error.
    """
    console = console or Console(stderr=True)
    count: tuple[ProgressColumn, ...] = (BarColumn(), MofNCompleteColumn())
    if total is None:
        count = (TextColumn("{task.completed:.0f}"),)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *count,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # What is printed is the result, which may go elsewhere than to this terminal.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        yield Work(bar, what, total)
