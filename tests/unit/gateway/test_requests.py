"""To come in, to acknowledge, to mark: what is asked, what is answered, and how much at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, get_args

import pytest

from seenby.errors import BadInput, Forbidden, Mismatch, NotFound, OwnMessage, Unauthenticated
from seenby.gateway import disconnect, frames
from seenby.gateway.requests import MARKS_LIMIT, USER_LIMIT, Requests
from seenby.gateway.session import Session, State
from seenby.model import ANYONE, Caller
from seenby.tally import Refusal
from seenby.testing import ManualClock
from tests.unit.gateway.clients import frame, start, types
from tests.unit.gateway.stations import Station, turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.auth import Authenticator
    from seenby.model import Mark
    from seenby.recorder import Outcome

FIELDS = {"msg_id": "m", "reader_id": "reader", "sender_id": "s", "conversation_id": "c"}


class Knows:
    """An authenticator that knows one token, and may be told to wait or to fail."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.answering = asyncio.Event()
        self.answering.set()
        self.failing: Exception | None = None

    async def authenticate(self, token: str | None, now: float) -> Caller:
        """The bearer of *token*."""
        await self.answering.wait()
        if self.failing is not None:
            raise self.failing
        if token != "good":
            raise Unauthenticated("the token does not hold")
        return self.caller


SENDER = Caller("sender", everyone=False, expires_at=None)


def requests(here: Station, authenticator: Authenticator | None = None) -> Requests:
    """The requests of a station."""
    return Requests(
        here.dispatcher, here.source, authenticator, write=here.write, clock=ManualClock(5.0)
    )


def client(here: Station, user: str = "sender", *, silent: bool = False) -> Session:
    """A client that has connected."""
    session = Session(silent=silent, user_id=user, device_id="phone", now=5.0)
    here.written[session] = []
    return session


def says(served: Requests, session: Session, **fields: Any) -> None:
    """The client sends a frame."""
    request = session.receive(frame(**fields), 5.0)
    assert request is not None
    served.serve(session, request)


class TestComingIn:
    async def test_without_authentication_anyone_is_whom_they_say(self) -> None:
        """A silent client at once, another with its hello."""
        here = Station()
        served = requests(here)
        quiet, talks = client(here, silent=True), client(here)
        served.opened(quiet, None)
        served.opened(talks, "ignored")
        assert (quiet.state, talks.state) == (State.JOINING, State.GREETING)
        says(served, talks, type="hello", token="ignored")
        assert (talks.state, talks.caller) == (State.JOINING, ANYONE)
        assert here.hub.sessions == 2

    async def test_a_token_in_the_handshake_or_in_hello(self) -> None:
        """The socket is the token's user from then on."""
        here = Station()
        served = requests(here, Knows(SENDER))
        header, hello = client(here, ""), client(here, "")
        served.opened(header, "good")
        served.opened(hello, None)
        says(served, header, type="hello")
        says(served, hello, type="hello", token="good")
        await turn()
        assert here.hub.sessions == 2
        assert header.user_id == hello.user_id == "sender"

    async def test_a_hello_without_a_token_ends_it(self) -> None:
        """Unless one is being checked."""
        here = Station()
        served = requests(here, Knows(SENDER))
        session = client(here)
        served.opened(session, None)
        says(served, session, type="hello")
        here.write(session)
        assert here.written[session] == [disconnect.NO_TOKEN]

    async def test_who_leaves_while_the_token_is_checked_is_not_let_in(self) -> None:
        """Nothing of it stays."""
        here = Station()
        knows = Knows(SENDER)
        knows.answering.clear()
        served = requests(here, knows)
        session = client(here, silent=True)
        served.opened(session, "good")
        await turn()
        session.gone()
        knows.answering.set()
        await turn()
        assert (here.hub.sessions, here.written[session]) == (0, [])

    async def test_a_failure_nobody_thought_of_leaves_the_ten_seconds(self) -> None:
        """It is logged; the client is told to go when its time is over."""
        here = Station()
        knows = Knows(SENDER)
        knows.failing = RuntimeError("a bug")
        served = requests(here, knows)
        session = client(here, silent=True)
        served.opened(session, "good")
        await turn()
        assert (session.token_pending, session.state) == (False, State.GREETING)
        session.expire(15.0)
        here.write(session)
        assert here.written[session] == [disconnect.NO_HELLO]

    async def test_a_user_has_a_hundred_connections(self) -> None:
        """One more is refused; when one has gone, it may come."""
        here = Station()
        served = requests(here)
        sessions = [client(here, silent=True) for _ in range(USER_LIMIT + 1)]
        for session in sessions:
            served.opened(session, None)
        here.write(sessions[-1])
        assert here.written[sessions[-1]] == [disconnect.TOO_MANY]
        assert here.hub.sessions == USER_LIMIT
        here.leave(sessions[0])
        another = client(here, silent=True)
        served.opened(another, None)
        assert another.state is State.JOINING
        await here.dispatcher.close()


class TestAsking:
    async def test_an_ack_up_to_the_head_is_taken(self) -> None:
        """Beyond it is refused."""
        here = Station()
        await here.dispatcher.start()
        here.source.add("sender", 3)
        session = here.connect(device="phone", batch=True)
        await turn()
        served = requests(here)
        served.serve(session, frames.AckFrame(3))
        with pytest.raises(BadInput, match="seq must be at most the head"):
            served.serve(session, frames.AckFrame(4))
        await here.dispatcher.close()
        stored = here.source.store.positions([("sender", "phone")])
        assert stored["sender", "phone"].seq == 3

    async def test_marks_are_answered_with_their_references(self) -> None:
        """Success, and every kind of refusal."""
        here = Station()
        served = requests(here)
        session = begun(here)
        says(served, session, type="read", ref=1, **FIELDS)
        says(served, session, type="read", ref=2, **FIELDS | {"msg_id": ""})
        says(served, session, type="read", ref=3, **FIELDS | {"reader_id": "other"})
        says(served, session, type="read", ref=4, **FIELDS | {"conversation_id": "another"})
        await served.close()
        here.source.store.failing = True
        says(served, session, type="read", ref=5, **FIELDS)
        await served.close()
        results = {frame["ref"]: frame.get("code") for frame in here.written[session]}
        assert results == {
            1: None,
            2: "bad_request",
            3: "forbidden",
            4: "conflict",
            5: "store_unavailable",
        }

    async def test_every_refusal_reaches_the_client_with_its_code(self) -> None:
        """Whatever the tally finds; the sentence is for a person."""
        here = Station()
        served = requests(here)
        session = begun(here)
        refusals: list[Refusal] = [
            BadInput("sender_id", "given for a message that is not registered"),
            Forbidden("this message is not known, or was not sent to this reader"),
            Mismatch("conversation_id"),
            NotFound("there is no such message"),
            OwnMessage(),
        ]
        assert {type(refusal) for refusal in refusals} == set(get_args(Refusal))
        for number, refusal in enumerate(refusals):
            here.source.store.refusals[f"m{number}"] = refusal
            says(served, session, type="read", ref=number, **FIELDS | {"msg_id": f"m{number}"})
        await served.close()
        results = sorted(here.written[session], key=lambda result: int(result["ref"]))
        assert results == [
            {
                "type": "read_result",
                "ref": number,
                "success": False,
                "code": refusal.code,
                "error": str(refusal),
            }
            for number, refusal in enumerate(refusals)
        ]

    async def test_a_registered_message_needs_no_sender_and_no_conversation(self) -> None:
        """They may be left out, and are then asked for where the message is not registered."""
        here = Station()
        served = requests(here)
        session = begun(here)
        asked: list[Mark] = []
        record = here.source.mark

        async def mark(caller: Caller, marks: Sequence[Mark]) -> list[Outcome | Forbidden]:
            asked.extend(marks)
            return await record(caller, marks)

        here.source.mark = mark  # type: ignore[method-assign]
        says(served, session, type="read", ref=1, msg_id="m", reader_id="reader")
        await served.close()
        [found] = asked
        assert (found.sender_id, found.conversation_id) == ("", "")
        [result] = here.written[session]
        assert (result["code"], result["error"].split()[0]) == ("bad_request", "sender_id")

    async def test_marks_under_way_are_bounded(self) -> None:
        """Past a hundred a client is told at once; answered ones make room."""
        here = Station()
        here.source.answering.clear()
        served = requests(here)
        session = begun(here)
        for number in range(MARKS_LIMIT + 50):
            says(served, session, type="read", ref=number, **FIELDS)
        here.write(session)
        refused = here.written[session]
        assert [frame["ref"] for frame in refused] == list(range(MARKS_LIMIT, MARKS_LIMIT + 50))
        assert {frame["code"] for frame in refused} == {"too_many"}
        here.source.answering.set()
        await served.close()
        assert session.marks == 0
        assert len(here.written[session]) == MARKS_LIMIT + 50

    async def test_an_answer_to_one_that_left_goes_nowhere(self) -> None:
        """The mark is recorded all the same."""
        here = Station()
        served = requests(here)
        session = begun(here)
        says(served, session, type="read", ref=1, **FIELDS)
        session.gone()
        await served.close()
        assert here.written[session] == []
        assert len(here.source.store.commits) == 1

    async def test_a_failure_nobody_thought_of_makes_room_again(self) -> None:
        """And hurts no other mark."""
        here = Station()
        served = requests(here)
        session = begun(here)
        mark = here.source.mark
        here.source.mark = None  # type: ignore[assignment, method-assign]
        says(served, session, type="read", ref=1, **FIELDS)
        await served.close()
        here.source.mark = mark  # type: ignore[method-assign]
        says(served, session, type="read", ref=2, **FIELDS)
        await served.close()
        assert session.marks == 0
        assert types(here.written[session]) == ["read_result"]


def begun(here: Station) -> Session:
    """A reader's session that has been welcomed; nothing is written yet."""
    session = client(here, "reader")
    reader = Caller("reader", everyone=False, expires_at=None)
    session.admit(reader, 5.0, 0.0)
    session.receive(json.dumps({"type": "hello"}).encode(), 5.0)
    session.admit(reader, 5.0, 0.0)
    session.begin(start())
    session.data_to_send()
    return session
