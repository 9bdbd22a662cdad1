"""What a gateway tells of a user's sessions: what was written to them and when, live or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from seenby.nodes import Here
from tests.unit.gateway.stations import live, station, turn

if TYPE_CHECKING:
    from seenby.gateway.session import Session
    from seenby.nodes import SessionSeen
    from tests.unit.gateway.stations import Station


def seen(made: Station, session: Session) -> SessionSeen:
    """What is told of one of the sender's sessions."""
    told = made.dispatcher.seen("sender")
    assert told.user_id == "sender"
    [found] = [each for each in told.sessions if each.device_id == session.device_id]
    return found


async def test_what_comes_live_is_one_step_for_each_write() -> None:
    """With the time after it was written."""
    async with station() as made:
        phone = made.connect("sender", "phone", at=7, batch=False)
        await turn()
        assert live(phone)
        idle = seen(made, phone)
        assert (idle.state, idle.connected_at, idle.pushes, idle.acks) == ("live", 7, [], [])
        before = int(time.time() * 1000)
        for count in (1, 2):
            made.feed.push(*made.source.add("sender", count))
        after = int(time.time() * 1000)
        told = seen(made, phone)
        assert [seq for seq, _ in told.pushes] == [1, 3]
        assert all(before <= at <= after for _, at in told.pushes)
        assert (told.began, told.position, told.pushes_after) == (0, 3, 0)


async def test_a_backlog_is_written_too() -> None:
    """What was missed is pushed when the device is back; what it had before is not."""
    async with station() as made:
        made.source.add("sender", 5)
        phone = made.connect("sender", "phone", epoch=made.hub.epoch, seq=2)
        await turn()
        told = seen(made, phone)
        assert (told.began, [seq for seq, _ in told.pushes]) == (2, [5])


async def test_an_acknowledgement_has_its_time() -> None:
    """As the gateway heard it, whether or not it is stored already."""
    async with station() as made:
        phone = made.connect("sender", "phone", batch=False)
        await turn()
        made.feed.push(*made.source.add("sender", 3))
        made.dispatcher.acknowledged(phone, 2)
        [(seq, at)] = seen(made, phone).acks
        assert seq == 2
        assert at >= seen(made, phone).pushes[0][1]


async def test_who_has_left_is_not_told_of() -> None:
    """Nor is anything kept of the session."""
    async with station() as made:
        phone = made.connect("sender", "phone", batch=False)
        await turn()
        made.feed.push(*made.source.add("sender", 1))
        made.leave(phone)
        assert made.dispatcher.seen("sender").sessions == []
        assert made.dispatcher.seen("nobody").sessions == []
        assert len(made.dispatcher._trails) == 0


async def test_what_is_here_now() -> None:
    """Users, the partitions they need, and whether the bus answers."""
    async with station() as made:
        for device in ("phone", "laptop"):
            made.connect("sender", device, batch=False)
        await turn()
        assert made.dispatcher.now_here() == Here(1, [0], bus=True)
        made.feed.healthy = False
        assert made.dispatcher.now_here() == Here(1, [0], bus=False)
