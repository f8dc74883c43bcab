"""Distributions side by side: a violin for each column and each group, with its median."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beeline.evaluate.drawing import Drawing
from beeline.evaluate.frame import RIGHT, WIDTH, Frame, text
from beeline.evaluate.labels import elided, width_of
from beeline.evaluate.scales import Scale, linear_ticks, short

Array = np.ndarray[Any, Any]
_PLOT, _LINE, _LINES, _STEPS = 198.0, 12.0, 3, 48
_SMALL, _NARROW, _BEYOND = 9.5, 64.0, 2.5


@dataclass(frozen=True)
class Shape:
    """A distribution.

    Args:
        at: ascending values.
        density: at each of them, 1 at its highest.
        median: of the values.
        n: how many they were.
    """

    at: Sequence[float]
    density: Sequence[float]
    median: float
    n: int


def shape_of(values: Array, steps: int = _STEPS) -> Shape:
    """The density of values by a Gaussian kernel of Scott's width, reflected at 0 where none is below it.

    Args:
        values: finite, at least one.
        steps: how finely it is told.
    """
    known = np.sort(np.asarray(values, dtype=np.float64))
    low, high = known[0], known[-1]
    if high <= low:
        return Shape([float(low)] * 2, [1.0, 1.0], float(low), len(known))
    width = max(1.06 * known.std() * len(known) ** -0.2, 0.02 * (high - low))
    at = np.linspace(
        low - _BEYOND * width if low < 0 else max(0.0, low - _BEYOND * width), high + _BEYOND * width, steps
    )
    mirrored = known if low < 0 else np.concatenate([known, -known])
    density = np.exp(-0.5 * ((at[:, None] - mirrored) / width) ** 2).sum(axis=1)
    return Shape(at.tolist(), (density / density.max()).tolist(), float(np.median(known)), len(known))


@dataclass(frozen=True)
class Violins:
    """Columns of violins.

    Args:
        title: what is shown.
        columns: shapes by group, by the name of the column.
        y: name and unit of the values.
        note: how to read it.
        inks: number of the colour of each group.
    """

    title: str
    columns: Mapping[str, Mapping[str, Shape]]
    y: str
    note: str = ""
    inks: Mapping[str, int] = field(default_factory=dict)

    def html(self) -> str:
        """A figure; empty where there is nothing to draw."""
        drawing = self.drawing()
        return "" if drawing is None else drawing.html()

    def drawing(self) -> Drawing | None:
        """The picture; None where there is nothing to draw."""
        shapes = [shape for column in self.columns.values() for shape in column.values()]
        if not shapes:
            return None
        groups = list(dict.fromkeys(name for column in self.columns.values() for name in column))
        inks = {name: self.inks.get(name, number) for number, name in enumerate(groups)}
        ticks = linear_ticks(min(each.at[0] for each in shapes), max(each.at[-1] for each in shapes))
        scales = Scale(0.0, 1.0, ()), Scale(ticks[0], ticks[-1], ticks)
        room = (WIDTH - RIGHT - Frame(*scales, "", self.y).left) / len(self.columns)
        names = {name: _lines(name, room - 4) for name in self.columns}
        bottom = 16 + _LINE * max(len(each) for each in names.values())
        frame = Frame(*scales, "", self.y, _PLOT + bottom, bottom)
        parts = frame.axes()
        for number, (name, column) in enumerate(self.columns.items()):
            left = frame.left + number * room
            each = min(room * 0.9 / len(groups), 30.0)
            start = left + (room - each * len(groups)) / 2
            for place, group in enumerate(groups):
                if group in column:
                    parts += _violin(frame, column[group], start + (place + 0.5) * each, each * 0.47, inks[group])
            parts += _name(names[name], left + room / 2, room - 4)
        return Drawing(self.title, parts, _PLOT + bottom, self._words(), self.note, inks)

    def _words(self) -> str:
        medians = (
            f"{name}: {', '.join(f'{group} {short(shape.median)}' for group, shape in column.items())}"
            for name, column in self.columns.items()
        )
        return f"Medians of {self.y}. {'; '.join(medians)}"


def _violin(frame: Frame, shape: Shape, middle: float, half: float, ink: int) -> list[str]:
    sides = [(half * density, frame.down(at)) for at, density in zip(shape.at, shape.density, strict=True)]
    right = [f"{middle + wide:.1f},{y:.1f}" for wide, y in sides]
    left = [f"{middle - wide:.1f},{y:.1f}" for wide, y in reversed(sides)]
    told = f"<title>median {short(shape.median)} of {shape.n:,} cells</title>"
    return [
        f'<polygon class="violin fill{ink} ink{ink}" points="{" ".join([*right, *left])}">{told}</polygon>',
        f'<circle class="dot fill{ink}" cx="{middle:.1f}" cy="{frame.down(shape.median):.1f}" r="3"/>',
    ]


def _lines(name: str, room: float) -> list[str]:
    """A name in several lines where it has several words and no room."""
    lines = [""]
    for word in name.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, _size(room)) <= room or not lines[-1] or len(lines) == _LINES:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _name(lines: Sequence[str], middle: float, room: float) -> list[str]:
    """The name of a column under it."""
    style = "" if _size(room) > _SMALL else ' class="narrow"'
    return [
        f'<text{style} x="{middle:.1f}" y="{_PLOT + 16 + _LINE * number:.1f}" text-anchor="middle">'
        f"{text(elided(each, room, _size(room)))}</text>"
        for number, each in enumerate(lines)
    ]


def _size(room: float) -> float:
    """Of the letters of names, which are smaller where columns are many."""
    return 11.0 if room > _NARROW else _SMALL


def finite_shape(known: Mapping[str, Any]) -> Shape | None:
    """A shape as JSON holds it; None where a number is missing."""
    numbers = [*known["at"], *known["density"], known["median"]]
    if any(each is None or not math.isfinite(each) for each in numbers):
        return None
    return Shape(known["at"], known["density"], known["median"], known["n"])
