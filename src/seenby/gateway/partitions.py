"""Consume what you serve: which partitions this gateway reads, by the users who are here.

A partition is joined when the first of its users connects and left LINGER seconds after the last
one has gone, so that a reconnect costs nothing. A join that fails is tried again on every tick;
until it succeeds ``complete`` is False and anti-entropy looks after the users.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from seenby.errors import BusUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from seenby.bus.base import Feed

LINGER = 60.0
"""Seconds that a partition without users is still read."""

JOIN_WITHIN = 2.0
"""Seconds that arriving sessions wait for a join before they are served from the store alone."""

log = structlog.get_logger()


class Partitions:
    """Joins and leaves partitions of a feed as users come and go."""

    def __init__(self, feed: Feed) -> None:
        """Nothing is joined yet."""
        self._feed = feed
        self._users: dict[int, int] = {}
        self._joining: dict[int, asyncio.Task[None]] = {}
        self._joined: set[int] = set()
        self._idle_since: dict[int, float] = {}

    @property
    def complete(self) -> bool:
        """Whether every partition with users is being read."""
        return all(partition in self._joined for partition in self._users)

    @property
    def joined(self) -> list[int]:
        """Those that are read because they were asked for."""
        return sorted(self._joined)

    def enter(self, user_id: str) -> None:
        """A user's first session is here."""
        for partition in self._feed.partitions_of(user_id):
            self._users[partition] = self._users.get(partition, 0) + 1
            self._idle_since.pop(partition, None)

    def leave(self, user_id: str, now: float) -> None:
        """A user's last session is gone."""
        for partition in self._feed.partitions_of(user_id):
            left = self._users.get(partition, 0) - 1
            if left > 0:
                self._users[partition] = left
            else:
                self._users.pop(partition, None)
                self._idle_since[partition] = now

    def recount(self, user_ids: Iterable[str], now: float) -> None:
        """The topic has grown: users are spread anew over more partitions."""
        before = set(self._users)
        self._users.clear()
        for user_id in user_ids:
            self.enter(user_id)
        for partition in before - self._users.keys():
            self._idle_since[partition] = now
        self._join_missing()

    async def ready(self, user_ids: Collection[str]) -> None:
        """Return when the partitions of these users are read, or after JOIN_WITHIN seconds.

        Where the bus is known to be away nothing is waited for.
        """
        self._join_missing()
        wanted = {p for user_id in user_ids for p in self._feed.partitions_of(user_id)}
        tasks = [task for partition, task in self._joining.items() if partition in wanted]
        if tasks and self._feed.healthy:
            await asyncio.wait(tasks, timeout=JOIN_WITHIN)

    def tick(self, now: float) -> None:
        """Try failed joins again, and leave what nobody has needed for a while."""
        self._join_missing()
        for partition, since in list(self._idle_since.items()):
            if now - since >= LINGER and partition not in self._joining:
                del self._idle_since[partition]
                self._joined.discard(partition)
                self._feed.leave(partition)
                log.debug("partition_left", partition=partition)

    async def close(self) -> None:
        """Stop joining."""
        for task in self._joining.values():
            task.cancel()
        await asyncio.gather(*self._joining.values(), return_exceptions=True)

    def _join_missing(self) -> None:
        for partition in self._users:
            if partition not in self._joined and partition not in self._joining:
                self._joining[partition] = asyncio.create_task(self._join(partition))

    async def _join(self, partition: int) -> None:
        try:
            await self._feed.join(partition)
        except BusUnavailable as error:
            log.warning("partition_not_joined", partition=partition, why=str(error))
        else:
            self._joined.add(partition)
            log.debug("partition_joined", partition=partition)
        finally:
            del self._joining[partition]
