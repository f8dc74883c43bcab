"""Where names of points go: beside their points, over as few others as can be, and never over one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from beeline.evaluate.frame import text

_RISE, _FALL = 8.5, 3.0
_DISTANCES = (6.0, 10.0, 15.0, 21.0, 28.0, 36.0, 46.0)
_ANGLES = 16
_COVERED, _LEADER = 3.0, 9.0

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A name that has found its place.

    Args:
        name: what is written.
        x: left end of it.
        y: its base line.
        point: what it names.
        end: the point of its box that is nearest to that.
    """

    name: str
    x: float
    y: float
    point: Point
    end: Point

    def parts(self) -> list[str]:
        """The name, with a line to its point where it is not beside it."""
        parts = []
        if math.dist(self.point, self.end) > _LEADER:
            (x1, y1), (x2, y2) = self.point, self.end
            parts.append(f'<line class="leader" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
        return [*parts, f'<text class="on" x="{self.x:.1f}" y="{self.y:.1f}">{text(self.name)}</text>']


def placed(
    names: Sequence[tuple[float, float, str]], cloud: Sequence[Point], frame: Box, widest: float = 96.0
) -> list[Label]:
    """Names in their places; one for which there is none is left out.

    Args:
        names: x, y and name of points, those that matter most first.
        cloud: points that names had better not cover.
        frame: left, top, right and bottom of where they may be.
        widest: room for a name, which is cut where it is longer.
    """
    found: list[Label] = []
    boxes: list[Box] = []
    for x, y, whole in names:
        name = elided(whole, widest)
        best: tuple[float, Label, Box] | None = None
        for left, base, away in _candidates(x, y, width_of(name)):
            box = (left, base - _RISE, left + width_of(name), base + _FALL)
            end = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
            if not _inside(box, frame) or any(_meet(box, other) for other in boxes):
                continue
            if any(_crosses((x, y), end, other) for other in boxes):
                continue
            covered = sum(box[0] - 2 < a < box[2] + 2 and box[1] - 1 < b < box[3] + 1 for a, b in cloud)
            lines = sum(_crosses(each.point, each.end, box) for each in found)
            cost = away + _COVERED * min(covered, 30) + 40.0 * lines
            if best is None or cost < best[0]:
                best = cost, Label(name, left, base, (x, y), end), box
        if best is not None:
            found.append(best[1])
            boxes.append(best[2])
    return found


def width_of(name: str, size: float = 11.0) -> float:
    """How wide a name is, at most, by its letters.

    Args:
        name: what is written.
        size: of its letters.
    """
    wide = sum(0.74 if each.isupper() else 0.6 if each.isdigit() or each.islower() else 0.5 for each in name)
    return size * wide


def elided(name: str, width: float, size: float = 11.0) -> str:
    """A name as far as there is room, with an ellipsis where there is more of it.

    Args:
        name: what is written.
        width: the room.
        size: of the letters.
    """
    if width_of(name, size) <= width:
        return name
    while name and width_of(name + "\u2026", size) > width:
        name = name[:-1]
    return name.rstrip(" ,;-") + "\u2026"


def _candidates(x: float, y: float, width: float) -> Iterator[tuple[float, float, float]]:
    """Left ends and base lines around a point, the nearest first, and how far away they are."""
    for away in _DISTANCES:
        for step in range(_ANGLES):
            angle = 2 * math.pi * step / _ANGLES
            across, down = away * math.cos(angle), -away * math.sin(angle)
            left = x + across - width * (1 - (1 + math.cos(angle)) / 2)
            middle = y + down
            yield left, middle + (_RISE - _FALL) / 2, away


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] + 2 and other[0] < one[2] + 2 and one[1] < other[3] and other[1] < one[3]


def _crosses(point: Point, end: Point, box: Box) -> bool:
    """Whether the line from a point to its name runs through the box of another."""
    steps = [share / 8 for share in range(9)]
    return any(
        box[0] < point[0] + (end[0] - point[0]) * share < box[2]
        and box[1] < point[1] + (end[1] - point[1]) * share < box[3]
        for share in steps
    )
