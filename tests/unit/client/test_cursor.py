"""Where a client stands: what is news, what is said in hello, what is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.client.cursor import Cursor
from seenby.client.frames import (
    BatchFrame,
    CountFrame,
    ErrorFrame,
    ReadSelfFrame,
    ReceiptFrame,
    Reset,
    ResetFrame,
    UnreadSelfFrame,
    Welcome,
    WithdrawnFrame,
)
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.client.frames import EventFrame, Frame, Item


def receipt(seq: int) -> ReceiptFrame:
    """A receipt at that seq."""
    return ReceiptFrame(f"m{seq}", "user456", 1_704_067_200, "c1", 1_704_067_205, seq)


UPDATES: list[Callable[[int], EventFrame]] = [
    lambda seq: CountFrame(f"m{seq}", "c1", 1, 2, 1_704_067_205, seq),
    lambda seq: WithdrawnFrame(f"m{seq}", "user456", "c1", 1, 1_704_067_205, seq),
    lambda seq: ReadSelfFrame(f"m{seq}", "c1", 1, 1_704_067_205, seq=seq),
    lambda seq: UnreadSelfFrame(f"m{seq}", "c1", 1_704_067_205, seq=seq),
]
"""The kinds of event that are no receipts, at a seq."""


def welcome(head: int, epoch: str = "e1") -> Welcome:
    """The gateway's answer to hello."""
    return Welcome(epoch, head, resumed=True, heartbeat=30)


def opened(*, device: bool = True, epoch: str = "e1", head: int = 0) -> Cursor:
    """A cursor that has been welcomed."""
    cursor = Cursor(device=device)
    cursor.begin(None)
    take(cursor, welcome(head, epoch))
    return cursor


def take(cursor: Cursor, *frames: Frame) -> list[Item]:
    """What these frames bring the application."""
    return [item for frame in frames for item in cursor.take(frame)]


def seqs(items: list[Item]) -> list[int]:
    """Their seqs."""
    return [item.seq for item in items]


class TestTake:
    def test_each_seq_is_news_once(self) -> None:
        """A repeat, after a reconnect or not, is dropped."""
        cursor = opened()
        assert seqs(take(cursor, receipt(1), receipt(2), receipt(2), receipt(1))) == [1, 2]
        assert seqs(take(cursor, welcome(3), receipt(2), receipt(3))) == [3]

    def test_a_batch_is_its_receipts(self) -> None:
        """In order, repeats dropped as anywhere."""
        frame = BatchFrame([receipt(1), receipt(2), receipt(2), receipt(3)])
        assert seqs(take(opened(), receipt(1), frame)) == [1, 2, 3]

    @pytest.mark.parametrize("update", UPDATES)
    def test_every_kind_moves_it_alike(self, update: Callable[[int], EventFrame]) -> None:
        """Repeats are dropped; it is what hello says, what is handled and acknowledged."""
        cursor = opened()
        items = take(cursor, receipt(1), update(2), update(2), receipt(2), receipt(3))
        assert seqs(items) == [1, 2, 3]
        assert cursor.handle(items[1])
        assert cursor.handled == Position("e1", 2)
        assert cursor.to_acknowledge(0) == 2
        assert cursor.said == Position("e1", 3)

    def test_a_receipt_without_seq_is_always_news(self) -> None:
        """Another producer's: it has no place, and moves nothing."""
        cursor = opened()
        assert seqs(take(cursor, receipt(1), receipt(0), receipt(0))) == [1, 0, 0]
        assert cursor.received == Position("e1", 1)

    def test_a_reset_is_told_and_the_stream_goes_on_after_it(self) -> None:
        """Whatever was received before: its seqs mean nothing any more."""
        cursor = opened(head=9)
        take(cursor, receipt(9))
        items = take(cursor, ResetFrame("e2", 4), receipt(4), receipt(5))
        assert items[0] == Reset("e2", 4)
        assert [item.position for item in items] == [Position("e2", 4), Position("e2", 5)]

    def test_a_new_epoch_counts_anew(self) -> None:
        """A seq of another epoch is no repeat."""
        cursor = opened()
        take(cursor, receipt(5))
        assert seqs(take(cursor, welcome(1, "e2"), receipt(1))) == [1]

    def test_other_frames_bring_nothing(self) -> None:
        """They are not for the application."""
        assert take(opened(), welcome(5), ErrorFrame("bad", "a sentence")) == []


class TestSaid:
    def test_a_device_leaves_the_first_position_to_the_gateway(self) -> None:
        """The gateway knows where it stood."""
        cursor = opened(device=True, head=7)
        assert cursor.said is None

    def test_who_has_no_device_stands_at_the_head_of_the_first_welcome(self) -> None:
        """So that what comes while it is away for a moment is not lost."""
        cursor = opened(device=False, head=7)
        take(cursor, welcome(9))
        assert cursor.said == Position("e1", 7)

    def test_the_last_receipt_that_came(self) -> None:
        """Not the last that was handled: the others wait in the queue."""
        cursor = opened()
        take(cursor, receipt(1), receipt(2))
        assert cursor.said == Position("e1", 2)

    def test_a_reset_position(self) -> None:
        """From there the stream can be served whole again."""
        cursor = opened()
        take(cursor, ResetFrame("e2", 4))
        assert cursor.said == Position("e2", 4)

    def test_an_applications_own_position(self) -> None:
        """It is said as it was given, and stands until something is handled."""
        cursor = Cursor(device=True)
        cursor.begin(Position("e0", 3))
        assert cursor.said == cursor.handled == Position("e0", 3)

    def test_a_new_stream_begins_where_the_application_stands(self) -> None:
        """What was received and not handled comes again."""
        cursor = opened()
        items = take(cursor, receipt(1), receipt(2), receipt(3))
        cursor.handle(items[0])
        cursor.begin(None)
        assert cursor.said == Position("e1", 1)
        assert seqs(take(cursor, welcome(3), receipt(2), receipt(3))) == [2, 3]


class TestHandled:
    def test_it_moves_on_only(self) -> None:
        """Never back, never past what came."""
        cursor = opened()
        one, two, three = take(cursor, receipt(1), receipt(2), receipt(3))
        assert cursor.handle(two)
        assert not cursor.handle(one)
        assert not cursor.handle(two)
        assert cursor.handled == Position("e1", 2)
        assert cursor.handle(three)

    def test_an_item_of_elsewhere_moves_nothing(self) -> None:
        """Made up, or from another client: beyond what this one has received."""
        cursor = opened()
        take(cursor, receipt(1))
        [beyond] = take(opened(), receipt(5))
        assert not cursor.handle(beyond)
        assert cursor.handled is None

    def test_what_has_no_place_moves_nothing(self) -> None:
        """Another producer's receipt."""
        cursor = opened()
        [placeless] = take(cursor, receipt(0))
        assert placeless.position is None
        assert not cursor.handle(placeless)

    def test_a_reset_moves_anywhere(self) -> None:
        """Back, too: the application has loaded everything anew."""
        cursor = opened()
        [item] = take(cursor, receipt(9))
        cursor.handle(item)
        [reset] = take(cursor, ResetFrame("e2", 4))
        assert cursor.handle(reset)
        assert cursor.handled == Position("e2", 4)

    def test_an_item_from_before_a_reset_counts_until_the_reset_is_handled(self) -> None:
        """It waited in the queue; after the reset its epoch is over."""
        cursor = opened()
        one, two, three = take(cursor, receipt(1), receipt(2), receipt(3))
        cursor.handle(one)
        [reset] = take(cursor, ResetFrame("e2", 4))
        assert cursor.handle(two)
        assert cursor.handled == Position("e1", 2)
        cursor.handle(reset)
        assert not cursor.handle(three)
        assert cursor.handled == Position("e2", 4)


class TestAcknowledged:
    def test_what_was_handled_and_not_yet_said(self) -> None:
        """On each connection anew: the one before may have lost it."""
        cursor = opened()
        [item] = take(cursor, receipt(1))
        assert cursor.to_acknowledge(0) is None
        cursor.handle(item)
        assert cursor.to_acknowledge(0) == 1
        assert cursor.to_acknowledge(1) is None

    def test_nothing_without_a_device(self) -> None:
        """There is nobody whose position could be kept."""
        cursor = opened(device=False)
        [item] = take(cursor, receipt(1))
        cursor.handle(item)
        assert cursor.to_acknowledge(0) is None

    def test_nothing_of_another_epoch(self) -> None:
        """Its seqs mean something else there."""
        cursor = opened()
        [item] = take(cursor, receipt(5))
        cursor.handle(item)
        take(cursor, welcome(9, "e2"))
        assert cursor.to_acknowledge(0) is None

    def test_not_what_the_application_brought_along(self) -> None:
        """A position it merely begins at, perhaps to read again, has not been handled here."""
        cursor = Cursor(device=True)
        cursor.begin(Position("e1", 3))
        take(cursor, welcome(9))
        assert cursor.to_acknowledge(0) is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("receipt"), st.integers(0, 6)),
            st.tuples(st.just("update"), st.integers(0, 6)),
            st.tuples(st.just("reset"), st.integers(0, 6)),
            st.tuples(st.just("welcome"), st.integers(0, 2)),
            st.tuples(st.just("handle"), st.integers(0, 30)),
        ),
        max_size=30,
    )
)
def test_within_an_epoch_every_seq_comes_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """Whatever frames come and whatever is handled; handled never passes received."""
    cursor = opened()
    given_: list[Item] = []
    for kind, number in steps:
        match kind:
            case "receipt":
                given_ += take(cursor, receipt(number))
            case "update":
                given_ += take(cursor, UPDATES[number % len(UPDATES)](number))
            case "reset":
                given_ += take(cursor, ResetFrame("e1", number))
            case "welcome":
                given_ += take(cursor, welcome(number, f"e{number}"))
            case _ if given_:
                cursor.handle(given_[number % len(given_)])
    last: Position | None = None
    for item in given_:
        if not isinstance(item, Reset) and item.seq:
            assert last is None or last.epoch != item.epoch or item.seq > last.seq
        last = item.position or last
    handled = cursor.handled
    assert handled is None or any(item.position == handled for item in given_)


@pytest.mark.parametrize("device", [True, False])
def test_a_cursor_that_has_heard_nothing_says_nothing(*, device: bool) -> None:
    """Neither in hello nor as an acknowledgement."""
    cursor = Cursor(device=device)
    cursor.begin(None)
    assert cursor.said is None
    assert cursor.handled is None
    assert cursor.to_acknowledge(0) is None
