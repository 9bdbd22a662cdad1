"""What a measurement is given: servers, rounds, and a place for its readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from bench.load import Limit
    from bench.readings import Readings
    from bench.world import World

ROUNDS = 3


@dataclass(frozen=True)
class Bench:
    """One run of the command.

    Attributes:
        quick: one round, and a short one.
        tell: takes a line that says what is under way.
    """

    world: World
    limit: Limit
    readings: Readings
    tell: Callable[[str], None]
    quick: bool

    def rounds(self, what: str, *, warm_up: bool = False) -> Iterator[int]:
        """The numbers of the rounds, from 1; 0 first for one that does not count."""
        count = 1 if self.quick else ROUNDS
        if warm_up:
            self.tell(f"{what}: warming up")
            yield 0
        for number in range(1, count + 1):
            self.tell(f"{what}: round {number} of {count}")
            yield number

    def seconds(self, full: float) -> float:
        """How long to load for."""
        return min(full, 2.0) if self.quick else full


@dataclass(frozen=True)
class Measurement:
    """Some rows that are measured together, on the same processes.

    Attributes:
        rows: the names of the rows that it gives.
        seconds: what it takes, about, on two cores: for the progress bar.
    """

    rows: tuple[str, ...]
    seconds: float
    run: Callable[[Bench], Any]
