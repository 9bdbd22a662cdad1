"""Where a receipt is for each device: only what is known is said, and how well it is known."""

from __future__ import annotations

from typing import Any

import pytest

from seenby.api.journey import Here, Stream, devices, steps
from seenby.api.sights import When, stamp
from seenby.model import Position
from seenby.nodes import SessionSeen
from seenby.store.base import Device

SEEN = 9_000
SEQ = 5


def session(device_id: str = "phone", **changes: Any) -> SessionSeen:
    """A session that began before SEQ, was written 3, 5 and 7, and has acknowledged 3 and 6."""
    values: dict[str, Any] = {
        "silent": False,
        "state": "live",
        "connected_at": 50,
        "position": 7,
        "began": 2,
        "pushes_after": 2,
        "pushes": [(3, 100), (5, 200), (7, 300)],
        "acks_after": 2,
        "acks": [(3, 110), (6, 310)],
    }
    return SessionSeen(device_id, **(values | changes))


def stream(
    *sessions: SessionSeen, stored: int | None = None, epoch: str = "e", head: int = 9
) -> Stream:
    """A stream with these sessions, on nodes n0, n1, ..., and what is stored of the phone."""
    known = [] if stored is None else [Device("phone", Position(epoch, stored), SEEN)]
    return Stream("e", head, known, [Here(f"n{n}", each) for n, each in enumerate(sessions)])


def exactly(ms: int) -> When:
    """Then."""
    return When(stamp(ms), exact=True)


def at_most(ms: int) -> When:
    """Then, or before."""
    return When(stamp(ms), exact=False)


def test_what_was_written_and_acknowledged_here_has_its_times() -> None:
    """The first write and the first word that cover it."""
    [step] = steps(SEQ, stream(session(), stored=3))
    assert (step.device_id, step.state, step.node) == ("phone", "acknowledged", "n0")
    assert (step.pushed, step.acknowledged) == (exactly(200), exactly(310))
    assert (step.behind, step.by_ping) == (2, False)


def test_a_silent_client_acknowledges_by_pings() -> None:
    """Its time is that of the pong."""
    [step] = steps(SEQ, stream(session(silent=True)))
    assert step.by_ping
    [step] = steps(SEQ, stream(session(silent=True, acks=[])))
    assert not step.by_ping


def test_what_the_trail_no_longer_reaches_was_not_later() -> None:
    """Between the session's beginning and the oldest write that is kept."""
    [step] = steps(
        SEQ, stream(session(pushes_after=6, pushes=[(7, 300)], acks_after=6, acks=[(7, 310)]))
    )
    assert (step.pushed, step.acknowledged) == (at_most(300), at_most(310))


@pytest.mark.parametrize(
    ("changes", "stored", "state"),
    [
        ({"acks": []}, 3, "pushed"),
        ({"position": 4, "pushes": [(4, 100)], "acks": []}, 3, "on_its_way"),
        ({"position": 2, "pushes": [], "acks": [], "state": "joining"}, None, "on_its_way"),
        # After a reset, or with a position that the client brought itself.
        ({"began": 7, "pushes": [], "acks": []}, 3, "before"),
        ({"began": 7, "pushes": [], "acks": []}, None, "before"),
    ],
)
def test_what_is_not_acknowledged(changes: dict[str, Any], stored: int | None, state: str) -> None:
    """A device that is connected: written to, or not yet, or not on this connection."""
    [step] = steps(SEQ, stream(session(**changes), stored=stored))
    assert (step.state, step.acknowledged) == (state, None)
    assert (step.pushed is None) is (state != "pushed")
    assert step.node == "n0"


def test_a_stored_position_says_when_at_the_latest() -> None:
    """With a connection that knows nothing of it, and without any."""
    for here in ([], [session(began=7, pushes=[], acks=[])]):
        [step] = steps(SEQ, stream(*here, stored=SEQ))
        assert (step.state, step.acknowledged) == ("acknowledged", at_most(SEEN))
        assert step.pushed is None


@pytest.mark.parametrize(
    ("epoch", "state", "behind"), [("e", "offline", 1), ("before", "other_epoch", None)]
)
def test_a_device_that_is_not_connected(epoch: str, state: str, behind: int | None) -> None:
    """It gets it when it comes, or loads anew: a position of another epoch says nothing."""
    [step] = steps(SEQ, stream(stored=SEQ - 1, epoch=epoch))
    assert (step.state, step.behind, step.node) == (state, behind, None)
    assert step.last_seen_at == stamp(SEEN)


def test_of_two_tabs_the_first_counts() -> None:
    """They share a device; an exact time is better than an earlier bound."""
    old = session(pushes_after=6, pushes=[(7, 150)], acks=[])
    [step] = steps(SEQ, stream(old, session(), stored=3))
    assert (step.pushed, step.node) == (exactly(200), "n1")
    [step] = steps(SEQ, stream(session(), session(acks=[(9, 305)])))
    assert (step.acknowledged, step.node) == (exactly(305), "n1")


def test_clients_without_a_name_are_told_apart() -> None:
    """Each is one; one that came later was not told, and never will be."""
    late = session("", began=7, pushes=[], acks=[])
    found = steps(SEQ, stream(session("", acks=[]), late))
    assert [(step.device_id, step.state) for step in found] == [("", "pushed"), ("", "came_later")]
    assert steps(SEQ, stream()) == []


def test_devices_and_their_sessions() -> None:
    """Stored, connected, or both; behind by what is acknowledged and not by what was written."""
    phone, tablet = devices(stream(session(), session("tablet", acks=[]), stored=3))
    assert (phone.device_id, phone.seq, phone.behind) == ("phone", 3, 6)
    assert phone.last_seen_at == stamp(SEEN)
    assert (phone.sessions[0].node, phone.sessions[0].position) == ("n0", 7)
    assert phone.sessions[0].pushed_at == stamp(300)
    assert phone.sessions[0].acknowledged_at == stamp(310)
    assert (tablet.seq, tablet.behind, tablet.last_seen_at) == (None, None, None)
    assert tablet.sessions[0].acknowledged_at is None
    [other] = devices(stream(stored=3, epoch="before"))
    assert (other.seq, other.behind) == (None, None)
    [ahead] = devices(stream(stored=30))
    assert ahead.behind == 0
