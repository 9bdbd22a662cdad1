"""Where a receipt is for each device of its sender, put together from what is known of it.

Nothing is guessed: a time that is known is told, one that is known to be earlier than something is
told as "not later than" (``When.exact``), and what nobody knows is left out. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seenby.api.sights import DeviceSight, DeviceStep, SessionSight, When, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.api.sights import DeviceState
    from seenby.nodes import SessionSeen
    from seenby.store.base import Device


class Here(NamedTuple):
    """A session, and the process that it is at."""

    node: str
    session: SessionSeen


class Stream(NamedTuple):
    """A user's stream, the devices that are stored, and the sessions that were told of."""

    epoch: str
    head: int
    devices: Sequence[Device]
    sessions: Sequence[Here]

    def by_device(self) -> list[tuple[str, Device | None, list[Here]]]:
        """Each device with its sessions, in order; "" has those without a device_id."""
        stored = {device.device_id: device for device in self.devices}
        here: dict[str, list[Here]] = {}
        for each in self.sessions:
            here.setdefault(each.session.device_id, []).append(each)
        return [
            (device_id, stored.get(device_id), here.get(device_id, []))
            for device_id in sorted({*stored, *here})
        ]


def devices(stream: Stream) -> list[DeviceSight]:
    """A user's devices, and how far each of them is."""
    return [
        DeviceSight(
            device_id=device_id,
            seq=seq,
            behind=None if seq is None else max(0, stream.head - seq),
            last_seen_at=None if stored is None else stamp(stored.last_seen),
            sessions=[_session(each) for each in here],
        )
        for device_id, stored, here in stream.by_device()
        for seq in [_stored_seq(stream, stored)]
    ]


def steps(seq: int, stream: Stream) -> list[DeviceStep]:
    """Where the event *seq* of a stream is, for each device; for clients without a name, each."""
    found: list[DeviceStep] = []
    for device_id, stored, here in stream.by_device():
        if device_id:
            found.append(_step(seq, stream, device_id, stored, here))
        else:
            found += [_step(seq, stream, device_id, None, [each]) for each in here]
    return found


def _session(here: Here) -> SessionSight:
    session = here.session
    return SessionSight(
        node=here.node,
        connected_at=stamp(session.connected_at),
        silent=session.silent,
        state=session.state,
        position=max(0, session.position),
        pushed_at=stamp(session.pushes[-1][1]) if session.pushes else None,
        acknowledged_at=stamp(session.acks[-1][1]) if session.acks else None,
    )


def _stored_seq(stream: Stream, stored: Device | None) -> int | None:
    if stored is None or stored.position.epoch != stream.epoch:
        return None
    return stored.position.seq


def _step(
    seq: int, stream: Stream, device_id: str, stored: Device | None, here: Sequence[Here]
) -> DeviceStep:
    stored_seq = _stored_seq(stream, stored)
    pushes = [(when, each) for each in here if (when := _pushed(seq, each.session)) is not None]
    acks = [(when, each) for each in here if (when := _acked(seq, each.session)) is not None]
    pushed = min(pushes, key=_earliest, default=None)
    acked = min(acks, key=_earliest, default=None)
    acknowledged: When | None = None
    if acked is not None:
        acknowledged = _shown(acked[0])
    elif stored is not None and stored_seq is not None and stored_seq >= seq:
        acknowledged = When(stamp(stored.last_seen), exact=False)
    at = (acked or pushed or (None, here[0] if here else None))[1]
    state: DeviceState
    if acknowledged is not None:
        state = "acknowledged"
    elif pushed is not None:
        state = "pushed"
    else:
        state = _not_pushed(seq, device_id, stored, stored_seq, here)
    return DeviceStep(
        device_id=device_id,
        state=state,
        node=None if at is None else at.node,
        pushed=None if pushed is None else _shown(pushed[0]),
        acknowledged=acknowledged,
        by_ping=acked is not None and acked[1].session.silent,
        behind=None if stored_seq is None else max(0, seq - stored_seq),
        last_seen_at=None if stored is None else stamp(stored.last_seen),
    )


def _not_pushed(
    seq: int,
    device_id: str,
    stored: Device | None,
    stored_seq: int | None,
    here: Sequence[Here],
) -> DeviceState:
    """What is known of a device to which nothing was written."""
    if any(each.session.position < seq for each in here):
        return "on_its_way"
    if here:
        return "before" if device_id else "came_later"
    return "other_epoch" if stored is not None and stored_seq is None else "offline"


_Moment = tuple[int, bool]
"""When (ms), and whether exactly then."""


def _pushed(seq: int, session: SessionSeen) -> _Moment | None:
    """When *seq* was written to a session; None: it was not."""
    if not session.began < seq <= session.position:
        return None
    return _reached(seq, session.pushes, session.pushes_after)


def _acked(seq: int, session: SessionSeen) -> _Moment | None:
    """When a session's client said that it has *seq*; None: it has not said so here."""
    if seq <= session.began:
        return None
    return _reached(seq, session.acks, session.acks_after)


def _reached(seq: int, steps: Sequence[tuple[int, int]], after: int) -> _Moment | None:
    for reached, at in steps:
        if reached >= seq:
            return at, seq > after
    return None


def _earliest(found: tuple[_Moment, Here]) -> tuple[bool, int]:
    """Exact times first, then the earliest."""
    (at, exact), _ = found
    return not exact, at


def _shown(moment: _Moment) -> When:
    return When(stamp(moment[0]), moment[1])
