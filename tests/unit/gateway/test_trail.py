"""What is remembered of a session: little, nothing wrong, and nothing at all while it is idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.gateway.session import Begin, Session, State
from seenby.gateway.trail import KEPT, Steps, Trails
from seenby.model import ANYONE
from tests.unit.gateway.clients import frame


def live(at: int = 0) -> Session:
    """A session that began at a position and is live."""
    session = Session(silent=False, user_id="ann", device_id="phone", now=0.0, connected_at_ms=7)
    session.receive(frame(type="hello", epoch="e", seq=at), 0.0)
    session.admit(ANYONE, 0.0, 0.0)
    session.begin(Begin(epoch="e", head=at, floor=0, live_from=at))
    session.live()
    return session


def push(trails: Trails, session: Session, at_ms: int, *seqs: int) -> None:
    """Some events are written together."""
    for seq in seqs:
        session.push(b"{}", seq, 0)
    session.data_to_send()
    trails.wrote([session], at_ms)


@given(
    before=st.integers(0, 5),
    reached=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 9)), max_size=200),
)
def test_what_is_said_of_a_position_is_true(before: int, reached: list[tuple[int, int]]) -> None:
    """The first step that covers a seq has its time, unless it is among those no longer kept."""
    steps, truth, now, last = Steps(before), dict[int, int](), 0, before
    for seq, passed in reached:
        now += passed
        steps.reach(seq, now)
        truth |= dict.fromkeys(range(last + 1, seq + 1), now)
        last = max(last, seq)
    pairs = steps.pairs
    assert len(pairs) <= KEPT
    for seq, at in truth.items():
        first = next(when for reached_seq, when in pairs if reached_seq >= seq)
        assert first == at if seq > steps.before else first >= at
    assert len(pairs) >= KEPT // 2 or steps.before == before


def test_an_idle_session_has_no_trail() -> None:
    """Neither a welcome nor an acknowledgement of what it had makes one: idle ones are many."""
    trails, session = Trails(), live(at=5)
    trails.wrote([session], 100)
    trails.acknowledged(session, 5, 100)
    assert len(trails) == 0
    seen = trails.seen(session)
    assert (seen.began, seen.position, seen.pushes, seen.acks) == (5, 5, [], [])
    assert (seen.device_id, seen.silent, seen.state, seen.connected_at) == (
        "phone",
        False,
        "live",
        7,
    )


def test_one_write_is_one_step() -> None:
    """Whatever was in it; and what is written again, or is no event, is none."""
    trails, session = Trails(), live(at=5)
    push(trails, session, 100, 6, 7, 8)
    push(trails, session, 200, 9)
    session.answer(b"pong")
    trails.wrote([session], 300)
    trails.acknowledged(session, 7, 250)
    trails.acknowledged(session, 7, 260)
    trails.acknowledged(session, 9, 270)
    seen = trails.seen(session)
    assert (seen.began, seen.pushes_after, seen.acks_after) == (5, 5, 5)
    assert seen.pushes == [(8, 100), (9, 200)]
    assert seen.acks == [(7, 250), (9, 270)]


@pytest.mark.parametrize("closed", [False, True])
def test_nothing_is_left_of_a_session_that_is_gone(closed: bool) -> None:
    """Nor is anything begun for one that is closed already."""
    trails, session = Trails(), live()
    if closed:
        session.push(b"{}", 1, 0)
        session.gone()
        trails.wrote([session], 100)
    else:
        push(trails, session, 100, 1)
        assert len(trails) == 1
        trails.drop(session)
        trails.drop(session)
    assert session.state is (State.CLOSED if closed else State.LIVE)
    assert len(trails) == 0
