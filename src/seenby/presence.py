"""This process among the others: its row in the database, and what it answers when they ask.

The row says where the process is, since when, and what it has counted lately; it is written every
two seconds while something changes, every ten while nothing does, and removed at the end. Nobody
waits for it: a row that cannot be written is logged once.

Other processes show the ticket that stands in the row: whoever can read the database may know what
is answered here, and no user's or service's token ever travels between processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

import msgspec
import structlog
from msgspec.structs import replace

from seenby import __version__
from seenby.auth import bearer
from seenby.errors import BadInput, SeenbyError, Unauthenticated
from seenby.nodes import ASKED_MAX, AT, USER, Numbers, Told
from seenby.settings import in_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seenby.metrics import Metrics
    from seenby.nodes import Here, UserSeen
    from seenby.relay import Relay
    from seenby.store.sql import SqlStore
    from seenby.store.threads import StoreThreads

EVERY = 2.0
"""Seconds between looks at the counters."""

QUIET_EVERY = 10.0
"""Seconds between rows that say the same."""

ELSEWHERE = ("192.0.2.1", 9)
"""An address outside of every machine (RFC 5737); nothing is ever sent there."""

log = structlog.get_logger()


class Station(Protocol):
    """The gateway of this process, for people who look."""

    def now_here(self) -> Here:
        """What is there now."""
        ...

    def seen(self, user_id: str) -> UserSeen:
        """A user's sessions."""
        ...


class Presence:
    """Writes the row of this process, and answers others.

    Args:
        threads: the store's.
        metrics: what is counted.
        relay: remembers when the bus acknowledged.
        node: the name of this process.
        role: ``serve``, ``api`` or ``gateway``.
        clock: seconds that only grow.
        wall: seconds since the Unix epoch.
    """

    def __init__(
        self,
        threads: StoreThreads[SqlStore],
        metrics: Metrics,
        relay: Relay,
        *,
        node: str,
        role: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._threads = threads
        self._metrics = metrics
        self._relay = relay
        self._node, self._role = node, role
        self._clock, self._wall = clock, wall
        self._ticket = secrets.token_urlsafe(32)
        self._url = ""
        self._station: Station | None = None
        self._began = self._counted_at = clock()
        self._counted = metrics.snapshot()
        self._written: Numbers | None = None
        self._written_at = 0.0
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self, url: str, station: Station | None) -> None:
        """Begin; needs a running event loop.

        Args:
            url: where this process may be asked: ``http://host:port``.
            station: its gateway; None: it has none.
        """
        self._url, self._station = url, station
        self._task = asyncio.create_task(self._forever(), name="presence")

    async def close(self) -> None:
        """Take the row away, if the database answers."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        remove = self._threads.store.inspecting.remove
        try:
            await self._threads.write(remove, self._node, self._role)
        except SeenbyError as error:
            log.warning("node_not_reported", why=str(error))

    # Asked by others

    def answer(self, query: str, authorization: str) -> bytes:
        """What this process alone knows of the users and commits in *query*, as JSON.

        Raises:
            Unauthenticated: the ticket is not this process's.
            BadInput: too much is asked for.
        """
        shown = bearer(authorization) or ""
        if not secrets.compare_digest(shown.encode(), self._ticket.encode()):
            raise Unauthenticated("this address is for other processes of seenby")
        asked = parse_qs(query)
        users, times = asked.get(USER, []), asked.get(AT, [])
        if len(users) > ASKED_MAX or len(times) > ASKED_MAX:
            raise BadInput(USER, f"given up to {ASKED_MAX} times, and {AT} too")
        station = self._station
        published = ((at, self._relay.published_at(at)) for at in _numbers(times))
        told = Told(
            users=[] if station is None else [station.seen(user_id) for user_id in users],
            published=[(at, when) for at, when in published if when is not None],
        )
        return msgspec.json.encode(told)

    # The row

    async def _forever(self) -> None:
        while True:
            try:
                await self.report()
            except SeenbyError as error:
                if not self._failing:
                    log.warning("node_not_reported", why=str(error))
                self._failing = True
            except Exception:
                log.exception("report_failed")
            await asyncio.sleep(EVERY)

    async def report(self) -> None:
        """Write the row, unless it says the same as the one before and that is not old.

        Raises:
            StoreUnavailable: the database is away.
        """
        now = self._clock()
        numbers = self._count(now)
        same = self._written is not None and _news(numbers) == _news(self._written)
        if same and now - self._written_at < QUIET_EVERY:
            return
        await self._threads.write(
            self._threads.store.inspecting.report,
            self._node,
            self._role,
            url=self._url,
            ticket=self._ticket,
            uptime_ms=numbers.uptime_ms,
            numbers=msgspec.json.encode(numbers).decode(),
        )
        self._written, self._written_at, self._failing = numbers, now, False

    def _count(self, now: float) -> Numbers:
        """What was counted since the last time."""
        before, counted = self._counted, self._metrics.snapshot()
        over_ms = round((now - self._counted_at) * 1000)
        self._counted, self._counted_at = counted, now
        return Numbers(
            version=__version__,
            clock=int(self._wall() * 1000),
            uptime_ms=round((now - self._began) * 1000),
            over_ms=over_ms,
            marks=counted.marks - before.marks,
            published=counted.published - before.published,
            delivered=counted.delivered - before.delivered,
            pushed=_less(counted.pushed, before.pushed),
            acked=_less(counted.acked, before.acked),
            connections=counted.connections,
            lag=counted.lag,
            here=None if self._station is None else self._station.now_here(),
        )


def reachable_at(host: str, port: int) -> str:
    """The address at which other processes probably reach one that listens here.

    For one that listens everywhere, that is the address from which this machine would speak to
    others.
    """
    if host in {"0.0.0.0", "::"}:  # noqa: S104 -- an address to leave out, not to listen on
        host = "127.0.0.1"
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        ):
            # No packet goes out: it only asks which way one would.
            probe.connect(ELSEWHERE)
            host = probe.getsockname()[0]
    return f"http://{in_url(host)}:{port}"


def _news(numbers: Numbers) -> Numbers:
    """What is worth a row of its own: all but the passing of time."""
    return replace(numbers, clock=0, uptime_ms=0, over_ms=0)


def _less(counts: Sequence[int], before: Sequence[int]) -> list[int]:
    return [now - then for now, then in zip(counts, before, strict=True)]


def _numbers(texts: Sequence[str]) -> list[int]:
    """Those that are whole numbers."""
    return [int(text) for text in texts if text.isascii() and text.isdigit()]
