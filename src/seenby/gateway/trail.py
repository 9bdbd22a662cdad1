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
"""Writes, and acknowledgements, that are kept at the most; at the least half as many."""


class Steps:
    """Positions and when they were reached, the last few.

    Attributes:
        before: what is not above it was reached before the first of the steps.
        last: the position reached last.
        steps: seq, ms, seq, ms, ...: an array, which takes 16 bytes for a step where a list of
            tuples takes 130.
    """

    __slots__ = ("before", "last", "steps")

    def __init__(self, before: int) -> None:
        self.before = self.last = before
        self.steps = array("q")

    def reach(self, seq: int, at_ms: int) -> None:
        """Everything up to *seq* is done by now; what is not new is passed over."""
        if seq <= self.last:
            return
        self.last = seq
        steps = self.steps
        steps.append(seq)
        steps.append(at_ms)
        if len(steps) > 2 * KEPT:
            self.before = steps[KEPT - 2]
            del steps[:KEPT]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(seq, ms), the oldest first."""
        return list(zip(self.steps[::2], self.steps[1::2], strict=True))


class Trail(Steps):
    """What was written to a session: from ``began`` on; ``acks`` is what was acknowledged."""

    __slots__ = ("acks", "began")

    def __init__(self, began: int) -> None:
        super().__init__(began)
        self.began = began
        self.acks = Steps(began)


class Trails:
    """The trails of the sessions that something was pushed to."""

    def __init__(self) -> None:
        """None."""
        self._of: dict[Session, Trail] = {}

    def __len__(self) -> int:
        """How many sessions have one."""
        return len(self._of)

    def wrote(self, sessions: Sequence[Session], at_ms: int) -> None:
        """Everything up to the position of each of these sessions is written."""
        trails = self._of
        for session in sessions:
            seq = session.position
            trail = trails.get(session)
            if trail is not None:
                trail.reach(seq, at_ms)
            elif seq > session.confirmed and session.state is not State.CLOSED:
                trails[session] = trail = Trail(session.confirmed)
                trail.reach(seq, at_ms)

    def acknowledged(self, session: Session, seq: int, at_ms: int) -> None:
        """The client has everything up to *seq*."""
        trail = self._of.get(session)
        if trail is not None:
            trail.acks.reach(seq, at_ms)

    def drop(self, session: Session) -> None:
        """The session is gone."""
        self._of.pop(session, None)

    def seen(self, session: Session) -> SessionSeen:
        """What is known of a session."""
        trail = self._of.get(session) or Trail(session.position)
        return SessionSeen(
            device_id=session.device_id,
            silent=session.silent,
            state=session.state.name.lower(),
            connected_at=session.connected_at_ms,
            position=session.position,
            began=trail.began,
            pushes_after=trail.before,
            pushes=trail.pairs,
            acks_after=trail.acks.before,
            acks=trail.acks.pairs,
        )
