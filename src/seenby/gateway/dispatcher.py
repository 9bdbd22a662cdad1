"""The gateway's work between bus, store and hub; all of it in batches, nothing per connection.

- Arrivals: sessions that have come enter the hub, their partitions are joined, and only then the
  heads and stored positions are read (many users per query). In this order nothing falls between.
- Pages: sessions that catch up are read for together, as fast as their sockets take it.
- Live: what the bus brings goes through the hub to the sockets; ``repair`` mends what it does not.
- Acknowledged positions are written once a second, and soon after a device has left: it may come
  back at another gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from seenby.bus.absent import NoFeed
from seenby.errors import SeenbyError
from seenby.gateway import disconnect
from seenby.gateway.partitions import Partitions
from seenby.gateway.positions import Positions
from seenby.gateway.repair import Repair
from seenby.gateway.session import NOWHERE, Begin, Session, State
from seenby.gateway.source import EVENTS_PER_QUERY, PAGE, USERS_PER_QUERY
from seenby.gateway.trail import Trails
from seenby.model import Position
from seenby.nodes import Here, UserSeen
from seenby.store.base import Ack, Head, Want

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from seenby.bus.base import Feed
    from seenby.gateway.hub import Hub
    from seenby.gateway.source import Source
    from seenby.metrics import Metrics
    from seenby.model import Event

ACK_EVERY = 1.0
ACK_SOON = 0.1
"""Seconds between writes of positions: as a rule, and at the least when devices leave."""

RETRY_AFTER = 0.5
"""Seconds between tries while the store is away."""

ANSWERED_WITHIN = 3.0
"""Seconds since the store last answered, asked once a second, after which it is taken for gone."""

CROWD = 10
"""So many arrivals at once are a crowd, ..."""

CROWD_EVERY = 0.06
"""... and the next ones are let in so many seconds after them."""

RECENT = 50
"""Events looked at to find where a session without a position begins."""

log = structlog.get_logger()


class Dispatcher:
    """Keeps every session of the hub supplied.

    Args:
        source: reads the store.
        hub: the sessions and streams here.
        feed: the bus.
        metrics: counts deliveries, holes and rescues.
        write: writes what a session has to send.
        replay_limit: events a session may be behind before it is reset.
        pushes: False: sessions are welcome and get nothing.
    """

    def __init__(
        self,
        source: Source,
        hub: Hub,
        feed: Feed,
        metrics: Metrics,
        *,
        write: Callable[[Session], None],
        replay_limit: int = 10_000,
        pushes: bool = True,
    ) -> None:
        self._source = source
        self._hub = hub
        self._feed = feed
        self._metrics = metrics
        self._write = write
        self._replay_limit = replay_limit
        self._pushes = pushes
        if log.is_enabled_for(logging.DEBUG):
            hub.traces = []
        self._partitions = Partitions(feed)
        self._repair = Repair(
            source,
            hub,
            feed,
            self._partitions,
            metrics,
            flush=self.flush,
            epoch_is=self._check_epoch,
        )
        self._arrivals: list[Session] = []
        self._crowd, self._settled_at = False, 0.0
        self._arrived = asyncio.Event()
        self._behind: dict[Session, None] = {}
        self._wanted = asyncio.Event()
        self._positions = Positions()
        self._trails = Trails()
        self._left = asyncio.Event()
        self._answered_at = -ANSWERED_WITHIN
        self._tasks: list[asyncio.Task[None]] = []

    # Life

    async def start(self) -> None:
        """Learn the epoch and begin; raises StoreUnavailable."""
        self._hub.epoch, _ = await self._source.heads([])
        self._answered_at = _now()
        self._feed.start(
            epoch=self._hub.epoch,
            wanted=self._hub.streams,
            deliver=self.deliver,
            on_growth=self._topic_has_grown,
        )
        turns = (
            self._arrive,
            self._read_pages,
            self._repair.fill_holes,
            self._repair.compare,
            self._keep,
        )
        for turn in turns:
            self._tasks.append(asyncio.create_task(self._forever(turn), name=turn.__name__))

    async def close(self) -> None:
        """Stop, and store what was acknowledged, if the store answers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._partitions.close()
        await self._feed.close()
        try:
            await self._store_positions()
        except SeenbyError as error:
            log.warning("positions_not_stored", devices=len(self._positions), why=str(error))

    @property
    def store_answers(self) -> bool:
        """Whether the store has answered lately."""
        return _now() - self._answered_at < ANSWERED_WITHIN

    @property
    def bus_answers(self) -> bool:
        """Whether the bus answers, where there is one.

        Without it receipts come from the store, a second late.
        """
        return self._feed.healthy or isinstance(self._feed, NoFeed)

    async def _forever(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Run one turn after the other; a store that is away only delays them."""
        while True:
            try:
                await turn()
            except SeenbyError as error:
                log.warning("gateway_waits", task=turn.__name__, why=str(error))
                await asyncio.sleep(RETRY_AFTER)
            except Exception:
                log.exception("gateway_task_failed", task=turn.__name__)
                await asyncio.sleep(RETRY_AFTER)

    # From the sessions

    def admitted(self, session: Session) -> None:
        """A session's user is known: it enters the hub and waits for its place."""
        if not self._pushes:
            session.begin(Begin(epoch=self._hub.epoch, head=0, floor=0, live_from=0))
            session.live()
            return
        first = session.user_id not in self._hub.streams
        self._hub.enter(session)
        if first:
            self._partitions.enter(session.user_id)
        self._arrivals.append(session)
        self._arrived.set()

    def gone(self, session: Session, *, clean: bool) -> None:
        """A session's socket is closed; *clean*: its client has read all that was written."""
        self._behind.pop(session, None)
        self._trails.drop(session)
        if self._hub.leave(session):
            self._partitions.leave(session.user_id, _now())
        if clean and session.silent and session.resumes:
            self.acknowledged(session, session.position)
        if (session.user_id, session.device_id) in self._positions:
            self._left.set()

    def writable(self, session: Session) -> None:
        """A session's socket takes data again."""
        if session.state is State.CATCHING_UP:
            self._want(session)

    def acknowledged(self, session: Session, seq: int) -> None:
        """A session's device has everything up to *seq*."""
        # A session of the epoch before counts otherwise: what it says is of no use any more.
        if not session.device_id or session.epoch != self._hub.epoch:
            return
        position = Position(session.epoch, seq)
        self._positions.add(Ack(session.user_id, session.device_id, position))
        wall = time.time()
        self._trails.acknowledged(session, seq, int(wall * 1000))
        if seq == session.position and session.last_push_at_ms:
            self._metrics.acked(wall - session.last_push_at_ms / 1000)
            session.last_push_at_ms = 0

    def sessions_of(self, user_id: str) -> int:
        """How many sessions a user has here."""
        stream = self._hub.streams.get(user_id)
        return len(stream.sessions) if stream is not None else 0

    def seen(self, user_id: str) -> UserSeen:
        """A user's sessions here, for people who look."""
        stream = self._hub.streams.get(user_id)
        sessions = stream.sessions if stream is not None else []
        return UserSeen(user_id, [self._trails.seen(session) for session in sessions])

    def now_here(self) -> Here:
        """What is at this gateway now, for people who look."""
        return Here(
            users=len(self._hub.streams),
            partitions=self._partitions.joined,
            bus=self._feed.healthy,
        )

    def head(self, user_id: str) -> int:
        """The highest seq a device of this user may acknowledge."""
        stream = self._hub.streams.get(user_id)
        return stream.highest if stream is not None else 0

    # From the bus

    def deliver(self, events: list[Event]) -> None:
        """Events have come from the bus."""
        self._hub.dispatch(events, _now(), time.time())
        self.flush()
        self._repair.look()

    def flush(self) -> None:
        """Write what sessions have to send, and count it."""
        hub = self._hub
        dirty = hub.take_dirty()
        for session in dirty:
            try:
                self._write(session)
            except Exception:
                # One broken socket must not keep the others from what waits for them.
                log.exception("write_failed", user=session.user_id)
        if hub.lost:
            self._metrics.lost(hub.lost)
            hub.lost = 0
        if not dirty:
            return
        wall = time.time()
        self._trails.wrote(dirty, int(wall * 1000))
        if hub.pushed:
            # Few different ones: the events of a batch were committed together.
            for at, events in Counter(hub.pushed).items():
                self._metrics.pushed(wall - at / 1000, events)
            hub.pushed.clear()
            for devices, events in Counter(hub.devices).items():
                self._metrics.delivered(devices, events)
            hub.devices.clear()
        if hub.traces:
            for trace, user_id, seq in hub.traces:
                log.debug("pushed", trace=trace, sender=user_id, seq=seq)
            hub.traces.clear()

    def _topic_has_grown(self) -> None:
        self._partitions.recount(self._hub.streams, _now())

    # Arrivals

    async def _arrive(self) -> None:
        await self._arrived.wait()
        # Where many come at once they share queries; whoever comes alone does not wait.
        if self._crowd:
            await asyncio.sleep(max(0.0, self._settled_at + CROWD_EVERY - _now()))
        self._arrived.clear()
        arrivals, self._arrivals = self._arrivals, []
        self._crowd, self._settled_at = len(arrivals) >= CROWD, _now()
        while arrivals:
            batch = arrivals[:USERS_PER_QUERY]
            try:
                await self._settle(batch)
            except SeenbyError:
                self._arrivals = [*arrivals, *self._arrivals]
                self._arrived.set()
                raise
            except Exception:
                # Whatever it is, these clients are not left waiting, nor tried for ever.
                for session in batch:
                    if session.state is State.JOINING:
                        session.close(disconnect.TRY_LATER)
                        self._write(session)
                self._arrivals = [*arrivals[USERS_PER_QUERY:], *self._arrivals]
                self._arrived.set()
                raise
            del arrivals[:USERS_PER_QUERY]

    async def _settle(self, sessions: list[Session]) -> None:
        """Give sessions that have come their places. Any of them may leave while this waits."""
        sessions = _waiting(sessions)
        if not sessions:
            return
        users = list({session.user_id for session in sessions})
        await self._partitions.ready(users)
        epoch, heads = await self._source.heads(users)
        self._check_epoch(epoch)
        stored = await self._source.positions(
            [(s.user_id, s.device_id) for s in _waiting(sessions) if s.device_id]
        )
        starts = await self._live_starts(_waiting(sessions), heads)
        if epoch != self._hub.epoch:
            return
        now, wall = _now(), time.time()
        for session in _waiting(sessions):
            ends = heads[session.user_id]
            device = (session.user_id, session.device_id)
            begin = Begin(
                epoch=epoch,
                head=ends.head,
                floor=ends.floor,
                live_from=starts.get(session, session.position),
                stored=self._positions.newest(device, stored.get(device)),
                replay_limit=self._replay_limit,
            )
            if not self._hub.begin(session, begin, now, wall):
                self._want(session)
            if session.resumes:
                # Not its position: it may have been written to just now.
                self.acknowledged(session, session.confirmed)
        self.flush()
        self._repair.look()

    async def _live_starts(
        self, sessions: Sequence[Session], heads: dict[str, Head]
    ) -> dict[Session, int]:
        """Where sessions begin that keep no position and whose stream was not known before.

        That is after the last event committed before they connected. Only where the head is
        newer than the connection a look at the last events is needed.
        """
        starts: dict[Session, int] = {}
        unsure: list[Session] = []
        for session in sessions:
            if session.position != NOWHERE:
                continue
            ends = heads[session.user_id]
            if session.device_id or ends.at < session.connected_at_ms:
                starts[session] = ends.head
            else:
                unsure.append(session)
        wants = [
            Want(s.user_id, max(heads[s.user_id].floor, heads[s.user_id].head - RECENT), RECENT)
            for s in unsure
        ]
        pages = await self._source.pages(wants) if wants else []
        for session, want, page in zip(unsure, wants, pages, strict=True):
            before = [e.seq for e in page.events if e.at < session.connected_at_ms]
            starts[session] = max(before, default=max(want.after, page.floor))
        return starts

    def _check_epoch(self, epoch: str) -> None:
        """A new epoch numbers anew: everybody reconnects and is then reset."""
        if epoch == self._hub.epoch:
            return
        log.warning("epoch_changed", before=self._hub.epoch, now=epoch)
        self._feed.set_epoch(epoch)
        self._positions.clear()
        now = _now()
        for stream in self._hub.clear(epoch):
            self._partitions.leave(stream.user_id, now)
            for session in stream.sessions:
                session.close(disconnect.EPOCH_CHANGED)
                self._write(session)

    # Pages

    def _want(self, session: Session) -> None:
        self._behind[session] = None
        self._wanted.set()

    async def _read_pages(self) -> None:
        await self._wanted.wait()
        sessions = self._next_to_read()
        if not sessions:
            self._wanted.clear()
            return
        wants = [Want(session.user_id, session.position, PAGE) for session in sessions]
        pages = await self._source.pages(wants)
        for session, page in zip(sessions, pages, strict=True):
            self._behind.pop(session, None)
            live, _ = self._hub.page(session, page, _now(), time.time())
            self.flush()
            if not live and not session.congested:
                self._want(session)
            # Live events of others pass between two pages.
            await asyncio.sleep(0)

    def _next_to_read(self) -> list[Session]:
        """Sessions that are behind, as many as one query may serve."""
        sessions: list[Session] = []
        events = 0
        for session in self._behind:
            missing = self.head(session.user_id) - session.position
            events += min(max(missing, 1), PAGE)
            sessions.append(session)
            if events >= EVENTS_PER_QUERY or len(sessions) >= USERS_PER_QUERY:
                break
        return sessions

    # Positions and partitions, once a second

    async def _keep(self) -> None:
        await asyncio.sleep(ACK_SOON)
        # Not wait_for(): until Python 3.12 it forgets that it was cancelled when a device leaves at
        # the same moment, as they do in a drain, which would then never end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACK_EVERY - ACK_SOON):
                await self._left.wait()
        self._left.clear()
        self._partitions.tick(_now())
        await self._source.ready()
        self._answered_at = _now()
        await self._store_positions()

    async def _store_positions(self) -> None:
        await self._positions.store(self._source, now=int(time.time() * 1000))


def _waiting(sessions: Iterable[Session]) -> list[Session]:
    """Those that still wait for their place: the rest has left, or was closed."""
    return [session for session in sessions if session.state is State.JOINING]


def _now() -> float:
    return asyncio.get_running_loop().time()
