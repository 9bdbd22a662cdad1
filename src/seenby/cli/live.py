"""The live view of `seenby watch`: the connection, the place in the stream, the latest events."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from seenby.cli.application import counted
from seenby.client import (
    Connected,
    Pushed,
    ReadCount,
    ReadSelf,
    Reset,
    UnreadSelf,
    Withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from seenby.client import Position
    from seenby.client.frames import Item
    from seenby.client.stream import Notice

LATEST_MAX = 100
"""Events that are kept to be shown; how many of them are depends on the terminal's height."""

AROUND = 6
"""Lines that are not events: the status, and what is around the table."""

WIDE = 80
"""Columns from which on there is room for the conversation too."""

NARROW = 60
"""Columns up to which the time makes room for what has happened."""

RATE_OVER = 10.0
"""Seconds over which the rate is counted."""

REFRESH_PER_SECOND = 8


class View:
    """What is known of one stream, and how it looks.

    Args:
        user: whose stream it is.
        clock: seconds of any steady clock.
    """

    def __init__(self, user: str, *, clock: Callable[[], float]) -> None:
        self._user = user
        self._clock = clock
        self._state = Text("connecting", style="yellow")
        self._position: Position | None = None
        self._head = 0
        self._count = 0
        self._times: deque[float] = deque()
        self._latest: deque[Item] = deque(maxlen=LATEST_MAX)

    @contextlib.contextmanager
    def shown(self, console: Console | None = None) -> Iterator[View]:
        """Show it until the block ends; what is shown last stays."""
        console = console or Console()
        with Live(
            get_renderable=lambda: self.picture(console.height, console.width),
            console=console,
            refresh_per_second=REFRESH_PER_SECOND,
        ):
            yield self

    def notice(self, notice: Notice) -> None:
        """How the connection is."""
        if isinstance(notice, Connected):
            self._head = notice.head.seq
            self._state = Text("connected", style="green")
            return
        again = f"again in {notice.retry_in:.0f} s" if notice.retry_in >= 1 else "again now"
        self._state = Text(f"disconnected ({notice.code}): ", style="red")
        self._state.append(_printable(f"{notice.reason}; {again}"))

    def show(self, item: Item) -> None:
        """What has come."""
        self._latest.append(item)
        self._position = item.position or self._position
        if isinstance(item, Reset):
            self._head = item.seq
            return
        self._head = max(self._head, item.seq)
        self._count += 1
        self._times.append(self._clock())

    def picture(self, height: int, width: int) -> RenderableType:
        """How it looks on a terminal of so many lines and columns."""
        while self._times and self._times[0] <= self._clock() - RATE_OVER:
            self._times.popleft()
        status = Text.assemble((self._user, "bold"), "  ", self._state)
        place = "" if self._position is None else f"at {self._position.seq:,} of {self._head:,}, "
        rate = len(self._times) / RATE_OVER
        numbers = Text(f"{place}{counted(self._count, 'event')}, {rate:.1f}/s", style="dim")
        return Group(status, numbers, self._table(max(1, height - AROUND), width))

    def _table(self, rows: int, width: int) -> Table:
        table = Table(box=SIMPLE_HEAD, expand=True, highlight=False, pad_edge=False)
        table.add_column("seq", justify="right", style="dim", no_wrap=True)
        if width > NARROW:
            table.add_column("time", style="dim", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("what", overflow="ellipsis", no_wrap=True, ratio=2)
        table.add_column("message", overflow="ellipsis", no_wrap=True, ratio=1)
        if width >= WIDE:
            table.add_column("conversation", overflow="ellipsis", no_wrap=True, ratio=1)
        for item in list(self._latest)[-rows:][::-1]:
            seq, time, *others = _row(item)
            cells = (seq, time, *others) if width > NARROW else (seq, *others)
            table.add_row(*cells[: len(table.columns)])
        return table


def _row(item: Item) -> tuple[Text, ...]:
    if isinstance(item, Reset):
        words = "gap: an application loads anew"
        cells = (f"{item.seq:,}", "", "↺", words, "", "")
    else:
        mark, words = _tick(item)
        seq = f"{item.seq:,}" if item.seq else "live"
        time = f"{item.pushed_at.astimezone():%H:%M:%S}"
        cells = (seq, time, mark, words, item.msg_id, item.conversation_id)
    styles = ("", "", _STYLES.get(cells[2], ""), "", "", "")
    return tuple(Text(_printable(cell), style) for cell, style in zip(cells, styles, strict=True))


_STYLES = {"✓✓": "cyan", "✓": "cyan", "✗": "red", "↺": "yellow"}


def _tick(item: Pushed | ReadCount | Withdrawn | ReadSelf | UnreadSelf) -> tuple[str, str]:
    """The tick, and what has happened in words."""
    match item:
        case Pushed():
            ticks = "✓✓" if item.of is None or item.read == item.of else "✓"
            return ticks, f"read by {item.reader_id}{_counted(item.read, item.of)}"
        case ReadCount():
            return "✓✓" if item.read == item.of else "✓", f"read by {item.read:,} of {item.of:,}"
        case Withdrawn():
            return "✗", f"taken back by {item.reader_id}{_counted(item.read, item.of)}"
        case ReadSelf():
            all_before = ", and all before it" if item.up_to else ""
            where = f" on {item.device_id}" if item.device_id else ""
            return "•", f"you have read it{all_before}{where}{_left(item.unread)}"
        case UnreadSelf():
            return "•", f"you have made it unread{_left(item.unread)}"


def _counted(read: int | None, of: int | None) -> str:
    return "" if read is None or of is None else f" ({read:,} of {of:,})"


def _left(unread: int | None) -> str:
    return "" if unread is None else f"; {unread:,} unread here"


def _printable(text: str) -> str:
    """Without control characters: what comes from elsewhere must not steer the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "�", text)
