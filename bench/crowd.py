"""The row about one message that very many read, beside as many marks of many senders' messages.

One group has all the readers, so both kinds of marks count for large audiences, come from the same
readers on the same connections, and are taken in turn.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from bench import turns
from bench.backend import Backend
from bench.load import members
from bench.marks import apart

if TYPE_CHECKING:
    from bench.load import Marks
    from bench.measurement import Bench

ROW = "one-message"
READERS = 100_000
SLICES = 5
CONNECTIONS = 200


def one_message(bench: Bench) -> None:
    """All members read the one message, and each one of the others'."""
    readings = bench.readings
    readers = READERS // (20 if bench.quick else 1)
    users = [turns.one_of_many(number) for number in range(readers)]
    senders = [turns.ONE, *users[: turns.SENDERS]]
    with apart(bench) as (api, gateway, pids):
        bench.tell(f"registering a group of {readers + 1:,}")
        with closing(Backend(api.api)) as backend:
            backend.crowd(turns.CROWD, [turns.ONE, *users])
            sent = [(turns.ONE, turns.CROWD, turns.ONE)]
            sent += [
                (f"many-{number}", turns.CROWD, turns.one_of_many(number))
                for number in range(turns.SENDERS)
            ]
            backend.messages(sent)
        with members(api, gateway, connections=CONNECTIONS, senders=senders, updates=True) as hall:
            size = readers // SLICES
            for part in range(SLICES):
                bench.tell(f"one message: slice {part + 1} of {SLICES}")
                order = {"first": part * size, "count": size, "of": readers}
                # In turn first: what comes second finds everything warmer.
                kinds = ("one", "many") if part % 2 else ("many", "one")
                runs = {kind: hall.mark(pids, kind, **order) for kind in kinds}
                for run in runs.values():
                    for problem in _problems(run):
                        readings.problem(ROW, problem)
                if not part and runs["one"].told["first"] > CONNECTIONS:
                    readings.problem(ROW, "the first commit was not told at once")
                one, many = (runs[kind].told["marks_per_second"] for kind in ("one", "many"))
                readings.add(ROW, one / many)
                for kind, run in (("one message", runs["one"]), ("many", runs["many"])):
                    readings.beside(ROW, kind, run.told["marks_per_second"], "marks/s")
                    readings.beside(ROW, f"{kind}: CPU", run.us(*run.cpu), "us per mark")
                    readings.beside(ROW, f"{kind}: answer p99", run.told["answer_ms"]["p99"], "ms")
                readings.beside(ROW, "counts told", runs["one"].told["counts"], "per slice")
                readings.beside(ROW, "load generator", runs["one"].own_us, "us per mark")
    readings.remark(
        ROW,
        f"{SLICES} slices of {size:,} marks each, in turn; the sender's device was told at most one"
        f" count a second but for the first and the last of a slice, and {readers:,} of"
        f" {readers:,} in the end",
    )


def _problems(run: Marks) -> list[str]:
    found = run.problems
    if run.told["wrong"]:
        found.append(f"{run.told['wrong']} counts were wrong")
    if run.told["too_many"]:
        found.append(f"{run.told['too_many']} counts more than one a second")
    return found
