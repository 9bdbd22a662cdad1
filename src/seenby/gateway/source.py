"""What the gateway asks of the service: streams to read, positions to keep, marks to record.

``service.Service`` answers it; ``testing.MemorySource`` does without a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.errors import Forbidden
    from seenby.model import Caller, Mark, Position
    from seenby.recorder import Outcome
    from seenby.store.base import Ack, Head, Page, Want


PAGE = 200
"""Events in a page of the backlog."""

EVENTS_PER_QUERY = 10_000
"""About so many events are asked for at once, whoever they belong to."""

USERS_PER_QUERY = 1000


class Source(Protocol):
    """Raises StoreUnavailable, whatever it is asked, while the store is away."""

    async def heads(self, user_ids: Sequence[str]) -> tuple[str, dict[str, Head]]:
        """The epoch, and the ends of each user's stream."""
        ...

    async def pages(self, wants: Sequence[Want]) -> list[Page]:
        """Pages of several users' streams in one query."""
        ...

    async def positions(
        self, devices: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Position]:
        """Where known devices (user_id, device_id) stand."""
        ...

    async def acknowledge(self, acks: Sequence[Ack], *, now: int) -> None:
        """Store what devices have acknowledged; *now* in ms."""
        ...

    async def mark(self, caller: Caller, marks: Sequence[Mark]) -> list[Outcome | Forbidden]:
        """Record marks; one outcome per mark, refusals in their places."""
        ...

    async def ready(self) -> None:
        """Return when the store answers."""
        ...
