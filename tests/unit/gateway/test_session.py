"""Every rule of a client's life, without a socket, a loop or a clock."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from seenby.gateway import disconnect, frames
from seenby.gateway.session import (
    ASK_WITH,
    ASK_WITHIN,
    HELLO_WITHIN,
    NOWHERE,
    SILENCE_LIMIT,
    Session,
    State,
)
from seenby.model import ANYONE, Caller
from tests.unit.gateway.clients import (
    EPOCH,
    event,
    events,
    frame,
    greeted,
    sent,
    seqs,
    silent,
    start,
    stored,
    types,
)

PONG = {"type": "pong"}


def begun(session: Session, **changes: Any) -> Session:
    """The session has its place and is live; what it said so far is taken."""
    session.begin(start(**changes))
    session.live()
    session.data_to_send()
    return session


def push(session: Session, *numbers: int) -> None:
    """Push events as the hub does."""
    for seq in numbers:
        session.push(frames.receipt(event(seq), 1_704_067_205), seq, 1_704_067_200_000)


class TestWhereASessionBegins:
    @pytest.mark.parametrize(
        ("hello", "changes", "position"),
        [
            ({"seq": 15, "epoch": EPOCH}, {}, 15),
            ({"seq": 10, "epoch": EPOCH}, {}, 10),
            ({"seq": 20, "epoch": EPOCH}, {}, 20),
            ({"seq": 12, "epoch": EPOCH, "device_id": "d"}, {"stored": stored(18)}, 12),
            ({"device_id": "d"}, {"stored": stored(18)}, 18),
            ({"device_id": "d", "epoch": "e0"}, {"stored": stored(18)}, 18),
        ],
    )
    def test_what_the_client_says_else_what_is_stored(
        self, hello: dict[str, Any], changes: dict[str, Any], position: int
    ) -> None:
        """At what hello says, else at the device's stored position: both are a resumption."""
        session = greeted(**hello)
        session.begin(start(**changes))
        [welcome] = sent(session)
        assert (session.position, welcome["resumed"]) == (position, True)

    @pytest.mark.parametrize("device", ["phone", ""])
    @pytest.mark.parametrize("quiet", [True, False])
    def test_without_a_position(self, device: str, quiet: bool) -> None:
        """A device never seen starts at the oldest event kept, no device at the moment it came."""
        session = silent(device) if quiet else greeted(device_id=device)
        assert session.begin(start(live_from=17)) == 0
        assert session.position == (10 if device else 17)
        if not quiet:
            [welcome] = sent(session)
            assert welcome["resumed"] is False
        assert sent(session) == []

    def test_welcome_says_who_where_and_how_often(self) -> None:
        """Contract, section 3: user, device, epoch, the head, whether resumed, the heartbeat."""
        session = greeted(device_id="phone")
        session.begin(start())
        assert sent(session) == [
            {
                "type": "welcome",
                "user_id": "sender",
                "device_id": "phone",
                "epoch": EPOCH,
                "seq": 20,
                "resumed": False,
                "heartbeat": 30,
            }
        ]

    @pytest.mark.parametrize(
        ("hello", "changes"),
        [
            ({"seq": 15}, {}),
            ({"seq": 15, "epoch": "e0"}, {}),
            ({"seq": 21, "epoch": EPOCH}, {}),
            ({"seq": 2**63 - 1, "epoch": EPOCH}, {}),
            ({"seq": 9, "epoch": EPOCH}, {}),
            ({"seq": 0, "epoch": EPOCH}, {}),
            ({"seq": 15, "epoch": EPOCH}, {"replay_limit": 4}),
            ({"device_id": "d"}, {"stored": stored(15, "e0")}),
            ({"device_id": "d"}, {"stored": stored(9)}),
            ({"device_id": "d"}, {"stored": stored(21)}),
            ({"device_id": "d"}, {"replay_limit": 9}),
        ],
    )
    def test_a_position_that_cannot_be_served_whole_is_a_reset(
        self, hello: dict[str, Any], changes: dict[str, Any]
    ) -> None:
        """No epoch, another, above the head, trimmed, too far back: reload, go on at the head."""
        session = greeted(**hello)
        session.begin(start(**changes))
        welcome, reset = sent(session)
        assert welcome["resumed"] is False
        assert reset == {"type": "reset", "epoch": EPOCH, "seq": 20}
        assert session.position == 20
        assert not session.resumes

    def test_the_replay_limit_itself_can_be_served(self) -> None:
        """A position exactly as far back as the limit is no reset."""
        session = greeted(seq=15, epoch=EPOCH)
        session.begin(start(replay_limit=5))
        assert types(sent(session)) == ["welcome"]

    @pytest.mark.parametrize(
        ("position", "missed"), [(stored(4), 6), (stored(25), 0), (stored(25, "e0"), 0)]
    )
    def test_a_silent_client_gets_what_is_still_kept(self, position: Any, missed: int) -> None:
        """It cannot be told of a reset; how much it missed is counted, and its position kept."""
        session = silent("phone")
        assert session.begin(start(stored=position)) == missed
        assert (session.position, session.resumes, sent(session)) == (10, True, [])

    def test_a_silent_client_has_no_replay_limit(self) -> None:
        """It cannot reload by REST, so it gets all of it."""
        session = silent("phone")
        assert session.begin(start(stored=stored(11), replay_limit=1)) == 0
        assert session.position == 11

    def test_a_hello_token_is_not_kept(self) -> None:
        """Kilobytes that nobody needs after the welcome are given back."""
        session = greeted(token="t" * 1000)
        session.begin(start())
        assert session._hello is not None
        assert session._hello.token is None

    def test_a_session_that_was_closed_meanwhile_does_not_begin(self) -> None:
        """Its close is the last word."""
        session = greeted()
        session.close(disconnect.DRAIN)
        assert session.begin(start()) == 0
        assert sent(session) == [disconnect.DRAIN]
        assert session.state is State.CLOSED


class TestSilentClients:
    def test_any_data_frame_ends_it(self) -> None:
        """Contract, section 3: answered with close 4400, whatever it says."""
        for message in (b"", b"hello", frame(type="hello"), frame(type="ping")):
            session = begun(silent())
            assert session.receive(message, 1.0) is None
            assert sent(session) == [disconnect.SILENT_SPOKE]

    def test_it_is_sent_receipts_and_nothing_else(self) -> None:
        """No welcome, no reset, no error; a batch never."""
        session = silent("phone")
        session.begin(start(stored=stored(3)))
        session.page([frames.receipt(e, 1) for e in events(11, 13)], 13)
        session.cut(EPOCH, 15, 20)
        push(session, 16)
        assert types(sent(session)) == ["read_receipt"] * 4

    def test_its_position_is_what_a_ping_that_it_answered_was_sent_behind(self) -> None:
        """A pong tells of the ping's moment, not of its own."""
        session = begun(silent("phone"), stored=stored(12))
        push(session, 13, 14)
        session.ask(5.0)
        push(session, 15)
        assert sent(session)[2] == b"14"
        assert session.pong(b"14", 6.0) == 14
        assert session.pong(b"14", 6.0) is None

    @pytest.mark.parametrize("payload", [b"", b"x", b"-1", b"15", b"1" * 20, b"14 ", "¹".encode()])
    def test_a_pong_that_answers_no_ping_is_believed_in_nothing(self, payload: bytes) -> None:
        """Neither garbage nor a seq that no ping has carried."""
        session = begun(silent("phone"), stored=stored(12))
        push(session, 13, 14)
        session.ask(5.0)
        push(session, 15)
        assert session.pong(payload, 6.0) is None

    def test_a_pong_before_its_place_is_no_position(self) -> None:
        """A heartbeat may come before the store has answered."""
        session = silent("phone")
        session.expire(30.0)
        assert sent(session) == [b"0"]
        assert session.pong(b"0", 30.1) is None

    def test_a_ping_goes_out_behind_a_push(self) -> None:
        """One for all that waits to be written; then the heartbeat again."""
        session = begun(silent("phone"))
        sent(session)
        push(session, 21, 22)
        assert not session.ask(1.0)
        assert sent(session)[2:] == [b"22"]
        assert session.deadline() == pytest.approx(31.0)

    def test_it_is_not_asked_again_too_soon(self) -> None:
        """The ping for what was pushed meanwhile is due by itself, once."""
        session = begun(silent("phone"))
        push(session, 21)
        session.ask(1.0)
        push(session, 22)
        assert session.ask(1.1)
        assert session.deadline() == pytest.approx(1.1 + ASK_WITHIN)
        push(session, 23)
        assert not session.ask(1.2)
        sent(session)
        session.expire(1.1 + ASK_WITHIN)
        assert sent(session) == [b"23"]

    def test_a_later_push_takes_the_ping_along(self) -> None:
        """What was due by itself is then not due any more."""
        session = begun(silent("phone"))
        push(session, 21)
        session.ask(1.0)
        push(session, 22)
        assert session.ask(1.1)
        push(session, 23)
        assert not session.ask(1.1 + ASK_WITH)
        assert sent(session)[-1] == b"23"
        session.expire(1.1 + ASK_WITHIN)
        assert sent(session) == []

    def test_every_push_is_followed_by_a_ping_within_a_second(self) -> None:
        """Whatever the pushes' rate, and with a wheel that looks every tenth of a second."""
        for pause in (0.05, 0.3, 0.55, 0.7, 0.95, 3.0):
            session = begun(silent("phone"))
            unasked: dict[int, float] = {}
            for tick in range(400):
                now = tick / 10
                session.expire(now)
                if now % pause < 0.1:
                    seq = session.position + 1
                    push(session, seq)
                    session.ask(now)
                    unasked[seq] = now
                for asked in (int(item) for item in sent(session) if isinstance(item, bytes)):
                    unasked = {seq: at for seq, at in unasked.items() if seq > asked}
                assert all(now - at <= 1.0 + 1e-9 for at in unasked.values())

    def test_one_that_never_answers_is_not_pinged_for_the_same_push_again(self) -> None:
        """What was asked once is not asked every second."""
        session = begun(silent("phone"))
        push(session, 21)
        session.ask(1.0)
        sent(session)
        assert not session.ask(5.0)
        assert sent(session) == []

    def test_what_it_is_not_shown_moves_its_position_too(self) -> None:
        """Its device is asked for that, once, as after a push; then the heartbeat again."""
        session = begun(silent("phone"))
        assert session.skip(21)
        assert not session.ask(1.0)
        assert sent(session) == [b"21"]
        assert session.pong(b"21", 1.1) == 21
        assert session.skip(22)
        assert session.ask(1.2)
        assert not session.skip(23)
        session.expire(1.2 + ASK_WITHIN)
        assert sent(session) == [b"23"]
        assert session.deadline() == pytest.approx(1.2 + ASK_WITHIN + 30.0)

    def test_it_is_asked_once_a_second_however_much_it_is_not_shown(self) -> None:
        """And never later than a second after what it passed over."""
        session = begun(silent("phone"))
        asked: list[float] = []
        for tick in range(100):
            now = tick / 10
            session.expire(now)
            for seq in range(session.position + 1, session.position + 6):
                if session.skip(seq):
                    session.ask(now)
            asked += [now for _ in sent(session)]
        pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
        assert asked[0] == 0.0
        assert all(ASK_WITH <= pause <= 1.0 + 1e-9 for pause in pauses)
        assert asked[-1] > 8.9

    def test_who_has_no_device_to_ask_is_not_asked_for_what_it_is_not_shown(self) -> None:
        """Nor one that acknowledges for itself: nothing is to be written."""
        for session in (begun(silent()), begun(greeted(device_id="phone"))):
            assert not session.skip(21)
            assert session.position == 21

    def test_without_a_device_nothing_is_asked(self) -> None:
        """It has no position that could be kept."""
        session = begun(silent())
        push(session, 21)
        assert not session.ask(1.0)
        assert types(sent(session)) == ["read_receipt"]
        assert session.pong(b"21", 1.0) is None

    def test_the_other_clients_are_not_asked(self) -> None:
        """A seenby.v1 client acknowledges for itself; its pongs are signs of life."""
        session = begun(greeted(device_id="phone"))
        push(session, 21)
        sent(session)
        assert not session.ask(1.0)
        assert sent(session) == []
        session.expire(30.0)
        assert session.pong(b"21", 31.0) is None


class TestFrames:
    def test_nothing_is_sent_before_welcome_but_answers(self) -> None:
        """A ping is answered, a useless frame too; all else waits for the welcome."""
        session = Session(silent=False, user_id="sender", device_id="", now=0.0)
        session.admit(ANYONE, 0.0, 0.0)
        assert sent(session) == []
        session.receive(frame(type="ping"), 1.0)
        session.receive(frame(type="hello"), 1.0)
        assert sent(session) == [PONG]

    @pytest.mark.parametrize("first", [{"type": "ack", "seq": 1}, {"type": "read", "ref": 1}])
    def test_hello_comes_first(self, first: dict[str, Any]) -> None:
        """Before it nothing is asked for."""
        session = Session(silent=False, user_id="sender", device_id="", now=0.0)
        assert session.receive(frame(**first), 0.0) is None
        [error] = sent(session)
        assert error["error"] == "hello must be the first frame"

    @pytest.mark.parametrize("early", [{"type": "ack", "seq": 1}, {"type": "read", "ref": 1}])
    def test_the_rest_comes_after_welcome(self, early: dict[str, Any]) -> None:
        """Between hello and welcome neither ack nor read can be served."""
        session = greeted(device_id="phone")
        assert session.receive(frame(**early), 0.0) is None
        [error] = sent(session)
        assert error == {
            "type": "error",
            "code": "bad_request",
            "error": f"{early['type']} must be sent after welcome",
        }

    def test_hello_is_sent_once(self) -> None:
        """A second one changes nothing and is an error."""
        session = begun(greeted(device_id="phone"))
        assert session.receive(frame(type="hello", device_id="other"), 1.0) is None
        assert types(sent(session)) == ["error"]
        assert session.device_id == "phone"

    def test_a_hello_that_was_refused_may_be_said_again(self) -> None:
        """Only one that was understood counts."""
        session = Session(silent=False, user_id="sender", device_id="", now=0.0)
        assert session.receive(frame(type="hello", seq=-1), 0.0) is None
        [error] = sent(session)
        assert error["error"].startswith("seq must be")
        assert isinstance(session.receive(frame(type="hello"), 0.0), frames.Hello)

    def test_hello_may_name_the_device(self) -> None:
        """Else it is the query's."""
        session = Session(silent=False, user_id="sender", device_id="query", now=0.0)
        session.receive(frame(type="hello"), 0.0)
        assert session.device_id == "query"
        session = Session(silent=False, user_id="sender", device_id="query", now=0.0)
        session.receive(frame(type="hello", device_id="mine"), 0.0)
        assert session.device_id == "mine"

    @pytest.mark.parametrize("live", [True, False])
    def test_an_ack_is_handed_on(self, live: bool) -> None:
        """While catching up as well as live."""
        session = greeted(device_id="phone")
        session.begin(start())
        if live:
            session.live()
        assert session.receive(frame(type="ack", seq=7), 1.0) == frames.AckFrame(7)

    def test_an_ack_needs_a_device(self) -> None:
        """There is nothing to store it for."""
        session = begun(greeted())
        assert session.receive(frame(type="ack", seq=1), 1.0) is None
        [error] = sent(session)
        assert "device_id" in error["error"]

    def test_a_read_is_handed_on(self) -> None:
        """With its reference and the fields of the mark."""
        session = begun(greeted())
        request = session.receive(frame(type="read", ref=7, msg_id="m"), 1.0)
        assert isinstance(request, frames.Read)
        assert (request.ref, request.fields["msg_id"]) == (7, "m")

    def test_the_third_useless_frame_in_a_minute_ends_it(self) -> None:
        """Contract, section 3: each is answered with an error, the third closes with 4400."""
        session = begun(greeted())
        for moment in (0.0, 30.0, 59.0):
            session.receive(b"{", moment)
        assert types(sent(session)) == ["error", "error", "error", 4400]

    def test_errors_are_forgotten_after_a_minute(self) -> None:
        """Two a minute go on for ever."""
        session = begun(greeted())
        for moment in (0.0, 30.0, 60.0, 90.0, 120.0):
            session.receive(b"{", moment)
        assert types(sent(session)) == ["error"] * 5

    def test_after_the_close_nothing_is_heard(self) -> None:
        """What the client still says is passed over."""
        session = begun(greeted(device_id="phone"))
        session.close(disconnect.DRAIN)
        assert session.receive(frame(type="ack", seq=1), 1.0) is None
        session.receive(b"garbage", 1.0)
        session.refuse("bad_request", "no", 1.0)
        session.answer(b"{}")
        assert sent(session) == [disconnect.DRAIN]


class TestPushes:
    def test_each_seq_is_written_once(self) -> None:
        """What is not newer than the position is not written."""
        session = begun(greeted())
        push(session, 21, 21, 20, 22, 21, 23)
        assert seqs(sent(session)) == [21, 22, 23]
        assert session.position == 23

    def test_an_event_without_a_place_is_written_and_moves_nothing(self) -> None:
        """Another producer's: delivered live, no part of the order."""
        session = begun(greeted())
        session.push(frames.receipt(event(0), 1), 0, 1)
        [receipt] = sent(session)
        assert "seq" not in receipt
        assert session.position == 20

    @pytest.mark.parametrize(("batch", "shape"), [(True, 1), (False, 3)])
    def test_receipts_written_together_are_a_batch_only_where_that_is_asked_for(
        self,
        batch: bool,
        shape: int,
    ) -> None:
        """``batch: true`` in hello; a page and live ones alike."""
        session = begun(greeted(batch=batch, seq=10, epoch=EPOCH))
        session.page([frames.receipt(e, 1) for e in events(11, 13)], 13)
        out = sent(session)
        assert (len(out), seqs(out), session.position) == (shape, [11, 12, 13], 13)
        push(session, 14, 15, 16)
        out = sent(session)
        assert (len(out), seqs(out)) == (shape, [14, 15, 16])

    def test_what_is_written_later_is_another_frame(self) -> None:
        """Nothing waits for more to come."""
        session = begun(greeted(batch=True))
        push(session, 21)
        assert types(sent(session)) == ["read_receipt"]
        push(session, 22, 23)
        assert types(sent(session)) == ["read_receipts"]

    def test_a_page_of_one_is_a_single_frame(self) -> None:
        """A batch of one would only be longer."""
        session = begun(greeted(batch=True, seq=10, epoch=EPOCH))
        session.page([frames.receipt(event(11), 1)], 11)
        assert types(sent(session)) == ["read_receipt"]

    def test_a_page_of_erased_events_moves_the_position_only(self) -> None:
        """They keep their places and are not shown."""
        session = begun(greeted(batch=True, seq=10, epoch=EPOCH))
        session.page([], 14)
        assert (sent(session), session.position) == ([], 14)

    def test_a_cut_is_a_reset(self) -> None:
        """Events were trimmed under a session that was catching up."""
        session = begun(greeted(seq=12, epoch=EPOCH))
        assert session.cut(EPOCH, 15, 20) == 0
        assert sent(session) == [{"type": "reset", "epoch": EPOCH, "seq": 20}]
        assert session.position == 20

    def test_a_silent_client_goes_on_after_a_cut(self) -> None:
        """At what is still kept; the rest is counted."""
        session = begun(silent("phone"), stored=stored(12))
        assert session.cut(EPOCH, 15, 20) == 3
        assert (sent(session), session.position) == ([], 15)

    @pytest.mark.parametrize("quiet", [True, False])
    def test_a_cut_below_the_position_is_none(self, quiet: bool) -> None:
        """Who has the events that are gone does not miss them, and never goes back."""
        session = silent("phone") if quiet else greeted(seq=18, epoch=EPOCH)
        begun(session, stored=stored(18))
        assert session.cut(EPOCH, 15, 20) == 0
        assert (sent(session), session.position) == ([], 18)

    def test_after_the_close_nothing_counts_as_written(self) -> None:
        """Else a silent device would be said to have what was never sent."""
        session = begun(silent("phone"))
        push(session, 21)
        session.close(disconnect.DRAIN)
        push(session, 22)
        session.skip(22)
        session.page([frames.receipt(event(23), 1)], 23)
        session.cut(EPOCH, 30, 40)
        session.live()
        out = sent(session)
        assert (seqs(out), out[-1]) == ([21], disconnect.DRAIN)
        assert session.position == 21

    def test_the_last_push_is_remembered_for_the_time_until_the_ack(self) -> None:
        """When its event was committed."""
        session = begun(greeted())
        push(session, 21)
        assert session.last_push_at_ms == 1_704_067_200_000


class TestTime:
    def test_a_ping_every_heartbeat(self) -> None:
        """Every 30 s, with the position as its payload."""
        session = begun(greeted())
        assert session.deadline() == 30.0
        session.expire(29.9)
        assert sent(session) == []
        session.expire(30.0)
        assert sent(session) == [b"20"]
        assert session.deadline() == 60.0

    @pytest.mark.parametrize("sign", ["pong", "message", "heard"])
    def test_any_sign_of_life_counts(self, sign: str) -> None:
        """A pong, a frame, a ping of the client's."""
        session = begun(greeted())
        if sign == "pong":
            session.pong(b"", 50.0)
        elif sign == "message":
            session.receive(frame(type="ping"), 50.0)
        else:
            session.heard(50.0)
        session.expire(50.0 + SILENCE_LIMIT - 0.1)
        assert session.state is State.LIVE
        session.expire(50.0 + SILENCE_LIMIT)
        assert sent(session)[-1] == disconnect.SILENT

    def test_ninety_seconds_of_silence_end_it(self) -> None:
        """The client may reconnect and resume."""
        session = begun(silent())
        session.expire(SILENCE_LIMIT)
        assert sent(session) == [disconnect.SILENT]
        assert 4000 <= disconnect.SILENT.code < 4100

    def test_hello_within_ten_seconds(self) -> None:
        """A client that says nothing holds no place for longer."""
        session = Session(silent=False, user_id="", device_id="", now=5.0)
        assert session.deadline() == 5.0 + HELLO_WITHIN
        session.expire(5.0 + HELLO_WITHIN - 0.1)
        assert sent(session) == []
        session.expire(5.0 + HELLO_WITHIN)
        assert sent(session) == [disconnect.NO_HELLO]

    def test_who_has_said_hello_may_wait_for_the_store(self) -> None:
        """However long it is away."""
        session = greeted()
        session.expire(HELLO_WITHIN)
        assert session.state is State.JOINING
        assert sent(session) == []

    def test_the_end_of_the_token_is_the_end_of_the_session(self) -> None:
        """4001: reconnect with a new one."""
        caller = Caller("sender", everyone=False, expires_at=1_700_000_040.0)
        session = begun(greeted(now=100.0, caller=caller))
        session.expire(139.0)
        assert sent(session) == [b"20"]
        assert session.deadline() == 140.0
        session.expire(140.0)
        assert sent(session) == [disconnect.EXPIRED]
        assert disconnect.EXPIRED.code == 4001

    def test_after_the_close_nothing_is_due(self) -> None:
        """The owner cuts the socket."""
        session = begun(silent())
        session.close(disconnect.DRAIN)
        session.expire(1000.0)
        assert sent(session) == [disconnect.DRAIN]


class TestClosing:
    def test_a_close_comes_behind_what_is_to_be_written(self) -> None:
        """And only the first reason counts."""
        session = begun(greeted())
        push(session, 21)
        session.close(disconnect.SLOW)
        session.close(disconnect.DRAIN)
        assert types(sent(session)) == ["read_receipt", 4008]

    def test_a_client_that_is_gone_is_written_nothing(self) -> None:
        """Nor does it come in any more: its token may have been checked too late."""
        session = Session(silent=True, user_id="sender", device_id="phone", now=0.0)
        session.gone()
        assert session.admit(ANYONE, 0.0, 0.0) is False
        session.close(disconnect.NO_TOKEN)
        assert sent(session) == []
        assert (session.position, session.state) == (NOWHERE, State.CLOSED)

    def test_a_client_is_admitted_once(self) -> None:
        """A second time it does not wait for its place again."""
        session = greeted()
        assert session.admit(ANYONE, 0.0, 0.0) is False
        assert session.state is State.JOINING
