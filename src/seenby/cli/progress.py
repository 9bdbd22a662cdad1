"""How far a command is, for whoever looks at a terminal; elsewhere nothing is shown.

On standard error, so that results can be piped away meanwhile. Where the end is known there is a
bar, and an estimate of what is left as soon as there is something to go by; else a number that
grows; both with the time that has passed.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType
    from rich.progress import Task


ROOM_FOR_BAR = 80
ROOM_FOR_TIMES = 70
"""Columns of a terminal from which on these are shown too, so that all stays on one line."""


class Work:
    """A piece of work that is going on.

    Args:
        bar: what shows it.
        what: in a word or two, with what is counted.
        total: how many there are; None when nobody knows.
    """

    def __init__(self, bar: Progress, what: str, total: float | None) -> None:
        self._bar = bar
        self._what = what
        self._task = bar.add_task(what, total=total)

    @property
    def shown(self) -> bool:
        """Whether anybody looks: else a total need not be asked for."""
        return not self._bar.disable

    def of(self, total: float) -> None:
        """So many there are."""
        self._bar.update(self._task, total=total)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._bar.advance(self._task, count)

    def now(self, what: str) -> None:
        """This is what is being done now; the counting goes on."""
        self._bar.update(self._task, description=what)

    def at(self, what: str, done: float, total: float | None) -> None:
        """So much of one part is done; another part has a count and a time of its own."""
        if what != self._what:
            self._bar.remove_task(self._task)
            self._what = what
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total)

    def redraw(self) -> None:
        """Show it as it is now; that happens by itself ten times a second."""
        self._bar.refresh()

    def say(self, line: str) -> None:
        """Print a line of the result without spoiling what is shown."""
        if self._bar.disable or not sys.stdout.isatty():
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Bar(BarColumn):
    """A bar where the end is known."""

    def render(self, task: Task) -> RenderableType:  # type: ignore[override]  # nothing is something
        return Text() if task.total is None else super().render(task)


class _Count(ProgressColumn):
    """How many, and of how many."""

    def render(self, task: Task) -> Text:
        done = f"{task.completed:,.0f}"
        return Text(done if task.total is None else f"{done}/{task.total:,.0f}")


class _Left(TimeRemainingColumn):
    """How long it will take, once that can be told from how fast it goes."""

    def render(self, task: Task) -> Text:
        if task.total is None or task.time_remaining is None or task.finished:
            return Text()
        return Text.assemble(super().render(task), " left")


def _column() -> Column:
    return Column(no_wrap=True, overflow="ellipsis")


@contextlib.contextmanager
def progress(
    what: str,
    total: float | None = None,
    *,
    even: bool = True,
    console: Console | None = None,
    clock: Callable[[], float] | None = None,
) -> Iterator[Work]:
    """Show how far something is until the block ends.

    Args:
        what: in a word or two, with what is counted: "verifying, conversations".
        total: how many there are; None when nobody knows.
        even: each takes about as long as the one before, so that what is left can be estimated.
        console: where to; default: standard error.
        clock: seconds of any steady clock; for tests.
    """
    console = console or Console(stderr=True)
    what_column = _column()
    shown: list[ProgressColumn] = [TextColumn("{task.description}", table_column=what_column)]
    if console.width >= ROOM_FOR_BAR:
        what_column.max_width = console.width // 3
        shown.append(_Bar(bar_width=20))
    shown.append(_Count(_column()))
    if console.width >= ROOM_FOR_TIMES:
        shown.append(TimeElapsedColumn(_column()))
        if even:
            shown.append(_Left(table_column=_column()))
    bar = Progress(
        SpinnerColumn(),
        *shown,
        console=console,
        get_time=clock,
        transient=True,
        disable=not console.is_terminal,
        # What is printed is the result, which may go elsewhere than to this terminal.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        yield Work(bar, what, total)
