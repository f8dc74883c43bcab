"""Clouds of points, some of them named: genes, cells, perturbations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beeline.evaluate.drawing import Drawing
from beeline.evaluate.frame import BOTTOM, RIGHT, TOP, WIDTH, Frame, line, text
from beeline.evaluate.labels import Point, placed
from beeline.evaluate.scales import Scale, linear_ticks, short

_HEIGHT = 300.0
_ROUNDS, _MOST_TIPS = 8, 160
Named = tuple[float, float, str]


@dataclass(frozen=True)
class Scatter:
    """Points in colours, the last ones on top.

    Args:
        title: what is shown.
        groups: points by name; what is not finite is left out.
        x: name and unit of the horizontal axis.
        y: of the vertical axis.
        note: how to read it.
        named: points that tell their names under the pointer, those that matter most first.
        labels: how many of them have their name beside them, where there is room.
        inks: number of the colour of each group.
        diagonal: name of the line on which both are equal, with one scale for both; none when empty.
        level: height and name of a line across; none when None.
        limits: lowest and highest x, and the same of y, that the axes hold in any case; what lies beyond is at the
            edge.
        mixed: whether the groups lie among one another in place of on top, without numbers at the axes.
    """

    title: str
    groups: Mapping[str, Sequence[Point]]
    x: str
    y: str
    note: str = ""
    named: Sequence[Named] = ()
    labels: int = 10
    inks: Mapping[str, int] = field(default_factory=dict)
    diagonal: str = ""
    level: tuple[float, str] | None = None
    limits: tuple[float, float, float, float] | None = None
    mixed: bool = False

    def html(self) -> str:
        """A figure; empty where there is nothing to draw."""
        drawing = self.drawing()
        return "" if drawing is None else drawing.html()

    def drawing(self) -> Drawing | None:
        """The picture; None where there is nothing to draw."""
        groups = {name: [_finite(point) for point in points] for name, points in self.groups.items()}
        kept = {name: [point for point in points if point is not None] for name, points in groups.items()}
        kept = {name: points for name, points in kept.items() if points}
        if not kept:
            return None
        frame = self._frame([point for points in kept.values() for point in points])
        parts = _bare(frame) if self.mixed else frame.axes()
        if self.diagonal:
            low, high = frame.x.low, frame.x.high
            parts.append(_stroke(frame.across(low), frame.down(low), frame.across(high), frame.down(high)))
        if self.level is not None and frame.y.low <= self.level[0] <= frame.y.high:
            y = frame.down(self.level[0])
            parts.append(line(frame.left, WIDTH - RIGHT, y, "level level0"))
        places = {name: [_place(frame, point) for point in points] for name, points in kept.items()}
        inks = {name: self.inks.get(name, number) for number, name in enumerate(kept)}
        parts += _mixed(places, inks) if self.mixed else [_cloud(each, inks[name]) for name, each in places.items()]
        parts += self._names(frame, places)
        dashed = self.diagonal or (self.level[1] if self.level is not None else "")
        return Drawing(self.title, parts, _HEIGHT, self._words(kept), self.note, inks, dashed)

    def _frame(self, points: Sequence[Point]) -> Frame:
        across, down = [x for x, _ in points], [y for _, y in points]
        if self.limits is not None:
            across, down = list(self.limits[:2]), list(self.limits[2:])
        if self.mixed:
            return Frame(_roomy(across), _roomy(down), self.x, self.y, _HEIGHT)
        if self.diagonal:
            across = down = [*across, *down]
        return Frame(_enclosing(across), _enclosing(down), self.x, self.y, _HEIGHT)

    def _names(self, frame: Frame, places: Mapping[str, Sequence[Point]]) -> list[str]:
        """Names beside their points, and what the pointer reads."""
        named = [(*_place(frame, (x, y)), x, y, name) for x, y, name in self.named if math.isfinite(x + y)]
        cloud = [point for points in places.values() for point in points]
        widest = 150.0 if self.mixed else 96.0
        limits = (frame.left + 1, TOP - 8, WIDTH - 2, _HEIGHT - BOTTOM - 1)
        labels = placed(
            [(across, down, name) for across, down, _, _, name in named[: self.labels]], cloud, limits, widest
        )
        rings = [f'<circle class="ring" cx="{each.point[0]:.1f}" cy="{each.point[1]:.1f}" r="3.2"/>' for each in labels]
        tips = [
            f'<circle class="hit" cx="{across:.1f}" cy="{down:.1f}" r="6"><title>{text(name)}'
            f"{'' if self.mixed else f': {short(x)}, {short(y)}'}</title></circle>"
            for across, down, x, y, name in named[:_MOST_TIPS]
        ]
        return [*rings, *(part for each in labels for part in each.parts()), *([] if self.mixed else tips)]

    def _words(self, kept: Mapping[str, Sequence[Point]]) -> str:
        counts = ", ".join(f"{len(points):,} points of {name}" for name, points in kept.items())
        names = ", ".join(
            name if self.mixed else f"{name} at {short(x)}, {short(y)}" for x, y, name in self.named[: self.labels]
        )
        return f"{self.x} and {self.y}: {counts}" + (f"; named: {names}" if names else "")


def _finite(point: Sequence[float | None]) -> Point | None:
    x, y = point
    return (float(x), float(y)) if x is not None and y is not None and math.isfinite(x + y) else None


def _enclosing(values: Sequence[float]) -> Scale:
    ticks = linear_ticks(min(values), max(values))
    return Scale(ticks[0], ticks[-1], ticks)


def _roomy(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    room = 0.04 * ((high - low) or 1.0)
    return Scale(low - room, high + room, ())


def _bare(frame: Frame) -> list[str]:
    """Names of axes that have no numbers."""
    left, right, top, bottom = 2.0, WIDTH - 2, TOP - 4, _HEIGHT - BOTTOM + 12
    return [
        f'<rect class="plain" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" rx="6"/>',
        f'<text x="0" y="10">{text(frame.y_name)}</text>',
        f'<text x="{WIDTH / 2:g}" y="{_HEIGHT - 8:g}" text-anchor="middle">{text(frame.x_name)}</text>',
    ]


def _place(frame: Frame, point: Point) -> Point:
    """Where a point is drawn; at the edge where it lies beyond."""
    x = min(max(point[0], frame.x.low), frame.x.high)
    y = min(max(point[1], frame.y.low), frame.y.high)
    return frame.across(x), frame.down(y)


def _cloud(points: Sequence[Point], ink: int) -> str:
    """Points as one path of round dots; those that fall together are one."""
    dots = dict.fromkeys(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="cloud ink{ink}" d="M{"h0M".join(dots)}h0"/>'


def _mixed(places: Mapping[str, Sequence[Point]], inks: Mapping[str, int]) -> list[str]:
    """Some points of every group in turn, so that none hides the others."""
    return [
        _cloud(points[start::_ROUNDS], inks[name])
        for start in range(_ROUNDS)
        for name, points in places.items()
        if points[start::_ROUNDS]
    ]


def _stroke(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="level level0" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
