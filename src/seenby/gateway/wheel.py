"""One timer for all sessions: each waits in the slot of the tick at which it has to be looked at.

A session waits in one slot, the earliest it was added for (its ``turn``). Brought forward, it
leaves its place in the later slot behind; when that comes round it is passed over. So what a
session costs is bounded by its pings, however often it is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seenby.gateway.session import Session


class Wheel:
    """Sessions by the tick behind their next deadline.

    Args:
        now: where the wheel starts, in seconds of any steady clock.
        tick: seconds from one look to the next.
    """

    def __init__(self, now: float, *, tick: float) -> None:
        self._tick = tick
        self._slots: dict[int, list[Session]] = {}
        self._done = int(now / tick)

    def add(self, session: Session, deadline: float) -> None:
        """Look at *session* at the first tick past *deadline*, or before."""
        if not self._done < session.turn <= self._slot(deadline):
            self.move(session, deadline)

    def move(self, session: Session, deadline: float) -> None:
        """Look at *session* at the first tick past *deadline*, and not before."""
        session.turn = slot = self._slot(deadline)
        self._slots.setdefault(slot, []).append(session)

    def _slot(self, deadline: float) -> int:
        return max(int(deadline / self._tick) + 1, self._done + 1)

    def due(self, now: float) -> list[Session]:
        """Take out the sessions whose tick has come; they wait nowhere until added again."""
        due: list[Session] = []
        while self._done < int(now / self._tick):
            self._done += 1
            for session in self._slots.pop(self._done, ()):
                if session.turn == self._done:
                    session.turn = 0
                    due.append(session)
        return due
