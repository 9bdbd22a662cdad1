"""What devices have acknowledged, on its way to the store: one write for all of them.

A position never falls, and what is not stored yet counts already for a device that comes back.
All of it belongs to the epoch in force; ``clear()`` when that changes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from seenby.errors import SeenbyError

if TYPE_CHECKING:
    from seenby.gateway.source import Source
    from seenby.model import Position
    from seenby.store.base import Ack

    Device = tuple[str, str]

PIECE = 1000
"""Positions in one write."""


class Positions:
    """The positions that are still to be stored."""

    def __init__(self) -> None:
        """None."""
        self._new: dict[Device, Ack] = {}
        self._under_way: dict[Device, Ack] = {}

    def __len__(self) -> int:
        """How many devices have a position that is not stored yet."""
        return len(self._new)

    def __contains__(self, device: Device) -> bool:
        """Whether a device has a position that is not stored yet."""
        return device in self._new

    def add(self, ack: Ack) -> None:
        """A device has everything up to a position."""
        device = (ack.user_id, ack.device_id)
        known = self._new.get(device)
        if known is None or known.position.seq < ack.position.seq:
            self._new[device] = ack

    def newest(self, device: Device, stored: Position | None) -> Position | None:
        """Where a device stands, if the store says *stored*."""
        newest = stored
        for ack in (self._under_way.get(device), self._new.get(device)):
            if ack is None:
                continue
            if (
                newest is None
                or newest.epoch != ack.position.epoch
                or newest.seq < ack.position.seq
            ):
                newest = ack.position
        return newest

    def clear(self) -> None:
        """A new epoch numbers anew."""
        self._new.clear()
        self._under_way = {}

    async def store(self, source: Source, *, now: int) -> None:
        """Store all of them (*now* in ms); those that could not be stored are kept.

        Raises:
            StoreUnavailable: some were not stored.
        """
        self._under_way, self._new = self._new, {}
        acks = list(self._under_way.values())
        try:
            for start in range(0, len(acks), PIECE):
                await source.acknowledge(acks[start : start + PIECE], now=now)
        except (SeenbyError, asyncio.CancelledError):
            for ack in self._under_way.values():
                self.add(ack)
            raise
        finally:
            self._under_way = {}
