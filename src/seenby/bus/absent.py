"""Where there is no bus: gateways read the database, by anti-entropy every second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from seenby.bus.base import Deliver


class NoFeed:
    """A Feed that brings nothing and says so."""

    @property
    def healthy(self) -> bool:
        """Never: whoever waits for it must look elsewhere."""
        return False

    def start(
        self,
        *,
        epoch: str,
        wanted: Container[str],
        deliver: Deliver,
        on_growth: Callable[[], None] | None = None,
    ) -> None:
        """Nothing will come."""

    def set_epoch(self, epoch: str) -> None:
        """Nothing will come."""

    def partitions_of(self, user_id: str) -> frozenset[int]:  # noqa: ARG002 -- there are none
        """There are none."""
        return frozenset()

    async def join(self, partition: int) -> None:
        """There is nothing to join."""

    def leave(self, partition: int) -> None:
        """There is nothing to leave."""

    async def close(self) -> None:
        """There is nothing to close."""
