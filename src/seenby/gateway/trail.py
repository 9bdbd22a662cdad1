"""When a session was written to, and when its client acknowledged: its last few times.

For people who look; nothing is decided by it. It costs a session nothing until something is pushed
to it, and then one entry per write, whatever was in that write. No I/O; time comes in, in ms since
the Unix epoch.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from seenby.gateway.session import State
from seenby.nodes import SessionSeen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.gateway.session import Session

KEPT = 32
"""Writes, and acknowledgements, that are kept at most; at the least half as many."""


class Steps:
    """Positions and when they were reached, the last few: seq, ms, seq, ms, ..."""

    __slots__ = ("before", "last", "steps")

    def __init__(self, before: int) -> None:
        """*before* is where it begins: nothing is known of what is not above it."""
        self.before = self.last = before
        self.steps = array("q")

    def reach(self, seq: int, at_ms: int) -> None:
        """Everything up to *seq* is done by now; what is not new is passed over."""
        if seq <= self.last:
            return
        self.last = seq
        steps = self.steps
        if len(steps) == 2 * KEPT:
            self.before = steps[KEPT - 2]
            del steps[:KEPT]
        steps.extend((seq, at_ms))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(seq, ms), the oldest first."""
        return list(zip(self.steps[::2], self.steps[1::2], strict=True))


class Trails:
    """The trails of the sessions that something was pushed to."""

    def __init__(self) -> None:
        """None."""
        self._of: dict[Session, tuple[int, Steps, Steps]] = {}

    def __len__(self) -> int:
        """How many sessions have one."""
        return len(self._of)

    def wrote(self, sessions: Sequence[Session], at_ms: int) -> None:
        """Everything up to the position of each of these sessions is written."""
        for session in sessions:
            trail = self._of.get(session)
            if trail is not None:
                trail[1].reach(session.position, at_ms)
            elif session.position > session.confirmed and session.state is not State.CLOSED:
                began = session.confirmed
                trail = self._of[session] = (began, Steps(began), Steps(began))
                trail[1].reach(session.position, at_ms)

    def acknowledged(self, session: Session, seq: int, at_ms: int) -> None:
        """The client has everything up to *seq*."""
        trail = self._of.get(session)
        if trail is not None:
            trail[2].reach(seq, at_ms)

    def drop(self, session: Session) -> None:
        """The session is gone."""
        self._of.pop(session, None)

    def seen(self, session: Session) -> SessionSeen:
        """What is known of a session."""
        at = session.position
        began, pushes, acks = self._of.get(session) or (at, Steps(at), Steps(at))
        return SessionSeen(
            device_id=session.device_id,
            silent=session.silent,
            state=session.state.name.lower(),
            connected_at=session.connected_at_ms,
            position=at,
            began=began,
            pushes_after=pushes.before,
            pushes=pushes.pairs,
            acks_after=acks.before,
            acks=acks.pairs,
        )
