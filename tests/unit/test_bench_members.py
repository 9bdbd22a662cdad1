"""The benchmark's senders: what they make of the frames that they are sent."""

from __future__ import annotations

import json

import pytest

from bench.members import Counts, Frame, Receipts, Written
from bench.turns import Groups


class Device:
    """A sender's socket."""

    seq = 0


def receipt(seq: int, reader: str, read: int | None, of: int | None = 2) -> Frame:
    """That *reader* has read the message m."""
    return Frame("read_receipt", "m", reader, seq, read, of if read else None)


OWED = [("m", "a"), ("m", "b")]


def test_receipts_that_come_once_and_count_right_are_well() -> None:
    """The first of two says one of two, the second two of two."""
    receipts, device = Receipts(OWED, 2), Device()
    receipts.took(device, receipt(1, "b", 1))
    assert receipts.missing == 1
    receipts.took(device, receipt(2, "a", 2))
    assert (receipts.missing, receipts.doubled, receipts.wrong) == (0, 0, 0)


def test_receipts_of_unregistered_messages_count_nothing() -> None:
    """A count there would be wrong."""
    receipts, device = Receipts(OWED, None), Device()
    receipts.took(device, receipt(1, "a", None))
    assert receipts.wrong == 0
    receipts.took(device, receipt(2, "b", 2))
    assert receipts.wrong == 1


@pytest.mark.parametrize(
    ("second", "doubled", "wrong"),
    [
        (receipt(2, "a", 2), 1, 0),
        (receipt(1, "b", 2), 0, 1),
        (receipt(2, "b", 1), 0, 1),
        (receipt(2, "b", 2, of=3), 0, 1),
        (receipt(2, "b", None), 0, 1),
    ],
    ids=["again", "seq not above", "count of before", "audience", "no count"],
)
def test_whatever_is_wrong_with_a_receipt_is_counted(
    second: Frame, doubled: int, wrong: int
) -> None:
    """One that comes again, is out of order, or counts wrong."""
    receipts, device = Receipts(OWED, 2), Device()
    receipts.took(device, receipt(1, "a", 1))
    receipts.took(device, second)
    assert (receipts.doubled, receipts.wrong) == (doubled, wrong)


def told(read: int, seq: int, of: int = 100) -> Frame:
    """That *read* of 100 have read the message."""
    return Frame("read_count", "m", "", seq, read, of)


def test_one_count_a_second_and_the_last_are_not_too_many() -> None:
    """The first at once, one for each second, and one at the end."""
    counts = Counts(100, 100)
    for seq, (read, now) in enumerate([(3, 10.0), (50, 11.0), (90, 12.1), (100, 12.3)], 1):
        counts.took(told(read, seq), now)
    assert (counts.missing, counts.wrong, counts.too_many, counts.first) == (0, 0, 0, 3)


def test_more_than_one_count_a_second_is_too_many() -> None:
    """Two more than the seconds between the first and the last are allowed."""
    counts = Counts(100, 100)
    for seq in range(1, 6):
        counts.took(told(seq, seq), 10.0 + seq / 10)
    assert counts.too_many == 3


def test_readers_of_whom_no_count_came_are_missing() -> None:
    """The last count must be of all."""
    counts = Counts(100, 100)
    assert counts.missing == 100
    counts.took(told(60, 1), 10.0)
    assert counts.missing == 40


@pytest.mark.parametrize(
    "second", [told(5, 2), told(7, 1), told(7, 2, of=99)], ids=["not more", "seq", "audience"]
)
def test_a_count_that_does_not_grow_is_wrong(second: Frame) -> None:
    """As is one out of order, or of another number."""
    counts = Counts(100, 100)
    counts.took(told(5, 1), 10.0)
    counts.took(second, 12.0)
    assert counts.wrong == 1


def test_a_mark_is_the_reading_of_its_number() -> None:
    """In JSON, but for the bracket that opens it."""
    written = Written()
    written.turns = Groups("t")
    assert json.loads(b"{" + written.mark(501, 0)) == Groups("t").reading(501)._asdict()
