"""Acknowledged positions on their way to the store: never lowered, never lost."""

from __future__ import annotations

import asyncio

import pytest

from seenby.errors import StoreUnavailable
from seenby.gateway.positions import PIECE, Positions
from seenby.model import Position
from seenby.store.base import Ack
from seenby.testing import MemorySource

DEVICE = ("sender", "phone")


def ack(seq: int, epoch: str = "epoch-1", device: str = "phone") -> Ack:
    """A device of the sender has everything up to *seq*."""
    return Ack("sender", device, Position(epoch, seq))


def at(seq: int, epoch: str = "epoch-1") -> Position:
    """A position."""
    return Position(epoch, seq)


def test_the_newest_counts_wherever_it_is() -> None:
    """What is not stored yet, or what another gateway has stored meanwhile."""
    positions = Positions()
    assert positions.newest(DEVICE, None) is None
    assert positions.newest(DEVICE, at(3)) == at(3)
    positions.add(ack(5))
    positions.add(ack(4))
    assert positions.newest(DEVICE, at(3)) == at(5)
    assert positions.newest(DEVICE, at(9)) == at(9)
    assert positions.newest(DEVICE, at(9, "epoch-0")) == at(5)


async def test_what_is_under_way_counts_too() -> None:
    """Neither here nor there, it is known."""
    source, positions = MemorySource(), Positions()
    source.answering.clear()
    positions.add(ack(5))
    storing = asyncio.create_task(positions.store(source, now=1))
    await asyncio.sleep(0)
    positions.add(ack(4))
    assert positions.newest(DEVICE, None) == at(5)
    source.answering.set()
    await storing
    assert source.store.positions([DEVICE]) == {DEVICE: at(5)}


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_what_was_not_stored_is_kept(how: str) -> None:
    """The highest of each device."""
    source, positions = MemorySource(), Positions()
    source.answering.clear()
    positions.add(ack(5))
    storing = asyncio.create_task(positions.store(source, now=1))
    await asyncio.sleep(0)
    positions.add(ack(4))
    if how == "failed":
        source.store.failing = True
        source.answering.set()
        with pytest.raises(StoreUnavailable):
            await storing
    else:
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
    source.store.failing = False
    source.answering.set()
    await positions.store(source, now=2)
    assert source.store.positions([DEVICE]) == {DEVICE: at(5)}


async def test_a_new_epoch_forgets_what_is_under_way() -> None:
    """It must not come back over a position of the new one."""
    source, positions = MemorySource(), Positions()
    source.answering.clear()
    positions.add(ack(90))
    storing = asyncio.create_task(positions.store(source, now=1))
    await asyncio.sleep(0)
    positions.clear()
    positions.add(ack(2, "epoch-2"))
    storing.cancel()
    await asyncio.gather(storing, return_exceptions=True)
    assert positions.newest(DEVICE, None) == at(2, "epoch-2")
    assert len(positions) == 1


async def test_many_are_stored_in_pieces() -> None:
    """No write holds up the marks for long."""
    source, positions = MemorySource(), Positions()
    for number in range(PIECE + 1):
        positions.add(ack(1, device=f"d{number}"))
    await positions.store(source, now=1)
    assert source.calls == ["acknowledge", "acknowledge"]
    assert len(positions) == 0
