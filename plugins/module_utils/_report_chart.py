# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's one kind of picture (private to the collection): lanes over a common axis, as HTML with inline SVG.

Positions are percentages and text is HTML, so that a chart fits a phone and a wide screen without a script.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Sequence


def esc(value: Any) -> str:
    """Text that is safe in HTML."""
    return html.escape(str(value), quote=True)


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high``; positions are per cent of its width."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Where a value is, clipped to the axis."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def ticks(self, about: int = 8) -> list[float]:
        """Round numbers on the axis, about as many as asked for."""
        raw = ((self.high - self.low) or 1.0) / about
        magnitude = 10 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass
class Lane:
    """One row: its name, its picture, its value."""

    name: str
    body: str
    value: str = ""
    height: str = ""  # '', 'middle' or 'tall'
    held: bool = False


@dataclass
class Chart:
    """Lanes, and what lies over all of them: grid lines, bands (from, to, label, and what is left out on a phone)."""

    scale: Scale
    lanes: list[Lane] = field(default_factory=list)
    bands: list[tuple[float, float, str, str]] = field(default_factory=list)
    unit: str = ""

    def beam(self, name: str, begin: float, end: float, value: str, kind: str = "") -> None:
        """A lane with one bar; one that is wholly off the axis shows none."""
        body = ""
        if end >= self.scale.low and begin <= self.scale.high:
            left, right = self.scale(begin), self.scale(end)
            body = f'<span class="bar {kind}" style="left:{min(left, 99.8)}%;width:{right - left:.3f}%"></span>'
        self.lanes.append(Lane(name, body, value, held=kind == "held"))

    def histogram(
        self, name: str, begin: float, step: float, counts: Sequence[float], kind: Callable[[float], str], **how: Any
    ) -> None:
        """A lane with a column per bin; the highest fills it. ``kind`` tells the colour from the place."""
        most = max(counts, default=0) or 1
        columns: dict[str, str] = {}
        for number, count in enumerate(counts):
            left = begin + number * step
            if count and left + step > self.scale.low and left < self.scale.high:
                x, right = self.scale(left) * 10, self.scale(left + step) * 10
                column = f"M{x:.2f} 100V{100 - 100 * count / most:.1f}H{max(right - 0.4, x + 0.4):.2f}V100Z"
                columns[kind(left)] = columns.get(kind(left), "") + column
        self._svg(name, "".join(f'<path class="fill {k}" d="{path}"/>' for k, path in columns.items()), **how)

    def line(self, name: str, points: Sequence[tuple[float, float]], **how: Any) -> None:
        """A lane with a line through points (axis value, height); the highest is at its top."""
        most = max((y for dummy, y in points), default=0) or 1
        path = "".join(
            f"{'L' if i else 'M'}{self.scale(x) * 10:.1f} {98 - 96 * y / most:.1f}" for i, (x, y) in enumerate(points)
        )
        self._svg(name, f'<path class="stroke" d="{path}"/>', **how)

    def _svg(self, name: str, inner: str, value: str = "", height: str = "tall", label: str = "") -> None:
        text = f'<span class="most">{esc(label)}</span>' if label else ""
        svg = f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">{inner}</svg>'
        self.lanes.append(Lane(name, svg + text, value, height))

    def _edge(self, tick: float) -> str:
        """Labels at either end stay within the chart."""
        return " class=left" if self.scale(tick) < 5 else " class=right" if self.scale(tick) > 93 else ""

    def render(self, caption: str) -> str:
        """The whole figure."""
        rows = []
        for number, lane in enumerate(self.lanes, 1):
            kind = "name held-name" if lane.held else "name"
            rows.append(
                f'<div class="{kind}" style="grid-row:{number}">{esc(lane.name)}</div>'
                f'<div class="lane {lane.height}" style="grid-row:{number};grid-column:2">{lane.body}</div>'
                f'<div class="value" style="grid-row:{number};grid-column:3">{esc(lane.value)}</div>'
            )
        ticks = self.scale.ticks()
        grid = "".join(f'<i style="left:{self.scale(tick)}%"></i>' for tick in ticks)
        for low, high, label, rest in self.bands:
            left, right = self.scale(low), self.scale(high)
            grid += f'<i class="band" style="left:{left}%;width:{right - left:.3f}%"></i>'
            middle = min(max((left + right) / 2, 8), 92)
            grid += f'<em style="left:{middle:.3f}%">{esc(label)}<span>{esc(rest)}</span></em>'
        last_unit = f" {esc(self.unit)}"
        axis = "".join(
            f'<span{self._edge(t)} style="left:{self.scale(t)}%">{t:g}{last_unit if t == ticks[-1] else ""}</span>'
            for t in ticks
        )
        last = len(self.lanes) + 1
        return (
            f'<figure><div class="chart">{"".join(rows)}'
            f'<div class="over" style="grid-row:1/{last}">{grid}</div>'
            f'<div class="axis" style="grid-row:{last};grid-column:2">{axis}</div></div>'
            f"<figcaption>{caption}</figcaption></figure>"
        )


def pairs(rows: Iterable[tuple[str, float, float, str, str]]) -> str:
    """Two bars a row, source and node, each row on its own scale: name, two numbers, the two as text."""
    parts = []
    for name, first, second, first_text, second_text in rows:
        most = max(first, second) or 1
        parts.append(
            f'<div class="name">{esc(name)}</div>'
            f'<div class="track"><i style="width:{100 * first / most:.1f}%"></i></div>'
            f'<div class="value">{esc(first_text)}</div>'
            f'<div class="track"><i class="node" style="width:{100 * second / most:.1f}%"></i></div>'
            f'<div class="value">{esc(second_text)}</div>'
        )
    return f'<figure><div class="pairs">{"<div class=rule></div>".join(parts)}</div></figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[int] = ()) -> str:
    """A table; ``numbers`` are the columns that are aligned to the right."""

    def cell(tag: str, column: int, text: Any) -> str:
        return f"<{tag}{' class=number' if column in numbers else ''}>{text if tag == 'td' else esc(text)}</{tag}>"

    top = "".join(cell("th", i, name) for i, name in enumerate(head))
    body = "".join("<tr>" + "".join(cell("td", i, value) for i, value in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
