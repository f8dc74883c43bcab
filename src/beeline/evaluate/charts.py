"""Charts as inline SVG: curves, points and bars, readable without scripts, in light and dark and on paper.

A chart is drawn about as wide as a telephone, so that its letters keep their size wherever it is shown; its name and
legend are HTML above it, where they cover nothing. Colours are classes that the page's style gives a meaning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beeline.evaluate.frame import BOTTOM, HEIGHT, TOP, WIDTH, Frame, line, text
from beeline.evaluate.scales import enclosing, short, spread, tight

_MOST_POINTS, _MOST_READINGS = 240, 48
COLOURS = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Curves, or points joined by lines.

    Args:
        title: what is shown.
        series: (x, y) by name; what is not finite is left out, and a series of fewer than two points is not drawn.
        x: name and unit of the horizontal axis.
        y: name and unit of the vertical axis.
        points: whether the values are few and each is marked.
        zero: whether the vertical axis begins at 0.
        log_x: whether the horizontal axis is logarithmic, with a tick at each value.
        levels: horizontal lines to compare with, by name.
        note: what else must be known to read it.
    """

    title: str
    series: Mapping[str, Sequence[Point]]
    x: str
    y: str
    points: bool = False
    zero: bool = False
    log_x: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def html(self) -> str:
        """A figure; empty where there is nothing to draw."""
        series = {name: _drawable(points, self.log_x) for name, points in self.series.items()}
        series = {name: points for name, points in series.items() if len(points) > 1}
        if not series:
            return ""
        levels = {name: level for name, level in self.levels.items() if math.isfinite(level)}
        every = [point for points in series.values() for point in points]
        x_scale = tight([x for x, _ in every], self.log_x)
        y_scale = enclosing([*(y for _, y in every), *levels.values()], self.zero)
        frame = Frame(x_scale, y_scale, self.x, self.y)
        parts = frame.axes()
        for number, level in enumerate(levels.values()):
            across = frame.across(x_scale.low), frame.across(x_scale.high)
            parts.append(line(across[0], across[1], frame.down(level), f"level level{number}"))
        for number, points in enumerate(series.values()):
            path = " ".join(f"{frame.across(x):.1f},{frame.down(y):.1f}" for x, y in _thinned(points))
            parts.append(f'<polyline class="curve ink{number % COLOURS}" points="{path}"/>')
            if self.points:
                parts += [
                    f'<circle class="dot fill{number % COLOURS}" cx="{frame.across(x):.1f}" cy="{frame.down(y):.1f}"'
                    ' r="3.2"/>'
                    for x, y in points
                ]
        parts += _readings(frame, series)
        legend = _legend(series, "line") if len(series) > 1 or levels else ""
        return _figure(self.title, legend + _legend(levels, "level"), parts, self.note, _described(series))


@dataclass(frozen=True)
class Bars:
    """Bars over intervals, side by side where there are several series.

    Args:
        title: what is shown.
        edges: (n + 1) ascending limits of the intervals.
        series: n heights by name; None or NaN where there is none.
        x: name and unit of the horizontal axis.
        y: name and unit of the heights, which are shown from 0.
        note: what else must be known to read it.
    """

    title: str
    edges: Sequence[float]
    series: Mapping[str, Sequence[float | None]]
    x: str
    y: str
    note: str = ""

    def html(self) -> str:
        """A figure; empty where there is nothing to draw."""
        spans = list(zip(self.edges[:-1], self.edges[1:], strict=True))
        bars = {
            name: [
                (span, height)
                for span, height in zip(spans, heights, strict=False)
                if height is not None and math.isfinite(height)
            ]
            for name, heights in self.series.items()
        }
        bars = {name: each for name, each in bars.items() if each}
        if not bars:
            return ""
        frame = Frame(
            tight(list(self.edges)), enclosing([h for each in bars.values() for _, h in each], True), self.x, self.y
        )
        parts = frame.axes()
        base = frame.down(0.0)
        for number, (name, each) in enumerate(bars.items()):
            for (low, high), height in each:
                left, right = frame.across(low), frame.across(high)
                wide = (right - left) * 0.84 / len(bars)
                x, y = left + (right - left) * 0.08 + number * wide, frame.down(height)
                parts.append(
                    f'<rect class="bar fill{number % COLOURS}" x="{x:.1f}" y="{min(y, base):.1f}" width="{wide:.1f}" '
                    f'height="{abs(base - y):.1f}"><title>{text(self.x)} {short(low)} to {short(high)}: '
                    f"{text(name)} {short(height)}</title></rect>"
                )
        legend = _legend(bars, "block") if len(bars) > 1 else ""
        summary = {name: [(low, height) for (low, _), height in each] for name, each in bars.items()}
        return _figure(self.title, legend, parts, self.note, _described(summary))


def _drawable(points: Sequence[Point], log_x: bool) -> list[Point]:
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x)]
    return sorted(finite, key=lambda point: point[0])


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most a few hundred points, each the mean of its neighbours where there were more."""
    size = -(-len(points) // _MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _readings(frame: Frame, series: Mapping[str, Sequence[Point]]) -> list[str]:
    """Unseen columns that tell the values beneath the pointer."""
    xs = sorted({x for points in series.values() for x, _ in points})
    chosen = [xs[round(index)] for index in spread(len(xs), _MOST_READINGS)]
    places = [frame.across(x) for x in chosen]
    limits = [places[0] - 6, *((a + b) / 2 for a, b in itertools.pairwise(places)), places[-1] + 6]
    parts = []
    for x, left, right in zip(chosen, limits[:-1], limits[1:], strict=True):
        near = {name: min(points, key=lambda point: abs(point[0] - x)) for name, points in series.items()}
        values = ", ".join(
            f"{name} {short(y, 4)}" if len(series) > 1 else short(y, 4)
            for name, (at, y) in near.items()
            if left <= frame.across(at) <= right
        )
        place = f'x="{left:.1f}" y="{TOP:g}" width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM:g}"'
        reading = text(f"{frame.x_name} {short(x, 4)}: {values}")
        parts.append(f'<rect class="hit" {place}><title>{reading}</title></rect>')
    return parts


def _described(series: Mapping[str, Sequence[Point]]) -> str:
    """The chart in words, for those who cannot see it."""
    return "; ".join(
        f"{name}: from {short(points[0][1])} to {short(points[-1][1])}, smallest {short(min(y for _, y in points))}, "
        f"largest {short(max(y for _, y in points))}"
        for name, points in series.items()
    )


def _legend(names: Mapping[str, object], kind: str) -> str:
    """Names with their colours."""
    if not names:
        return ""
    entries = "".join(
        f'<span><i class="{kind} {"level" if kind == "level" else "key"}{number % COLOURS}"></i>{text(name)}</span>'
        for number, name in enumerate(names)
    )
    return f'<div class="legend">{entries}</div>'


def _figure(title: str, legend: str, parts: Sequence[str], note: str, description: str) -> str:
    # Titles inside the picture would be shown wherever the pointer rests; the readings have their own.
    label = text(f"{title}. {description}")
    drawing = f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    note = f"<p>{text(note)}</p>" if note else ""
    return (
        f'<figure class="card chart"><figcaption><b>{text(title)}</b><output></output></figcaption>'
        f"{note}{legend}{drawing}</figure>"
    )
