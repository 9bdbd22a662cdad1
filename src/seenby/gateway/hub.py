"""Which sessions are here, and how far each connected user's stream has come.

No I/O: events, pages and time come in; sessions fill up with frames, and those that have
something to write wait in ``take_dirty()``. Rules that live here:

- A stream's ``seq`` is the last event that all its live sessions have been given. Whatever brings
  the next one (bus, backlog, hole, anti-entropy), it is offered to the stream and pushed once.
- Not newer than ``seq``: dropped. The next: pushed. Later than the next: held, the stream has a
  hole until the missing ones come from the bus or the store.
- A session that catches up is not pushed to. It reads pages until it meets the stream, and what
  the stream was given since it began (the tail) closes the gap in memory.
- A frame is encoded once for all sessions of a user.
- Silent sessions are sent receipts only. What they are not sent, and what is erased, takes their
  place in the stream along all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seenby.gateway.frames import receipt, update
from seenby.gateway.session import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seenby.gateway.session import Begin, Session
    from seenby.model import Event
    from seenby.store.base import Page

HOLD_LIMIT = 1000
"""Events held above a hole; what does not fit is read from the store."""

TAIL_LIMIT = 1000
"""Events remembered for sessions that catch up; a longer gap takes another page."""

_UNKNOWN = -2
"""A stream's seq before the store has told its head (never one less than a real seq)."""


class Stream:
    """One connected user: position, sessions, and what waits.

    ``highest`` is the highest seq heard of: the stream has a hole while ``seq`` is below it.
    """

    __slots__ = ("catching_up", "held", "highest", "live", "seq", "tail", "user_id")

    def __init__(self, user_id: str) -> None:
        """Nothing is known of the user's stream yet."""
        self.user_id = user_id
        self.seq = _UNKNOWN
        self.highest = 0
        self.live: list[Session] = []
        self.catching_up: list[Session] = []
        self.held: dict[int, Event] | None = None
        self.tail: list[Event] | None = None

    @property
    def known(self) -> bool:
        """Whether the store has told where the stream stands."""
        return self.seq != _UNKNOWN

    @property
    def sessions(self) -> list[Session]:
        """All sessions of the user."""
        return [*self.live, *self.catching_up]


class Hub:
    """The streams of the users connected to this gateway.

    Time comes in twice, in seconds: ``now`` by any steady clock, ``wall`` since the Unix epoch.

    ``epoch`` is the one in force. ``from_bus`` counts events that the bus brought first.
    ``pushed`` (commit times in ms), ``devices`` (how many each was pushed to) and ``traces``
    (None: not asked for) tell what was pushed, ``lost`` how many events silent clients missed
    because they were no longer kept; the owner reads and clears them.
    """

    def __init__(self) -> None:
        """Nobody is here."""
        self.streams: dict[str, Stream] = {}
        self.epoch = ""
        self.from_bus = 0
        self.pushed: list[int] = []
        self.devices: list[int] = []
        self.traces: list[tuple[str, str, int]] | None = None
        self.lost = 0
        self._dirty: dict[Session, None] = {}
        self._holes: dict[str, float] = {}

    @property
    def sessions(self) -> int:
        """How many sessions are here."""
        return sum(len(stream.sessions) for stream in self.streams.values())

    # Sessions come and go

    def enter(self, session: Session) -> None:
        """A session joins its user's stream; it catches up until it goes live.

        Where the stream is known, the session's position is its place at this moment: a client
        that keeps no position begins there.
        """
        stream = self.streams.get(session.user_id)
        if stream is None:
            stream = self.streams[session.user_id] = Stream(session.user_id)
        elif stream.known:
            session.position = stream.seq
        stream.catching_up.append(session)

    def leave(self, session: Session) -> bool:
        """A session is gone; whether it was the user's last. Unknown sessions are ignored."""
        stream = self.streams.get(session.user_id)
        if stream is None:
            return False
        if session in stream.live:
            stream.live.remove(session)
        elif session in stream.catching_up:
            stream.catching_up.remove(session)
            self._drop_tail(stream)
        else:
            return False
        if stream.live or stream.catching_up:
            return False
        del self.streams[session.user_id]
        self._holes.pop(session.user_id, None)
        return True

    def clear(self, epoch: str) -> list[Stream]:
        """A new epoch numbers anew: forget every stream; returns them with their sessions."""
        streams = list(self.streams.values())
        # The same dict: the feed looks into it from another thread.
        self.streams.clear()
        self.epoch = epoch
        self._holes.clear()
        return streams

    def begin(self, session: Session, start: Begin, now: float, wall: float) -> bool:
        """The ends of the user's stream are known: the session begins; whether it is live now."""
        stream = self.streams[session.user_id]
        if not stream.known:
            stream.seq = start.head
            if stream.held is not None:
                stream.held = {seq: e for seq, e in stream.held.items() if seq > start.head}
        stream.highest = max(stream.highest, start.head)
        self._drain_held(stream, wall)
        self._note_hole(stream, now)
        self.lost += session.begin(start)
        self.touch(session)
        return self._meet(stream, session, wall)

    # Events

    def dispatch(self, events: Iterable[Event], now: float, wall: float) -> None:
        """Events have come from the bus; those of users who left meanwhile are dropped."""
        stream_of, advance, holes = self.streams.get, self._advance, self._holes
        for event in events:
            stream = stream_of(event.sender_id)
            if stream is None:
                continue
            seq = event.seq
            if seq == stream.seq + 1:
                self.from_bus += 1
                advance(stream, event, wall)
                if holes or stream.held is not None:
                    self._drain_held(stream, wall)
                    self._note_hole(stream, now)
            elif seq == 0:
                self._push(stream, event, wall)
            elif seq > stream.seq:
                self._hold(stream, event)
                self._note_hole(stream, now)

    def page(self, session: Session, page: Page, now: float, wall: float) -> tuple[bool, int]:
        """A page that a session asked for (after its position) has come.

        Returns whether the session is live now, and how many events were news to the stream.
        """
        stream = self.streams.get(session.user_id)
        if stream is None or session.state is not State.CATCHING_UP:
            return True, 0
        if page.floor > session.position:
            self._cut(stream, session, page)
        self._give(session, page.events, wall)
        news = self._offer(stream, page.events, now, wall)
        return self._meet(stream, session, wall), news

    def fill(self, user_id: str, page: Page, now: float, wall: float) -> int:
        """A page after the stream's seq has come, for a hole or by anti-entropy.

        Returns how many events were news to the stream.
        """
        stream = self.streams.get(user_id)
        if stream is None or not stream.known:
            return 0
        if page.floor > stream.seq:
            for session in stream.live:
                self._cut(stream, session, page)
            stream.seq = page.floor
            stream.tail = None
        # What is still missing afterwards is a new hole: the store is not asked without a pause.
        self._holes.pop(user_id, None)
        return self._offer(stream, page.events, now, wall)

    def disbelieve(self, user_id: str, heard_of: int, head: int) -> bool:
        """Forget what the bus told above *head*, the store's; whether anything was.

        *heard_of* is the stream's ``highest`` when the store was asked. An event is committed
        before it is published, so one that the store does not have is none of ours; waiting for
        it would leave a hole for ever.
        """
        stream = self.streams.get(user_id)
        if stream is None or not head < heard_of <= stream.highest:
            return False
        if stream.held is not None:
            stream.held = {seq: event for seq, event in stream.held.items() if seq <= head} or None
        stream.highest = max(stream.seq, head)
        return True

    def holes(self, before: float) -> list[str]:
        """Users whose streams have had a hole since before *before*."""
        return [user_id for user_id, since in self._holes.items() if since <= before]

    def oldest_hole(self) -> float | None:
        """Since when the oldest hole has been there; None when there is none."""
        return next(iter(self._holes.values()), None)

    def behind(self, user_id: str, head: int) -> bool:
        """Whether the store has more of a user's stream than the sessions here were given."""
        stream = self.streams.get(user_id)
        return stream is not None and stream.known and stream.seq < head

    # What is to be written

    def touch(self, session: Session) -> None:
        """A session has something to write."""
        self._dirty[session] = None

    def take_dirty(self) -> list[Session]:
        """Sessions that have something to write; each is listed once and then forgotten."""
        dirty = list(self._dirty)
        self._dirty.clear()
        return dirty

    # Inside

    def _cut(self, stream: Stream, session: Session, page: Page) -> None:
        """Events that a session does not have are gone; it may be told to go on at the head."""
        stream.highest = max(stream.highest, page.head)
        self.lost += session.cut(self.epoch, page.floor, page.head)
        self.touch(session)

    def _offer(self, stream: Stream, events: Sequence[Event], now: float, wall: float) -> int:
        """Events from the store, contiguous: push those that are the stream's next."""
        news = 0
        if not stream.known:
            return news
        for event in events:
            if event.seq == stream.seq + 1:
                if stream.held is None or stream.held.pop(event.seq, None) is None:
                    news += 1
                self._advance(stream, event, wall)
        self._drain_held(stream, wall)
        self._note_hole(stream, now)
        return news

    def _advance(self, stream: Stream, event: Event, wall: float) -> None:
        stream.seq = seq = event.seq
        if seq > stream.highest:  # noqa: PLR1730 -- max() is a call, 60 ns of each delivery
            stream.highest = seq
        if stream.catching_up:
            if stream.tail is None:
                stream.tail = []
            elif len(stream.tail) >= TAIL_LIMIT:
                del stream.tail[: TAIL_LIMIT // 2]
            stream.tail.append(event)
        self._push(stream, event, wall)

    def _push(self, stream: Stream, event: Event, wall: float) -> None:
        live = stream.live
        if not live:
            return
        seq, at = event.seq, event.at
        if event.kind or not event.msg_id:
            live = self._shown_to(live, event)
            if not live:
                return
            frame = update(event, int(wall))
        else:
            frame = receipt(event, int(wall))
        dirty = self._dirty
        for session in live:
            session.push(frame, seq, at)
            dirty[session] = None
        self.pushed.append(at)
        self.devices.append(len(live))
        if self.traces is not None and event.trace:
            self.traces.append((event.trace, event.sender_id, seq))

    def _shown_to(self, live: Sequence[Session], event: Event) -> list[Session]:
        """Those that are sent an event which is no receipt, or erased; the others pass over it."""
        shown: list[Session] = []
        for session in live:
            if _is_shown(event, session):
                shown.append(session)
            elif session.skip(event.seq):
                self.touch(session)
        return shown

    def _hold(self, stream: Stream, event: Event) -> None:
        stream.highest = max(stream.highest, event.seq)
        if stream.held is None:
            stream.held = {}
        if len(stream.held) < HOLD_LIMIT:
            stream.held[event.seq] = event

    def _drain_held(self, stream: Stream, wall: float) -> None:
        held = stream.held
        if held is None:
            return
        while (event := held.pop(stream.seq + 1, None)) is not None:
            self.from_bus += 1
            self._advance(stream, event, wall)
        if not held or stream.seq >= stream.highest:
            stream.held = None

    def _note_hole(self, stream: Stream, now: float) -> None:
        if stream.known and stream.seq < stream.highest:
            self._holes.setdefault(stream.user_id, now)
        else:
            self._holes.pop(stream.user_id, None)

    def _give(self, session: Session, events: Sequence[Event], wall: float) -> None:
        """Write those of *events* that a catching-up session does not have yet."""
        timestamp = int(wall)
        new = [event for event in events if event.seq > session.position]
        if new:
            shown = [_frame(e, timestamp) for e in new if _is_shown(e, session)]
            session.page(shown, new[-1].seq)
        self.touch(session)

    def _meet(self, stream: Stream, session: Session, wall: float) -> bool:
        """Let a session go live if it has what the stream has, or the tail has the rest."""
        if session.state is not State.CATCHING_UP:
            return True
        tail = stream.tail
        if session.position < stream.seq and tail and tail[0].seq <= session.position + 1:
            self._give(session, tail, wall)
        if session.position < stream.seq:
            return False
        stream.catching_up.remove(session)
        stream.live.append(session)
        self._drop_tail(stream)
        session.live()
        return True

    def _drop_tail(self, stream: Stream) -> None:
        if not stream.catching_up:
            stream.tail = None


def _is_shown(event: Event, session: Session) -> bool:
    return bool(event.msg_id) and not (event.kind and session.silent)


def _frame(event: Event, timestamp: int) -> bytes:
    return update(event, timestamp) if event.kind else receipt(event, timestamp)
