"""How far each stream has come, and who is given what; the orders at large are a property test."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from seenby.gateway import disconnect
from seenby.gateway.hub import HOLD_LIMIT, TAIL_LIMIT, Hub
from seenby.gateway.session import NOWHERE, Session, State
from seenby.model import TYPE_OF_KIND, Kind
from seenby.store.base import Page
from tests.unit.gateway.clients import (
    EPOCH,
    event,
    events,
    greeted,
    sent,
    seqs,
    silent,
    start,
    stored,
    types,
)


@pytest.fixture
def hub() -> Hub:
    """A hub of epoch e1, with nobody in it."""
    hub = Hub()
    hub.epoch = EPOCH
    return hub


def joined(hub: Hub, session: Session, **changes: Any) -> Session:
    """The session has its place in a stream of events 11 to 20; its welcome is taken."""
    hub.enter(session)
    hub.begin(session, start(**changes), 0.0, 1.0)
    session.data_to_send()
    return session


def page(first: int, last: int, *, head: int = 20, floor: int = 10) -> Page:
    """A page of the stream."""
    return Page(head, floor, events(first, last))


def dispatch(hub: Hub, *numbers: int, now: float = 0.0) -> None:
    """The bus brings events."""
    hub.dispatch([event(seq) for seq in numbers], now, 1.0)


class TestComingAndGoing:
    def test_a_session_catches_up_until_it_has_what_the_stream_has(self, hub: Hub) -> None:
        """Then it is live."""
        session = joined(hub, greeted(seq=15, epoch=EPOCH))
        assert session.state is State.CATCHING_UP
        live, news = hub.page(session, page(16, 20), 0.0, 1.0)
        assert (live, news, session.state) == (True, 0, State.LIVE)
        assert seqs(sent(session)) == [16, 17, 18, 19, 20]

    def test_one_that_is_at_the_head_is_live_at_once(self, hub: Hub) -> None:
        """No page is read for it."""
        session = greeted(seq=20, epoch=EPOCH)
        hub.enter(session)
        assert hub.begin(session, start(), 0.0, 1.0)
        assert session.state is State.LIVE

    def test_a_place_is_the_streams_at_the_moment_of_entering(self, hub: Hub) -> None:
        """Where the stream is known; else the store must tell."""
        first, second = silent(), silent()
        hub.enter(first)
        assert first.position == NOWHERE
        hub.begin(first, start(), 0.0, 1.0)
        dispatch(hub, 21)
        hub.enter(second)
        assert second.position == 21

    def test_the_last_one_takes_the_stream_along(self, hub: Hub) -> None:
        """And says so, once."""
        first, second = joined(hub, silent()), joined(hub, silent())
        assert (hub.leave(first), hub.sessions) == (False, 1)
        assert (hub.leave(first), hub.sessions) == (False, 1)
        assert (hub.leave(second), hub.sessions) == (True, 0)
        assert (hub.leave(second), hub.streams) == (False, {})

    def test_a_user_who_returns_begins_a_new_stream(self, hub: Hub) -> None:
        """What is left of the old session touches it no more."""
        old = joined(hub, greeted(seq=11, epoch=EPOCH))
        old.gone()
        hub.leave(old)
        new = joined(hub, greeted(seq=11, epoch=EPOCH))
        assert hub.page(old, page(12, 20), 0.0, 1.0) == (True, 0)
        assert hub.leave(old) is False
        assert sent(old) == []
        hub.page(new, page(12, 20), 0.0, 1.0)
        assert new.state is State.LIVE

    def test_a_page_for_one_that_left_does_not_disturb_the_others(self, hub: Hub) -> None:
        """The user has another session here."""
        stays = joined(hub, silent())
        leaves = joined(hub, greeted(seq=11, epoch=EPOCH))
        leaves.gone()
        hub.leave(leaves)
        assert hub.page(leaves, page(12, 20), 0.0, 1.0) == (True, 0)
        assert hub.streams["sender"].sessions == [stays]

    def test_a_new_epoch_begins_on_empty_streams(self, hub: Hub) -> None:
        """Who comes back before the old socket is gone meets nothing of the epoch before."""
        old = joined(hub, silent("phone"))
        dispatch(hub, 25)
        wanted = hub.streams
        [stream] = hub.clear("e2")
        assert stream.sessions == [old]
        assert (hub.epoch, hub.sessions, hub.oldest_hole()) == ("e2", 0, None)
        assert hub.streams is wanted
        new = joined(hub, silent("phone"), epoch="e2", head=3, floor=0)
        assert hub.leave(old) is False
        hub.dispatch([event(4)], 0.0, 1.0)
        hub.page(new, Page(4, 0, events(1, 4)), 0.0, 1.0)
        assert seqs(sent(new)) == [1, 2, 3, 4]


class TestLive:
    def test_the_next_is_pushed_to_all_from_one_frame(self, hub: Hub) -> None:
        """Encoded once for all sessions of a user."""
        sessions = [joined(hub, silent()), joined(hub, greeted(seq=20, epoch=EPOCH))]
        dispatch(hub, 21)
        first, second = (session.data_to_send() for session in sessions)
        assert first[0] is second[0]
        assert hub.take_dirty() == sessions
        assert hub.take_dirty() == []

    def test_what_is_not_newer_is_dropped(self, hub: Hub) -> None:
        """The bus may double."""
        session = joined(hub, silent())
        dispatch(hub, 21, 21, 20, 3)
        assert seqs(sent(session)) == [21]

    def test_what_is_later_than_the_next_is_held(self, hub: Hub) -> None:
        """Until the bus brings what is missing."""
        session = joined(hub, silent())
        dispatch(hub, 22, 24, 23, now=7.0)
        assert sent(session) == []
        assert (hub.oldest_hole(), hub.holes(7.0), hub.holes(6.9)) == (7.0, ["sender"], [])
        dispatch(hub, 21, now=8.0)
        assert seqs(sent(session)) == [21, 22, 23, 24]
        assert hub.oldest_hole() is None
        assert hub.streams["sender"].held is None

    def test_an_event_without_seq_takes_no_part(self, hub: Hub) -> None:
        """It is written to those who are live now, also while there is a hole."""
        live = joined(hub, silent())
        behind = joined(hub, greeted(seq=11, epoch=EPOCH))
        dispatch(hub, 22, 0)
        assert ("seq" in sent(live)[0], sent(behind)) == (False, [])
        assert hub.streams["sender"].seq == 20

    def test_users_who_are_not_here_are_passed_over(self, hub: Hub) -> None:
        """They may have left while their events were on the way."""
        hub.dispatch([event(1, "nobody")], 0.0, 1.0)
        assert (hub.streams, hub.take_dirty()) == ({}, [])

    def test_before_the_head_is_known_all_is_held(self, hub: Hub) -> None:
        """Then what the store does not have yet comes out, and nothing twice."""
        session = silent("phone")
        hub.enter(session)
        dispatch(hub, 19, 20, 21, 22)
        hub.begin(session, start(stored=stored(20)), 0.0, 1.0)
        assert seqs(sent(session)) == [21, 22]
        assert session.state is State.LIVE

    def test_what_is_pushed_is_told_for_the_metrics(self, hub: Hub) -> None:
        """Commit times, devices per push, traces where asked for."""
        hub.traces = []
        joined(hub, silent())
        joined(hub, silent())
        hub.dispatch([event(21, trace="t" * 32), event(22)], 0.0, 1.0)
        assert hub.pushed == [1_704_067_200_000] * 2
        assert hub.devices == [2, 2]
        assert hub.traces == [("t" * 32, "sender", 21)]

    def test_an_erased_event_moves_the_stream_only(self, hub: Hub) -> None:
        """Its place is kept, so nothing behind it waits."""
        session = joined(hub, silent())
        hub.dispatch([event(21, msg_id=""), event(22)], 0.0, 1.0)
        assert seqs(sent(session)) == [22]
        assert hub.devices == [1]


OTHER_KINDS = [kind for kind in Kind if kind != Kind.RECEIPT]


class TestOtherKinds:
    def test_they_come_in_the_streams_order(self, hub: Hub) -> None:
        """One seq for all kinds: live, from what was held, and from pages."""
        live = joined(hub, greeted(seq=20, epoch=EPOCH))
        behind = joined(hub, greeted(seq=18, epoch=EPOCH))
        kinds = [*OTHER_KINDS, Kind.RECEIPT]
        new = [event(21 + number, kind=kind) for number, kind in enumerate(kinds)]
        hub.dispatch([*new[1:], new[0]], 0.0, 1.0)
        old = [event(19, kind=Kind.COUNT), event(20)]
        hub.page(behind, Page(26, 10, old), 0.0, 1.0)
        names = [TYPE_OF_KIND[kind] for kind in kinds]
        out = sent(live)
        assert types(out) == names
        assert [item["seq"] for item in out] == list(range(21, 27))
        assert types(sent(behind)) == ["read_count", "read_receipt", *names]

    @pytest.mark.parametrize("kind", OTHER_KINDS)
    def test_silent_clients_pass_over_them(self, hub: Hub, kind: Kind) -> None:
        """Live and in pages; their position moves, and what follows is not held up."""
        quiet = joined(hub, silent())
        behind = joined(hub, silent("phone"), stored=stored(18))
        hub.dispatch([event(21, kind=kind), event(22), event(23, kind=kind)], 0.0, 1.0)
        hub.page(behind, Page(23, 10, [event(19, kind=kind), event(20)]), 0.0, 1.0)
        assert seqs(sent(quiet)) == [22]
        assert seqs(sent(behind)) == [20, 22]
        assert quiet.position == behind.position == 23

    def test_each_is_one_frame_for_all_sessions(self, hub: Hub) -> None:
        """Encoded once."""
        sessions = [joined(hub, greeted(seq=20, epoch=EPOCH)) for _ in range(2)]
        hub.dispatch([event(21, kind=Kind.READ_SELF)], 0.0, 1.0)
        first, second = (session.data_to_send() for session in sessions)
        assert first[0] is second[0]

    def test_they_count_as_pushed_to_those_who_were_sent_them(self, hub: Hub) -> None:
        """Silent clients are not; where there is nobody else, nothing was pushed."""
        hub.traces = []
        joined(hub, silent())
        dispatched = event(21, kind=Kind.READ_SELF, trace="t" * 32)
        hub.dispatch([dispatched], 0.0, 1.0)
        assert (hub.pushed, hub.devices, hub.traces) == ([], [], [])
        for _ in range(2):
            joined(hub, greeted(seq=21, epoch=EPOCH), head=21)
        hub.dispatch([replace(dispatched, seq=22)], 0.0, 1.0)
        assert (len(hub.pushed), hub.devices) == (1, [2])
        assert hub.traces == [("t" * 32, "sender", 22)]

    def test_an_erased_one_is_shown_to_nobody(self, hub: Hub) -> None:
        """Whatever its kind; it keeps its place."""
        session = joined(hub, greeted(seq=20, epoch=EPOCH))
        hub.dispatch([event(21, msg_id="", kind=Kind.WITHDRAWN), event(22)], 0.0, 1.0)
        assert seqs(sent(session)) == [22]

    @pytest.mark.parametrize("changes", [{"kind": Kind.COUNT}, {"msg_id": ""}])
    def test_a_silent_device_that_passes_over_one_is_to_be_asked(
        self, hub: Hub, changes: dict[str, Any]
    ) -> None:
        """Else it would be served the same events again; without a device nothing is written."""
        phone = joined(hub, silent("phone"), stored=stored(20))
        joined(hub, silent())
        hub.take_dirty()
        hub.dispatch([event(21, **changes)], 0.0, 1.0)
        assert hub.take_dirty() == [phone]


class TestHoles:
    def test_a_page_from_the_store_fills_it(self, hub: Hub) -> None:
        """What the bus never brought counts as news; what was held does not."""
        session = joined(hub, silent())
        dispatch(hub, 23)
        assert hub.fill("sender", page(21, 23, head=23), 1.0, 1.0) == 2
        assert seqs(sent(session)) == [21, 22, 23]
        assert hub.oldest_hole() is None

    def test_one_that_the_store_cannot_fill_is_not_asked_for_without_a_pause(
        self, hub: Hub
    ) -> None:
        """It counts as new from the last try on."""
        joined(hub, silent())
        dispatch(hub, 30, now=1.0)
        hub.fill("sender", page(21, 20), 5.0, 1.0)
        assert (hub.holes(4.9), hub.oldest_hole()) == ([], 5.0)

    def test_events_trimmed_below_the_stream_are_a_reset(self, hub: Hub) -> None:
        """For those who do not have them; silent clients go on at what is kept."""
        talking = joined(hub, greeted(seq=20, epoch=EPOCH))
        quiet = joined(hub, silent("phone"), stored=stored(20))
        hub.fill("sender", Page(40, 30, events(31, 40)), 0.0, 1.0)
        assert types(sent(talking)) == ["reset"]
        assert seqs(sent(quiet)) == list(range(31, 41))
        assert (talking.position, quiet.position, hub.lost) == (40, 40, 10)

    def test_one_ahead_of_the_stream_is_told_of_no_reset(self, hub: Hub) -> None:
        """It has had what was trimmed, and does not go back."""
        joined(hub, silent())
        ahead = joined(hub, greeted(seq=25, epoch=EPOCH), head=25)
        quiet = joined(hub, silent("phone"), head=25, stored=stored(25))
        hub.fill("sender", Page(26, 23, events(24, 26)), 0.0, 1.0)
        assert seqs(sent(ahead)) == seqs(sent(quiet)) == [26]

    def test_what_is_held_is_bounded(self, hub: Hub) -> None:
        """The rest comes from the store; the stream knows how far it must go."""
        joined(hub, silent())
        dispatch(hub, *range(22, 22 + 2 * HOLD_LIMIT))
        stream = hub.streams["sender"]
        assert stream.held is not None
        assert (len(stream.held), stream.highest) == (HOLD_LIMIT, 21 + 2 * HOLD_LIMIT)

    def test_a_head_that_the_bus_has_not_brought_yet_is_a_hole(self, hub: Hub) -> None:
        """And none any more as soon as it has."""
        joined(hub, silent())
        joined(hub, silent("phone"), head=22, stored=stored(22))
        assert hub.oldest_hole() == 0.0
        dispatch(hub, 21)
        dispatch(hub, 22)
        assert hub.oldest_hole() is None


class TestCatchingUp:
    def test_the_tail_closes_the_gap_in_memory(self, hub: Hub) -> None:
        """What the stream was given since the session began is not read again."""
        session = joined(hub, greeted(seq=18, epoch=EPOCH))
        dispatch(hub, 21, 22)
        assert sent(session) == []
        live, _ = hub.page(session, page(19, 20), 0.0, 1.0)
        assert live
        assert seqs(sent(session)) == [19, 20, 21, 22]
        assert hub.streams["sender"].tail is None

    def test_a_gap_larger_than_the_tail_takes_another_page(self, hub: Hub) -> None:
        """The tail is bounded, and never used with a gap before it."""
        session = joined(hub, greeted(seq=18, epoch=EPOCH))
        last = 21 + TAIL_LIMIT
        dispatch(hub, *range(21, last + 1))
        live, _ = hub.page(session, page(19, 20, head=last), 0.0, 1.0)
        assert (live, session.position) == (False, 20)
        hub.page(session, page(21, 800, head=last), 0.0, 1.0)
        assert session.state is State.LIVE
        assert seqs(sent(session)) == list(range(19, last + 1))

    def test_a_page_may_bring_the_stream_forward(self, hub: Hub) -> None:
        """Whoever brings the next one first: it is pushed once to all."""
        live = joined(hub, silent())
        behind = joined(hub, greeted(seq=18, epoch=EPOCH))
        _, news = hub.page(behind, page(19, 22, head=22), 0.0, 1.0)
        dispatch(hub, 21, 22)
        assert news == 2
        assert seqs(sent(live)) == [21, 22]
        assert seqs(sent(behind)) == [19, 20, 21, 22]

    def test_events_trimmed_while_it_reads_are_a_reset(self, hub: Hub) -> None:
        """And the head it is told of may be acknowledged."""
        session = joined(hub, greeted(seq=11, epoch=EPOCH))
        live, _ = hub.page(session, page(19, 20, head=22, floor=18), 0.0, 1.0)
        out = sent(session)
        assert (live, types(out), out[0]["seq"]) == (True, ["reset"], 22)
        assert hub.streams["sender"].highest == 22

    def test_a_tail_has_no_gap(self, hub: Hub) -> None:
        """Events trimmed below the stream are not skipped over in silence."""
        session = joined(hub, greeted(seq=18, epoch=EPOCH))
        dispatch(hub, 21)
        hub.fill("sender", Page(31, 30, events(31, 31)), 0.0, 1.0)
        live, _ = hub.page(session, page(19, 20), 0.0, 1.0)
        assert (live, seqs(sent(session))) == (False, [19, 20])
        hub.page(session, Page(31, 30, events(31, 31)), 0.0, 1.0)
        assert types(sent(session)) == ["reset"]

    def test_what_the_store_does_not_have_is_not_waited_for(self, hub: Hub) -> None:
        """A seq that was never given leaves no hole, and what is real goes on."""
        session = joined(hub, silent())
        dispatch(hub, 23, 5000)
        believed = hub.disbelieve("sender", 5000, 23)
        hub.fill("sender", page(21, 23, head=23), 1.0, 1.0)
        dispatch(hub, 24)
        assert believed is True
        assert seqs(sent(session)) == [21, 22, 23, 24]
        assert (hub.oldest_hole(), hub.streams["sender"].highest) == (None, 24)

    def test_what_came_while_the_store_was_asked_is_believed(self, hub: Hub) -> None:
        """It may be newer than the answer."""
        session = joined(hub, silent())
        dispatch(hub, 23)
        dispatch(hub, 25)
        assert hub.disbelieve("sender", 23, 23) is False
        hub.fill("sender", page(21, 22, head=23), 1.0, 1.0)
        dispatch(hub, 24)
        assert seqs(sent(session)) == [21, 22, 23, 24, 25]

    def test_a_session_closed_meanwhile_is_given_nothing(self, hub: Hub) -> None:
        """Its page comes too late."""
        session = joined(hub, greeted(seq=11, epoch=EPOCH))
        session.close(disconnect.SLOW)
        hub.page(session, page(12, 20), 0.0, 1.0)
        assert types(sent(session)) == [4008]

    def test_whether_the_store_is_ahead(self, hub: Hub) -> None:
        """Only of streams that are known."""
        session = silent()
        hub.enter(session)
        assert not hub.behind("sender", 21)
        hub.begin(session, start(), 0.0, 1.0)
        assert hub.behind("sender", 21)
        assert not hub.behind("sender", 20)
        assert not hub.behind("nobody", 1)
