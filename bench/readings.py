"""What the rounds of all measurements have said, and the verdict on each figure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.rows import Figure

NOT_MEASURED = "not measured"
NOT_SOUND = "not sound"
BEYOND = "beyond"
MET = "met"


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and their lowest and highest."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one round."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass
class Reading:
    """What is known about one row.

    Attributes:
        rounds: by figure, its value in each round.
        beside: by name and unit, what else was seen in each round.
        problems: what was not as it must be; such a row is not sound.
        remarks: how it was measured, where that is not plain.
    """

    rounds: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Readings:
    """The readings of all rows, by the row's name."""

    def __init__(self) -> None:
        self._rows: dict[str, Reading] = {}

    def of(self, row: str) -> Reading:
        """What is known about a row so far."""
        return self._rows.setdefault(row, Reading())

    def add(self, row: str, value: float, figure: str = "") -> None:
        """A round has given a figure."""
        self.of(row).rounds.setdefault(figure, []).append(value)

    def beside(self, row: str, name: str, value: float, unit: str) -> None:
        """A round has given a number that is no target, and explains one."""
        self.of(row).beside.setdefault((name, unit), []).append(value)

    def problem(self, row: str, sentence: str) -> None:
        """A round was not as it must be."""
        if sentence not in self.of(row).problems:
            self.of(row).problems.append(sentence)

    def remark(self, row: str, sentence: str) -> None:
        """How a row was measured; said once, however often it is told."""
        if sentence not in self.of(row).remarks:
            self.of(row).remarks.append(sentence)

    @property
    def sound(self) -> bool:
        """Whether every round was as it must be."""
        return not any(reading.problems for reading in self._rows.values())


def verdict(figure: Figure, reading: Reading) -> str:
    """One word or two: beyond, met, or by how much it was missed."""
    values = reading.rounds.get(figure.name)
    if reading.problems:
        return NOT_SOUND
    if not values:
        return NOT_MEASURED
    median = statistics.median(values)
    if figure.beyond is not None and figure.reaches(median, figure.beyond):
        return BEYOND
    if figure.reaches(median, figure.target):
        return MET
    return f"missed by {abs(median / figure.target - 1):.0%}"
