"""One timer for all sessions: each waits in the slot of the second in which it has to be looked at.

A session may wait in several slots; looking at one too early costs nothing, since a session knows
itself what is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seenby.gateway.session import Session


class Wheel:
    """Sessions by the whole second of their next deadline."""

    def __init__(self, now: float) -> None:
        """The wheel starts at *now*."""
        self._slots: dict[int, list[Session]] = {}
        self._done = int(now)

    def add(self, session: Session, deadline: float) -> None:
        """Look at *session* in the first second that is past *deadline*."""
        slot = max(int(deadline) + 1, self._done + 1)
        self._slots.setdefault(slot, []).append(session)

    def due(self, now: float) -> list[Session]:
        """Take out the sessions whose second has come."""
        due: list[Session] = []
        while self._done < int(now):
            self._done += 1
            due.extend(self._slots.pop(self._done, ()))
        return due
