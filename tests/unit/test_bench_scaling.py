"""The derived numbers of docs/explanation/scaling.md."""

from __future__ import annotations

import pytest

from bench.scaling import PAGE, worked_out, written

TABLES = """
| figure | value | unit |
|---|---|---|
| `cost_us` | {cost} | us per mark |

| what | formula | 1 million | 3 million, a cell |
|---|---|---|---|
| marks/s (`marks`) | `users / 100` | 1 | |
| **API**: cores | `ceil(marks * cost_us / 1e6)` | |

| more | formula | 1 million | 3 million |
|---|---|---|---|
| half | `marks / 2` | |
"""


def test_the_page_says_what_follows_from_its_figures() -> None:
    """Each derived number is its formula's: after a change, run `python -m bench.scaling`."""
    page = PAGE.read_text(encoding="utf-8")
    assert worked_out(page) == page


def test_formulas_know_figures_and_the_rows_above() -> None:
    """For each number of users; a table below knows the rows of those above it."""
    page = worked_out(TABLES.format(cost="1,050"))
    assert "| marks/s (`marks`) | `users / 100` | 10,000 | 30,000 |" in page
    assert "| **API**: cores | `ceil(marks * cost_us / 1e6)` | 11 | 32 |" in page
    assert "| half | `marks / 2` | 5,000 | 15,000 |" in page


def test_a_figure_that_changes_changes_what_follows() -> None:
    """The rest of the page stays as it is."""
    before, after = (worked_out(TABLES.format(cost=cost)) for cost in ("1,050", "2,050"))
    differing = [
        new for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new
    ]
    assert differing == [
        "| `cost_us` | 2,050 | us per mark |",
        "| **API**: cores | `ceil(marks * cost_us / 1e6)` | 21 | 62 |",
    ]


def test_an_unknown_name_is_an_error() -> None:
    """A formula whose figure was renamed does not keep its old number."""
    with pytest.raises(NameError):
        worked_out(TABLES.format(cost=1).replace("`cost_us`", "`price_us`"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1388.9, "1,400"), (0.00519, "0.0052"), (150_000_000, "150,000,000"), (15.15, "15"), (8, "8")],
)
def test_numbers_have_two_digits_that_count(value: float, text: str) -> None:
    """More would pretend to know."""
    assert written(value) == text
