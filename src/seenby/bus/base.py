"""The port of the bus: a Publisher on the service's side, a Feed on the gateway's.

The bus is allowed to lose, double and reorder: seqs and the store mend that. It must not block:
``publish`` ends with an error within a bounded time, and a feed drops what nobody here wants
before decoding it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from seenby.model import Event

    Deliver = Callable[[list[Event]], None]
    """Called on the event loop with decoded events of wanted users, in the bus's order."""


class Publisher(Protocol):
    """Sends committed events to the bus."""

    @property
    def healthy(self) -> bool:
        """False before the bus is found and while it is away; nothing should be published then."""
        ...

    @property
    def partitions(self) -> int:
        """How many partitions the topic has; 0 while that is not known."""
        ...

    async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
        """Publish *events*, keyed by sender; return when the bus has acknowledged all.

        Events are handed to the bus before the first await, so calls made one after the other
        keep their order. Erased events are left out: they have nothing to tell. Raises
        BusUnavailable when one of the others was not acknowledged in time.
        """
        ...

    async def close(self) -> None:
        """Flush for a bounded time, then stop."""
        ...


class Feed(Protocol):
    """Brings the events of the wanted users to one gateway, by partitions joined on demand."""

    @property
    def healthy(self) -> bool:
        """False before the bus is found, while it is away, and where there is none."""
        ...

    def start(
        self,
        *,
        epoch: str,
        wanted: Container[str],
        deliver: Deliver,
        on_growth: Callable[[], None] | None = None,
    ) -> None:
        """Begin; *wanted* holds the user ids to deliver (read from another thread).

        A decoded event whose record carries another epoch, or no seq, arrives with seq 0.
        *on_growth* is called on the event loop whenever partitions_of() has come to answer
        differently: the topic was found, it has grown, or the time in which both are read is
        over.
        """
        ...

    def set_epoch(self, epoch: str) -> None:
        """From now on only records of *epoch* take part in seqs."""
        ...

    def partitions_of(self, user_id: str) -> frozenset[int]:
        """The partitions in which records of this user may arrive now.

        More than one while a topic that has grown may still be fed by producers that have not
        noticed. Empty while the bus has not yet told how many there are (then *on_growth*
        follows), and where the feed reads every partition anyway.
        """
        ...

    async def join(self, partition: int) -> None:
        """Return when every record from now on will be delivered.

        Raises BusUnavailable within a bounded time when the bus is away; call again later.
        """
        ...

    def leave(self, partition: int) -> None:
        """Stop reading a partition; unknown ones are ignored."""
        ...

    async def close(self) -> None:
        """Stop, and commit offsets where the bus keeps them."""
        ...


class FeedMetrics(Protocol):
    """Where a feed counts. Called on the event loop, with what has come since the last call."""

    def consumed(self, status: str, records: int, /) -> None:
        """*records* were read.

        "ok": delivered; "bad": not decodable, each is a dead letter now; "lost": not decodable,
        and the bus did not take the dead letter either.
        """
        ...

    def offline(self, records: int, /) -> None:
        """*records* were dropped by their key: nobody here wants them."""
        ...

    def lag(self, records: int, /) -> None:
        """So many records wait to be read, in all partitions that are read."""
        ...


class NoFeedMetrics:
    """Counts nothing."""

    def consumed(self, status: str, records: int, /) -> None:
        """Nothing."""

    def offline(self, records: int, /) -> None:
        """Nothing."""

    def lag(self, records: int, /) -> None:
        """Nothing."""
