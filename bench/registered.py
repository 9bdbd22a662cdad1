"""The row about registered messages: the same marks, on messages that are registered or not.

Each kind has a database, an API, a gateway and members of its own, and they are marked in turn: so
marks of unregistered messages cost what they do where nobody registers anything.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import turns
from bench.backend import Backend
from bench.load import members
from bench.marks import CONNECTIONS, apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.load import Marks, Stage
    from bench.measurement import Bench

ROW = "registered"
MESSAGES = 3
"""Of each group, in a round: 13,500 marks."""

PLAIN, TOLD, NOT_TOLD = "unregistered", "readers' own devices told", "not told"
SETTINGS: dict[str, dict[str, str]] = {
    PLAIN: {},
    TOLD: {},
    NOT_TOLD: {"SEENBY_SYNC_READER": "false"},
}


@dataclass(frozen=True)
class Side:
    """One kind of marks; ``backend`` where messages are registered."""

    hall: Stage
    pids: Mapping[str, int]
    backend: Backend | None

    def mark(self, tag: str, marks: int) -> Marks:
        """So many marks, of messages that are registered before the clock runs."""
        if self.backend is not None:
            self.backend.messages(turns.Groups(tag).sent(marks))
        of = self.backend and turns.READERS
        return self.hall.mark(self.pids, "groups", tag=tag, count=marks, of=of)

    def mark_unregistered(self, tag: str, marks: int) -> Marks:
        """So many marks of messages that are not registered, beside others that are."""
        return self.hall.mark(self.pids, "groups", tag=tag, count=marks, of=None)


def registered(bench: Bench) -> None:
    """Mark each kind in turn."""
    readings = bench.readings
    marks = turns.ROUND * (1 if bench.quick else MESSAGES)
    with ExitStack() as ending:
        sides = {name: _side(bench, name, ending) for name in SETTINGS}
        for number in bench.rounds("registered messages", warm_up=True):
            # Each comes first, second and last: what goes before leaves work behind.
            order = [*SETTINGS][number % len(SETTINGS) :] + [*SETTINGS][: number % len(SETTINGS)]
            runs = {name: sides[name].mark(f"r{number}", marks) for name in order}
            beside = sides[TOLD].mark_unregistered(f"u{number}", marks)
            if number == 0:
                continue
            told = {name: runs[name] for name in SETTINGS}
            for name, run in (told | {"unregistered beside registered": beside}).items():
                for problem in run.problems:
                    readings.problem(ROW, f"{name}: {problem}")
                if run.told["wrong"]:
                    readings.problem(ROW, f"{name}: {run.told['wrong']} receipts out of order")
                readings.beside(ROW, name, run.us(*run.cpu), "us per mark")
                for process in run.cpu:
                    readings.beside(ROW, f"{name}: {process}", run.us(process), "us")
                readings.beside(ROW, f"{name}: marks", run.told["marks_per_second"], "per s")
            plain = runs[PLAIN].us(*runs[PLAIN].cpu)
            for name in (TOLD, NOT_TOLD):
                readings.add(ROW, runs[name].us(*runs[name].cpu) / plain, name)
            readings.beside(ROW, "load generator", runs[TOLD].own_us, "us per mark")


def _side(bench: Bench, name: str, ending: ExitStack) -> Side:
    api, gateway, pids = ending.enter_context(apart(bench, **SETTINGS[name]))
    senders = [turns.member(group, 0) for group in range(turns.GROUPS)]
    hall = ending.enter_context(
        members(api, gateway, connections=CONNECTIONS, senders=senders, updates=False)
    )
    backend = None if name == PLAIN else Backend(api.api)
    if backend is not None:
        ending.callback(backend.close)
        backend.groups(turns.groups())
    return Side(hall, pids, backend)
