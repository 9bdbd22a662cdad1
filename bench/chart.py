"""Line charts as SVG, readable on a light and on a dark page; the same input gives the same bytes.

Both axes are logarithmic to base 2. Colours are those of Okabe and Ito, which the colour-blind can
tell apart, and every line has a dash of its own as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WIDTH, HEIGHT = 400, 400
LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 56, 44, 320, 220
LEGEND_LINE = 18

STYLE = """
text{font:12px system-ui,sans-serif;fill:#222}
.title{font-weight:600;font-size:13px}
.page{fill:#fff}.axis{stroke:#888;fill:none}.grid{stroke:#e2e2e2}
.line{fill:none;stroke-width:2}
.l0{stroke:#d55e00}.l1{stroke:#0072b2;stroke-dasharray:7 3}
.l2{stroke:#009e73;stroke-dasharray:2 3}.l3{stroke:#cc79a7;stroke-dasharray:9 3 2 3}
@media(prefers-color-scheme:dark){
text{fill:#ddd}.page{fill:#1b1b1b}.axis{stroke:#999}.grid{stroke:#383838}
.l0{stroke:#ff9248}.l1{stroke:#56b4e9}.l2{stroke:#3fd0a4}.l3{stroke:#e6a6cb}}
"""


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: what is shown.
        x, y: what the axes count.
        lines: by their names, the points (x, y), all above 0; four lines at most.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def svg(charts: Sequence[Chart], about: str) -> str:
    """The charts side by side; *about* says in words what they show."""
    width = WIDTH * len(charts)
    body = "\n".join(
        f'<g transform="translate({WIDTH * place} 0)">\n' + "\n".join(_chart(chart)) + "\n</g>"
        for place, chart in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" role="img">\n'
        f"<title>{escape(about)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="page" width="{width}" height="{HEIGHT}"/>\n{body}\n</svg>\n'
    )


def _chart(chart: Chart) -> Iterator[str]:
    points = [point for line in chart.lines.values() for point in line]
    across = _Scale([x for x, _ in points], LEFT, LEFT + PLOT_WIDTH)
    up = _Scale([y for _, y in points], TOP + PLOT_HEIGHT, TOP)
    bottom, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH
    yield _text(LEFT, 24, chart.title, 'class="title"')
    for tick in up.ticks:
        y = up.at(tick)
        yield f'<path class="grid" d="M{LEFT} {y}H{right}"/>'
        yield _text(LEFT - 8, y + 4, f"{tick:g}", 'text-anchor="end"')
    for tick in across.ticks:
        yield _text(across.at(tick), bottom + 18, f"{tick:g}", 'text-anchor="middle"')
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    yield _text(LEFT + PLOT_WIDTH / 2, bottom + 36, chart.x, 'text-anchor="middle"')
    middle = TOP + PLOT_HEIGHT / 2
    yield _text(14, middle, chart.y, f'text-anchor="middle" transform="rotate(-90 14 {middle:g})"')
    for number, (name, line) in enumerate(chart.lines.items()):
        path = "L".join(f"{across.at(x)} {up.at(y)}" for x, y in line)
        yield f'<path class="line l{number}" d="M{path}"/>'
        y = bottom + 58 + LEGEND_LINE * number
        yield f'<path class="line l{number}" d="M{LEFT} {y - 4}h32"/>'
        yield _text(LEFT + 40, y, name)


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" {more}>{escape(words)}</text>'


class _Scale:
    """From values to places, by their logarithms; from one power of two to another."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._low = math.floor(math.log2(min(values)))
        self._high = max(math.ceil(math.log2(max(values))), self._low + 1)
        self._start, self._end = start, end

    @property
    def ticks(self) -> list[float]:
        return [2.0**power for power in range(self._low, self._high + 1)]

    def at(self, value: float) -> float:
        share = (math.log2(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)
