"""The benchmark's table: medians, verdicts, and what it says of a run that was not sound."""

from __future__ import annotations

import pytest

from bench.__main__ import MEASUREMENTS, chosen
from bench.peers import PEERS
from bench.readings import BEYOND, MET, NOT_MEASURED, NOT_SOUND, Readings, spread, verdict
from bench.rows import ROWS, Figure, Row
from bench.table import HEADS, lines, markdown, missed, number, quantity, wanted

COST = Figure("", "us", 100, 70)
RATE = Figure("", "1/s", 6_000, 10_000, at_least=True)
ROW = Row("marks", "marks/s", (RATE,))


def reading_of(*values: float) -> Readings:
    """Rounds of one figure."""
    readings = Readings()
    for value in values:
        readings.add(ROW.name, value)
    return readings


def test_the_middle_round_counts() -> None:
    """A figure is the median of its rounds, beside the lowest and the highest."""
    found = spread([9.0, 1.0, 2.0])
    assert (found.median, found.low, found.high) == (2.0, 1.0, 9.0)


@pytest.mark.parametrize(
    ("figure", "value", "said"),
    [
        (COST, 70, BEYOND),
        (COST, 70.1, MET),
        (COST, 100, MET),
        (COST, 150, "missed by 50%"),
        (RATE, 10_000, BEYOND),
        (RATE, 6_000, MET),
        (RATE, 4_500, "missed by 25%"),
        (Figure("", "s", 1), 0.1, MET),
    ],
)
def test_a_verdict_says_how_far_it_is_from_the_target(
    figure: Figure, value: float, said: str
) -> None:
    """Reached is met, the better mark is beyond, and anything else says by how much."""
    assert verdict(figure, reading_of(value).of(ROW.name)) == said


def test_a_verdict_goes_by_the_median() -> None:
    """One good round does not meet a target, nor does one bad round miss it."""
    assert verdict(COST, reading_of(60, 150, 160).of(ROW.name)).startswith("missed")
    assert verdict(COST, reading_of(60, 65, 160).of(ROW.name)) == BEYOND


def test_a_run_that_was_not_sound_meets_nothing() -> None:
    """However fast: a row with a problem is not met, and the whole is not sound."""
    readings = reading_of(1)
    readings.problem(ROW.name, "3 deliveries missing")
    assert verdict(COST, readings.of(ROW.name)) == NOT_SOUND
    assert not readings.sound
    assert "NOT SOUND: 3 deliveries missing" in lines([ROW], readings)[0].beside


def test_a_missed_target_is_sound() -> None:
    """Slow is not wrong: only correctness decides on the exit status."""
    assert reading_of(1e9).sound


def test_a_row_is_missed_when_one_of_its_figures_is() -> None:
    """What was tried is then said; a row that was not measured is missed too."""
    assert missed(ROW, reading_of(5_999).of(ROW.name))
    assert not missed(ROW, reading_of(6_000).of(ROW.name))
    assert missed(ROW, Readings().of(ROW.name))


def test_no_row_is_left_out() -> None:
    """A row that was not measured stands in the table, and says so."""
    [line] = lines([ROW], Readings())
    assert (line.median, line.verdict) == ("-", NOT_MEASURED)


def test_every_figure_has_its_line() -> None:
    """Each figure of each row has one line, in the order of the rows."""
    found = lines(ROWS, Readings())
    assert len(found) == sum(len(row.figures) for row in ROWS)
    assert found[0].figure.startswith(ROWS[0].words)


def test_every_row_is_measured_once() -> None:
    """Each row of the table belongs to one measurement."""
    measured = [name for measurement in MEASUREMENTS for name in measurement.rows]
    assert sorted(measured) == sorted(row.name for row in ROWS)


def test_one_row_can_be_repeated() -> None:
    """A row that is asked for by name brings its measurement, and no other."""
    assert [found.rows for found in chosen(["start"])] == [("start",)]
    assert chosen(None) == list(MEASUREMENTS)


def test_peers_stand_beside_figures_that_exist() -> None:
    """Each of the peers' figures names one of ours."""
    ours = {(row.name, figure.name) for row in ROWS for figure in row.figures}
    assert {(row, figure) for _, _, _, row, figure in PEERS} <= ours


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.844, "0.84"), (12.34, "12.3"), (148.4, "148"), (61_204.4, "61,204")],
)
def test_numbers_have_three_digits(value: float, said: str) -> None:
    """No more digits than mean something."""
    assert number(value) == said


def test_a_target_says_its_direction() -> None:
    """It can be read without knowing whether more is better."""
    assert wanted(COST, COST.target) == "at most 100 us"
    assert wanted(RATE, RATE.beyond) == "at least 10,000 1/s"
    assert wanted(COST, None) == ""
    assert quantity(20, "") == "20.0"


def test_what_is_beside_a_row_is_a_median_too() -> None:
    """The load generator's own CPU stands beside the row's first figure."""
    readings = reading_of(7_000)
    for value in (10.0, 30.0, 20.0):
        readings.beside(ROW.name, "load generator", value, "us per mark")
    assert lines([ROW], readings)[0].beside == "load generator 20.0 us per mark"


def test_a_problem_is_said_once() -> None:
    """The same problem in three rounds is one sentence."""
    readings = Readings()
    for _ in range(3):
        readings.problem("marks", "1 mark refused")
        readings.remark("marks", "how")
    assert readings.of("marks").problems == ["1 mark refused"]
    assert readings.of("marks").remarks == ["how"]


def test_markdown_has_a_cell_for_every_head() -> None:
    """Each line of the table has as many cells as the head."""
    text = markdown(HEADS, [line.cells for line in lines([ROW], reading_of(7_000))])
    assert {line.count("|") for line in text.splitlines()} == {len(HEADS) + 1}
