"""Session and hub against a simple model: whatever happens in whatever order, nothing is missed.

The model is a list of events, and clients that check what they receive. The bus loses, doubles and
reorders; heads, pages and fills are read at one moment and arrive at another; clients are cut off
with frames on the way; events are trimmed and erased; a new epoch begins. Events are of every kind:
silent clients are owed the receipts among them, the others all.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from seenby.gateway import disconnect
from seenby.gateway.disconnect import Disconnect
from seenby.gateway.frames import MAX_MESSAGE
from seenby.gateway.hub import Hub
from seenby.gateway.session import NOWHERE, Begin, Ping, Session, State
from seenby.model import ANYONE, TYPE_OF_KIND, Event, Kind, Position
from seenby.store.base import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# So many examples may take minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

USER = "sender"
PAGE = 4
"""Short pages, so that catching up takes several."""

REPLAY_LIMIT = 12

KINDS = st.lists(st.sampled_from(Kind), min_size=1, max_size=6)


class Client:
    """One device: what it has, and a check of everything it receives.

    ``have`` is the seq up to which it has everything it was promised, in ``epoch``.
    """

    def __init__(self, name: str, *, silent: bool, batch: bool, says_seq: bool) -> None:
        self.name = name
        self.silent = silent
        self.batch = batch
        self.says_seq = says_seq
        self.epoch = ""
        self.have: int | None = None
        self.session: Session | None = None
        self.wire: list[bytes | Ping | Disconnect] = []
        self.heads: tuple[str, int, int, Position | None] | None = None
        self.born_at = 0
        self.page: Page | None = None


class Streams(RuleBasedStateMachine):
    """One user's stream, its devices, and everything that may go wrong between them."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub()
        self.now = 0.0
        self.epochs = 0
        self.events: list[Event] = []
        self.floors = {"e0": 0}
        self.erased: dict[str, set[int]] = {"e0": set()}
        self.updates: dict[str, set[int]] = {"e0": set()}
        self.flying: list[Event] = []
        self.fill: tuple[str, Page] | None = None
        self.late: list[tuple[Session, Page]] = []
        self.stored: dict[str, Position] = {}
        self.clients: list[Client] = []

    @initialize(
        known=st.lists(st.sampled_from(Kind), max_size=6),
        here=st.sets(st.integers(0, 4), min_size=1),
    )
    def _begin(self, known: list[Kind], here: set[int]) -> None:
        self.hub.epoch = "e0"
        self._commit(known)
        self.flying.clear()
        for name in ("phone", ""):
            self.clients.append(Client(name, silent=True, batch=False, says_seq=False))
        for name, batch, says_seq in (("tablet", True, True), ("web", False, False)):
            self.clients.append(Client(name, silent=False, batch=batch, says_seq=says_seq))
        self.clients.append(Client("", silent=False, batch=False, says_seq=True))
        for number in here:
            self._connect(self.clients[number])
            self._settle(self.clients[number])

    # The store

    @property
    def head(self) -> int:
        """The last seq given."""
        return len(self.events)

    @property
    def epoch(self) -> str:
        """The store's epoch; the hub learns it at once."""
        return f"e{self.epochs}"

    @property
    def floor(self) -> int:
        """The last seq trimmed."""
        return self.floors[self.epoch]

    def _commit(self, kinds: list[Kind]) -> None:
        for kind in kinds:
            seq = self.head + 1
            made = Event(USER, seq, f"{self.epoch}-{seq}", "reader", "c", 1_000, 1_000, kind=kind)
            self.events.append(made)
            self.flying.append(made)
            if kind != Kind.RECEIPT:
                self.updates[self.epoch].add(seq)

    def _page(self, after: int) -> Page:
        first = max(after, self.floor)
        return Page(self.head, self.floor, self.events[first : first + PAGE])

    @rule(kinds=KINDS, data=st.data())
    def commit(self, kinds: list[Kind], data: st.DataObject) -> None:
        """Marks are recorded and published; some records arrive at once, in any order."""
        self._commit(kinds)
        self._deliver(data)

    @precondition(lambda self: self.head > self.floor)
    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        """The oldest events are deleted."""
        self.floors[self.epoch] = data.draw(st.integers(self.floor + 1, self.head))

    @precondition(lambda self: self.head > self.floor)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """A person is forgotten: the event keeps its place and is not shown."""
        seq = data.draw(st.integers(self.floor + 1, self.head))
        self.events[seq - 1] = replace(self.events[seq - 1], msg_id="")
        self.erased[self.epoch].add(seq)

    @precondition(lambda self: self.epochs < 2)
    @rule(data=st.data())
    def new_epoch(self, data: st.DataObject) -> None:
        """A backup is restored: some events are gone and their seqs are given again."""
        del self.events[data.draw(st.integers(0, self.head)) :]
        floor = min(self.floor, self.head)
        erased = {event.seq for event in self.events if not event.msg_id}
        self.epochs += 1
        self.floors[self.epoch], self.erased[self.epoch] = floor, erased
        self.updates[self.epoch] = {event.seq for event in self.events if event.kind}
        self.flying.clear()
        self.fill = None
        for stream in self.hub.clear(self.epoch):
            for session in stream.sessions:
                session.close(disconnect.EPOCH_CHANGED)
        self._flush()

    # The bus

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Some records arrive later."""
        self._deliver(data)

    def _deliver(self, data: st.DataObject) -> None:
        """Some of the records on the way arrive, in any order; each may come again, or be lost."""
        picked = data.draw(st.lists(st.sampled_from(self.flying), max_size=6))
        if data.draw(st.booleans()):
            self.flying = [event for event in self.flying if event not in picked]
        self.hub.dispatch(picked, self.now, 1.0)
        self._flush()

    @precondition(lambda self: self.flying)
    @rule()
    def deliver_in_order(self) -> None:
        """The bus does what it should."""
        self.hub.dispatch(self.flying, self.now, 1.0)
        self.flying.clear()
        self._flush()

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A record never arrives."""
        self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))

    # Clients

    def _one(self, data: st.DataObject, fits: Callable[[Client], bool]) -> Client:
        return data.draw(st.sampled_from([client for client in self.clients if fits(client)]))

    @precondition(lambda self: any(client.session is None for client in self.clients))
    @rule(data=st.data(), settled=st.booleans())
    def connect(self, data: st.DataObject, settled: bool) -> None:
        """A device connects; it may wait for its place while other things happen."""
        client = self._one(data, lambda c: c.session is None)
        self._connect(client)
        if settled:
            self._settle(client)

    def _connect(self, client: Client) -> None:
        session = Session(silent=client.silent, user_id=USER, device_id=client.name, now=self.now)
        if not client.silent:
            session.admit(ANYONE, self.now, 0.0)
            hello: dict[str, Any] = {"type": "hello", "batch": client.batch}
            if client.says_seq and client.have is not None:
                hello |= {"epoch": client.epoch, "seq": client.have}
            session.receive(json.dumps(hello).encode(), self.now)
        assert session.admit(ANYONE, self.now, 0.0)
        client.session, client.born_at, client.page = session, self.head, None
        client.wire.clear()
        client.heads = None
        self.hub.enter(session)

    @precondition(lambda self: any(map(_waits, self.clients)))
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        """A session that waits for the store comes a step nearer: it is asked, or it answers."""
        client = self._one(data, _waits)
        if client.page is not None:
            self._give(client)
        elif _is(client, State.CATCHING_UP):
            assert client.session is not None
            client.page = self._page(client.session.position)
        elif client.heads is None:
            client.heads = (self.epoch, self.head, self.floor, self.stored.get(client.name))
        else:
            self._start(client)

    def _start(self, client: Client) -> None:
        session = client.session
        assert session is not None
        assert client.heads is not None
        epoch, head, floor, stored = client.heads
        if epoch != self.hub.epoch:
            client.heads = None
            return
        born_at = client.born_at if session.position == NOWHERE else session.position
        start = Begin(epoch, head, floor, born_at, stored if client.name else None, REPLAY_LIMIT)
        self._expect(client, start)
        self.hub.begin(session, start, self.now, 1.0)
        self._flush()

    def _expect(self, client: Client, start: Begin) -> None:
        """What the contract promises this client from now on."""
        before = (client.epoch, client.have)
        client.epoch = start.epoch
        if client.says_seq and before[1] is not None:
            return  # It goes on where it was, or is told by a reset.
        if not client.name:
            client.have = start.live_from
        elif start.stored is None:
            client.have = start.floor
        elif start.stored.epoch == start.epoch and start.stored.seq >= start.floor:
            client.have = start.stored.seq
        elif client.silent:
            client.have = start.floor
        if client.silent and client.name and before[0] == start.epoch and before[1] is not None:
            assert client.have is not None
            self._nothing_between(client, before[1], client.have)

    def _give(self, client: Client) -> None:
        assert client.session is not None
        assert client.page is not None
        self.hub.page(client.session, client.page, self.now, 1.0)
        client.page = None
        self._flush()

    @precondition(lambda self: self.late)
    @rule()
    def page_for_one_that_left(self) -> None:
        """It was on its way when the socket closed; the user may be here again."""
        session, page = self.late.pop()
        self.hub.page(session, page, self.now, 1.0)
        self._flush()
        assert session.data_to_send() == []

    @rule()
    def read_fill(self) -> None:
        """A hole, or anti-entropy: the store is asked for what the stream lacks."""
        stream = self.hub.streams.get(USER)
        if self.fill is None and stream is not None and stream.known:
            self.fill = (self.epoch, self._page(stream.seq))

    @precondition(lambda self: self.fill is not None)
    @rule()
    def filled(self) -> None:
        """The answer is here; the stream may be further, or another one."""
        assert self.fill is not None
        (epoch, page), self.fill = self.fill, None
        if epoch == self.hub.epoch:
            self.hub.fill(USER, page, self.now, 1.0)
            self._flush()

    @precondition(lambda self: any(client.wire for client in self.clients))
    @rule(data=st.data(), count=st.integers(1, 10))
    def receive(self, data: st.DataObject, count: int) -> None:
        """Some of what is on the wire arrives."""
        self._receive(self._one(data, lambda c: bool(c.wire)), count)

    def _receive(self, client: Client, count: int) -> None:
        arrived, client.wire = client.wire[:count], client.wire[count:]
        for item in arrived:
            if isinstance(item, Disconnect):
                self._close(client, clean=True)
            elif isinstance(item, Ping):
                self._pong(client, item.payload)
            else:
                self._check(client, json.loads(item))

    def _check(self, client: Client, item: dict[str, Any]) -> None:
        match item["type"]:
            case "welcome":
                assert not client.silent
                if client.have is None:
                    # Nothing was promised but what the reset that follows will say.
                    assert item["resumed"] is False
            case "reset":
                assert not client.silent
                client.have = item["seq"]
            case "read_receipts":
                assert client.batch
                assert len(item["receipts"]) > 1, "a batch of one"
                for receipt in item["receipts"]:
                    assert receipt["type"] == "read_receipt"
                    self._got(client, receipt)
            case "read_receipt":
                self._got(client, item)
            case _:
                assert not client.silent
                self._got(client, item)

    def _got(self, client: Client, item: dict[str, Any]) -> None:
        seq = item["seq"]
        assert client.have is not None
        assert seq > client.have, f"{client.name}: {seq} again or out of order"
        if client.epoch == self.epoch:
            event = self.events[seq - 1]
            assert event.msg_id in {item["msg_id"], ""}, "another event"
            assert TYPE_OF_KIND[event.kind] == item["type"], "another kind"
        self._nothing_between(client, client.have, seq - 1)
        client.have = seq

    def _nothing_between(self, client: Client, have: int, last: int) -> None:
        """Nobody needs to be shown any event after *have* up to *last*.

        They are erased; a silent client, which cannot be told of a reset, may find them trimmed,
        and is owed receipts only.
        """
        kept = max(have, self.floors[client.epoch]) if client.silent else have
        missed = set(range(kept + 1, last + 1)) - self.erased[client.epoch]
        if client.silent:
            missed -= self.updates[client.epoch]
        assert not missed, f"{missed} never came"

    def _pong(self, client: Client, payload: bytes) -> None:
        assert client.session is not None
        seq = client.session.pong(payload, self.now)
        if seq is not None:
            self._acknowledge(client, seq)

    def _acknowledge(self, client: Client, seq: int) -> None:
        """The store is told; the device must really have it all."""
        session = client.session
        assert session is not None
        if session.epoch != self.hub.epoch:
            return
        assert client.have is not None
        self._nothing_between(client, client.have, seq)
        known = self.stored.get(client.name)
        if known is None or known.epoch != session.epoch or known.seq < seq:
            self.stored[client.name] = Position(session.epoch, seq)

    @precondition(lambda self: any(map(_silent_and_here, self.clients)))
    @rule(data=st.data())
    def ping(self, data: st.DataObject) -> None:
        """A silent client is asked how far it is."""
        session = self._one(data, _silent_and_here).session
        assert session is not None
        self.now += 0.8
        self.hub.touch(session)
        self._flush()

    @precondition(lambda self: any(map(_may_acknowledge, self.clients)))
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        """A device acknowledges what it has."""
        client = self._one(data, _may_acknowledge)
        assert client.have is not None
        assert client.have <= self.hub.streams[USER].highest, "an ack would be refused"
        self._acknowledge(client, client.have)

    @precondition(lambda self: any(client.session for client in self.clients))
    @rule(data=st.data(), received=st.integers(0, 8), how=st.sampled_from(["cut", "left", "drain"]))
    def end(self, data: st.DataObject, received: int, how: str) -> None:
        """A connection ends.

        It breaks, and what is still on the wire is lost; or the client closes, having read
        everything; or the gateway closes, and the socket stays until the client has answered.
        """
        client = self._one(data, lambda c: c.session is not None)
        session = client.session
        assert session is not None
        if how == "drain":
            session.close(disconnect.DRAIN)
            self.hub.touch(session)
            self._flush()
        else:
            self._receive(client, received if how == "cut" else len(client.wire))
            self._close(client, clean=how == "left")

    def _close(self, client: Client, *, clean: bool) -> None:
        session = client.session
        if session is None:
            return
        session.gone()
        self.hub.leave(session)
        if clean and session.silent and session.resumes:
            self._acknowledge(client, session.position)
        if client.page is not None:
            self.late.append((session, client.page))
        client.session = client.page = None
        client.wire.clear()

    # Both sides

    def _flush(self) -> None:
        """Write as the server does: a silent device is asked whenever something is written."""
        for touched in self.hub.take_dirty():
            touched.ask(self.now)
        for client in self.clients:
            session = client.session
            if session is not None:
                written = session.data_to_send()
                _check_shapes(client, written)
                client.wire += written

    @invariant()
    def the_hub_counts_right(self) -> None:
        """Its count of sessions is that of its streams, and no stream is empty."""
        streams = self.hub.streams.values()
        assert self.hub.sessions == sum(len(stream.sessions) for stream in streams)
        assert all(stream.sessions for stream in streams)
        assert all(stream.tail is None for stream in streams if not stream.catching_up)

    def teardown(self) -> None:
        """Once everything has been read, every device has everything."""
        for client in self.clients:
            if client.session is not None and client.session.state is not State.CLOSED:
                self._settle(client)
        stream = self.hub.streams.get(USER)
        while stream is not None and stream.known and stream.seq < self.head:
            self.hub.fill(USER, self._page(stream.seq), self.now, 1.0)
        self._flush()
        for client in self.clients:
            self._receive(client, len(client.wire))
            if client.session is not None:
                assert client.session.state is State.LIVE
                assert client.have is not None
                self._nothing_between(client, client.have, self.head)
        self._know_positions()
        if stream is not None and stream.known:
            assert stream.held is None
            assert self.hub.oldest_hole() is None

    def _know_positions(self) -> None:
        """A second after whatever came, it is known how far each silent device is."""
        self.now += 1.0
        for client in self.clients:
            session = client.session
            if session is not None and session.confirms:
                session.expire(self.now)
                self._flush()
                self._receive(client, len(client.wire))
                assert session.confirmed == session.position, f"{client.name} was not asked"

    def _settle(self, client: Client) -> None:
        session = client.session
        assert session is not None
        if session.state is State.JOINING:
            client.heads = (self.epoch, self.head, self.floor, self.stored.get(client.name))
            self._start(client)
        for _ in range(self.head + 1):
            if session.state is State.LIVE:
                return
            client.page = self._page(session.position)
            self._give(client)
        assert session.state is State.LIVE, "catching up never ends"


def _check_shapes(client: Client, written: Sequence[bytes | Ping | Disconnect]) -> None:
    """What is written together has no two receipts beside each other for who takes batches."""
    frames = [item if isinstance(item, bytes) else b"" for item in written]
    assert all(len(frame) <= MAX_MESSAGE for frame in frames)
    receipts = [frame.startswith(b'{"type":"read_receipt') for frame in frames]
    assert not client.batch or not any(map(all, itertools.pairwise(receipts)))


def _waits(client: Client) -> bool:
    return client.page is not None or _is(client, State.JOINING) or _is(client, State.CATCHING_UP)


def _silent_and_here(client: Client) -> bool:
    return client.silent and client.session is not None


def _may_acknowledge(client: Client) -> bool:
    """Whether it is a device that has read its welcome, and what it has been sent so far."""
    begun = _is(client, State.LIVE) or _is(client, State.CATCHING_UP)
    return begun and bool(client.name) and not client.silent and not client.wire


def _is(client: Client, state: State) -> bool:
    return client.session is not None and client.session.state is state


TestStreams = Streams.TestCase
TestStreams.settings = settings(
    max_examples=80,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
