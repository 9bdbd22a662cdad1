"""The table: one line for each figure, with its median, spread, target and verdict.

As Markdown for bench/results.md, and as a rich table for the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from bench.readings import BEYOND, MET, NOT_SOUND, spread, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.readings import Reading, Readings
    from bench.rows import Figure, Row

HEADS = ("figure", "median", "lowest to highest", "target", "beyond", "verdict", "beside it")


@dataclass(frozen=True)
class Line:
    """One line of the table, as text."""

    figure: str
    median: str
    between: str
    target: str
    beyond: str
    verdict: str
    beside: str

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of HEADS."""
        return (
            self.figure,
            self.median,
            self.between,
            self.target,
            self.beyond,
            self.verdict,
            self.beside,
        )


def number(value: float) -> str:
    """Three digits that count, or whole thousands: 0.84, 12.3, 148, 61,204."""
    if value == 0:
        return "0"
    size = abs(value)
    places = 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:,.{places}f}"


def quantity(value: float, unit: str) -> str:
    """A number and what it counts."""
    return f"{number(value)} {unit}".rstrip()


def wanted(figure: Figure, value: float | None) -> str:
    """A target as the table says it."""
    if value is None:
        return ""
    return f"{'at least' if figure.at_least else 'at most'} {value:,g} {figure.unit}".rstrip()


def lines(rows: Iterable[Row], readings: Readings) -> list[Line]:
    """All lines; what is beside a row stands in its first line."""
    return [line for row in rows for line in _of_row(row, readings.of(row.name))]


def _of_row(row: Row, reading: Reading) -> list[Line]:
    found = []
    for figure in row.figures:
        first = figure is row.figures[0]
        values = reading.rounds.get(figure.name)
        seen = spread(values) if values else None
        words = row.words if first else "the same"
        found.append(
            Line(
                figure=f"{words}: {figure.name}" if figure.name else words,
                median=quantity(seen.median, figure.unit) if seen else "-",
                between=f"{number(seen.low)} to {number(seen.high)}" if seen else "-",
                target=wanted(figure, figure.target),
                beyond=wanted(figure, figure.beyond),
                verdict=verdict(figure, reading),
                beside=_beside(reading) if first else "",
            )
        )
    return found


def missed(row: Row, reading: Reading) -> bool:
    """Whether one of its figures is not what it should be."""
    return any(verdict(figure, reading) not in {BEYOND, MET} for figure in row.figures)


def _beside(reading: Reading) -> str:
    problems = [f"NOT SOUND: {problem}" for problem in reading.problems]
    seen = [
        f"{name} {quantity(spread(values).median, unit)}"
        for (name, unit), values in reading.beside.items()
    ]
    return "; ".join([*problems, *seen])


def markdown(heads: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *cells))


def on_screen(found: Iterable[Line]) -> Table:
    """For the terminal: what is beside the figures is in results.md."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in HEADS[:-1]:
        table.add_column(head, overflow="fold")
    for line in found:
        good = line.verdict in {BEYOND, MET}
        colour = "green" if good else "red" if line.verdict == NOT_SOUND else "yellow"
        *cells, said = line.cells[:-1]
        table.add_row(*cells, f"[{colour}]{said}[/]")
    return table
