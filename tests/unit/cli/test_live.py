"""The live view: what somebody in front of a terminal sees."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from seenby.cli.live import LATEST_MAX, RATE_OVER, View
from seenby.client import (
    Connected,
    Disconnected,
    Position,
    Pushed,
    ReadCount,
    ReadSelf,
    Reset,
    UnreadSelf,
    Withdrawn,
)

if TYPE_CHECKING:
    from seenby.client.frames import Item

AT = datetime(2024, 1, 1, 12, tzinfo=UTC)


def place(seq: int) -> dict[str, Any]:
    """Where an event stands."""
    return {"pushed_at": AT, "epoch": "e", "seq": seq}


def pushed(seq: int, **more: Any) -> Pushed:
    """The receipt of message m<seq>."""
    arguments = {"msg_id": f"m{seq}", "reader_id": "bob", "conversation_id": "team"} | more
    return Pushed(read_at=AT, **arguments, **place(seq))


class Screen:
    """A view, a clock in the hand, and how it looks."""

    def __init__(self) -> None:
        self.now = 100.0
        self.view = View("alice", clock=lambda: self.now)

    def lines(self, height: int = 24, width: int = 100) -> list[str]:
        """What is on the screen."""
        file = io.StringIO()
        Console(file=file, width=width, height=height).print(self.view.picture(height, width))
        return file.getvalue().splitlines()

    def text(self, **more: int) -> str:
        """The same as one text."""
        return "\n".join(self.lines(**more))


def test_the_connection_is_told() -> None:
    """Before, during and after: with the reason, and when it is tried again."""
    screen = Screen()
    assert "alice  connecting" in screen.text()
    screen.view.notice(Connected(resumed=True, head=Position("e", 7)))
    assert "alice  connected" in screen.text()
    screen.view.notice(Disconnected(1006, "the connection is lost", 12.3))
    assert "disconnected (1006): the connection is lost; again in 12 s" in screen.text()
    screen.view.notice(Disconnected(4000, "the gateway stops", 0.0))
    assert "again now" in screen.text()


def test_the_place_in_the_stream_is_told() -> None:
    """How far it is of how much there is; the head moves with what comes."""
    screen = Screen()
    screen.view.notice(Connected(resumed=True, head=Position("e", 1500)))
    screen.view.show(pushed(1200))
    assert "at 1,200 of 1,500, 1 event," in screen.text()
    screen.view.show(pushed(1501))
    assert "at 1,501 of 1,501, 2 events" in screen.text()
    screen.view.show(pushed(0))
    assert "at 1,501 of 1,501, 3 events" in screen.text()


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """It falls to nothing when nothing comes."""
    screen = Screen()
    for seq in range(1, 51):
        screen.view.show(pushed(seq))
    assert "50 events, 5.0/s" in screen.text()
    screen.now += RATE_OVER
    assert "50 events, 0.0/s" in screen.text()


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (pushed(1), "✓✓ read by bob m1 team"),
        (pushed(1, read=5, of=10), "✓ read by bob (5 of 10) m1 team"),
        (pushed(1, read=10, of=10), "✓✓ read by bob (10 of 10) m1 team"),
        (ReadCount("m1", "team", 512, 2000, **place(1)), "✓ read by 512 of 2,000 m1 team"),
        (ReadCount("m1", "team", 9, 9, **place(1)), "✓✓ read by 9 of 9 m1 team"),
        (
            Withdrawn("m1", "bob", "team", AT, 4, 10, **place(1)),
            "✗ taken back by bob (4 of 10) m1 team",
        ),
        (
            ReadSelf("m1", "team", AT, 3, "phone", up_to=True, **place(1)),
            "• you have read it, and all before it on phone; 3 unread here m1 team",
        ),
        (ReadSelf("m1", "team", AT, None, **place(1)), "• you have read it m1 team"),
        (UnreadSelf("m1", "team", 1, **place(1)), "you have made it unread; 1 unread here"),
        (Reset("e", 1), "↺ gap: an application loads anew"),
    ],
)
def test_each_kind_of_event_in_a_line(item: Item, words: str) -> None:
    """With its tick, and in words."""
    screen = Screen()
    screen.view.show(item)
    [line] = [line for line in screen.lines(width=180) if re.match(r" *1 ", line)]
    assert words in " ".join(line.split())


def test_a_narrow_terminal_shows_what_matters() -> None:
    """The conversation is left out before what has happened is cut."""
    screen = Screen()
    screen.view.show(pushed(1, read=5, of=10))
    assert "read by bob (5 of 10)" in screen.text(width=60)
    assert "team" not in screen.text(width=60)
    assert "team" in screen.text(width=80)
    time = f"{AT.astimezone():%H:%M:%S}"
    assert time in screen.text(width=61)
    assert time not in screen.text(width=60)
    [line] = [line for line in screen.lines(width=32) if re.match(r" *1 ", line)]
    assert "✓ " in line
    assert "read by" in line


def test_the_newest_come_first_and_all_fit() -> None:
    """On a terminal of any height; the rest is not shown."""
    screen = Screen()
    for seq in range(1, 2 * LATEST_MAX):
        screen.view.show(pushed(seq))
    for height in (1, 7, 24, 60):
        lines = screen.lines(height)
        shown = [line for line in lines if "read by" in line]
        assert len(lines) <= max(height, 7)
        assert f"m{2 * LATEST_MAX - 1}" in shown[0]
        assert len(shown) == max(1, height - 6)


def test_what_comes_from_elsewhere_does_not_steer_the_terminal() -> None:
    """Neither by control characters nor by rich's own markup."""
    screen = Screen()
    screen.view.show(pushed(1, reader_id="[bold]bob[/bold]", msg_id="m\x1b[2J"))
    screen.view.notice(Disconnected(1006, "\x1b]0;title\x07", 1.0))
    text = screen.text(width=160)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]bob[/bold]" in text


def test_on_a_terminal_it_is_drawn_and_stays_at_the_end() -> None:
    """What was shown last can still be read when the command has ended."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=20)
    with View("alice", clock=lambda: 0.0).shown(console) as view:
        view.show(pushed(1, read=5, of=10))
    assert "read by bob (5 of 10)" in file.getvalue()
