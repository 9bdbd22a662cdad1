"""Works out the derived numbers of docs/explanation/scaling.md anew, from the figures on that page.

    python -m bench.scaling

A figure is a row that begins with a name and a number. A derived number is a row with words, a
formula, and one number for each head such as "1 million"; the formula knows the figures, ``users``,
and the rows above it that have a name in brackets.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/explanation/scaling.md"

FIGURE = re.compile(r"\| `(\w+)` \| ([\d.,]+) \|")
HEAD = re.compile(r"\| [^|]+ \| formula \|(.*)\|")
SIZE = re.compile(r"(\d+) million")
DERIVED = re.compile(r"(\| [^|`]+?(?:\(`(\w+)`\) )?\| `([^`|]+)` \|).*\|")


def written(value: float) -> str:
    """Two digits that count, and no more."""
    return f"{float(f'{value:.2g}'):,.12g}"


def worked_out(page: str) -> str:
    """The page with its derived numbers as they follow from its figures.

    Raises:
        NameError: a formula knows a name that no row has.
    """
    known: dict[str, float] = {}
    columns: list[dict[str, float]] = []
    lines = []
    for line in page.splitlines():
        if figure := FIGURE.match(line):
            known[figure[1]] = float(figure[2].replace(",", ""))
        elif head := HEAD.fullmatch(line):
            sizes = [1e6 * int(size) for size in SIZE.findall(head[1])]
            columns = columns or [{"users": size} for size in sizes]
        elif derived := DERIVED.fullmatch(line):
            start, name, formula = derived.groups()
            values = [_value(formula, known | column) for column in columns]
            if name:
                for column, value in zip(columns, values, strict=True):
                    column[name] = value
            line = f"{start} {' | '.join(map(written, values))} |"  # noqa: PLW2901 -- as it is written now
        lines.append(line)
    return "\n".join(lines) + "\n"


def _value(formula: str, names: dict[str, float]) -> float:
    return float(eval(formula, {"__builtins__": {}, "ceil": math.ceil}, names))  # noqa: S307 -- our own page


if __name__ == "__main__":
    PAGE.write_text(worked_out(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
