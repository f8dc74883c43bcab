"""Sheets of a few held-out inputs, channel by channel: input | truth | draws | mean of the draws | their deviation.

Truth, draws and mean of a channel have one scale, over all inputs that are shown, so that what is smoother or smaller
looks so. Inputs and deviation have scales of their own. Of fields of more than two axes the middle slice is shown; of
lines, the draws over the truth, and the mean with a band of one deviation on either side.

Shapes: N inputs, m draws of each, grid axes, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.field_map import FieldMap
from beeline.conditioning.map import AlignedMap
from beeline.core.data import Example, Geometry
from beeline.core.protocols import Condition
from beeline.data.field_strips import (
    DRAW,
    MEAN,
    TRUTH,
    LinePanel,
    MapPanel,
    Panel,
    Scale,
    Sheet,
    scale_from_zero,
    scale_of,
    scale_of_lines,
)
from beeline.evaluate.sets import spread
from beeline.metrics.ensembles import deviation_map, mean_map

Array = np.ndarray[Any, Any]
INPUTS, _DRAWS = 4, 3


@dataclass(frozen=True)
class Answers:
    """Draws beside the truths of their inputs, all channels together.

    Args:
        members: (N, m, grid axes, C) in physical units.
        inputs: whose arrays are the truths.
        numbers: (N,) of the inputs among the held-out examples.
        geometry: of the grid.
        of: how many inputs were asked for in all.
    """

    members: Array
    inputs: Sequence[Example]
    numbers: Array
    geometry: Geometry
    of: int

    @property
    def truths(self) -> Array:
        """(N, grid axes, C), NaN where nothing was observed."""
        return np.stack([_observed(each) for each in self.inputs])


def answers(
    held_out: Sequence[Example], samples: Sequence[Example], geometry: Geometry, most: int | None = None
) -> Answers:
    """Samples as draws of their inputs, of all channels.

    Args:
        held_out: the inputs.
        samples: that go round them, as the evaluation draws them.
        geometry: of the grid.
        most: for how many inputs, evenly spread; for all when None.
    """
    asked = spread(len(held_out), len(samples))
    count, draws = len(asked), len(samples) // len(asked)
    chosen = spread(count, count if most is None else most)
    members = np.stack([[samples[draw * count + place].array for draw in range(draws)] for place in chosen])
    return Answers(members, [held_out[asked[place]] for place in chosen], asked[chosen], geometry, count)


def strips(shown: Answers, conditions: Sequence[Condition], axes: Sequence[str]) -> dict[str, Sheet]:
    """A sheet for each channel.

    Args:
        shown: draws and truths of a few inputs, a row each.
        conditions: of the model, whose maps are shown.
        axes: names of the axes of the grid.
    """
    maps = [panel for each in conditions for panel in _maps(each, shown.inputs)]
    names = [f"input {number}" for number in shown.numbers]
    sheets = {}
    for place, (channel, units) in enumerate(zip(shown.geometry.channels, shown.geometry.units, strict=True)):
        columns = [*maps, *_columns(shown, place, units)]
        rows = [(name, [column[row] for column in columns]) for row, name in enumerate(names)]
        sheets[channel] = Sheet(rows, _note(shown, columns[len(maps) :], axes))
    return sheets


def middle(array: Array) -> Array:
    """The middle slice along all axes before the last two.

    Args:
        array: of one axis or more.
    """
    while array.ndim > 2:
        array = array[len(array) // 2]
    return array


def slice_note(shape: Sequence[int], axes: Sequence[str]) -> str:
    """Which slice ``middle`` shows, in a sentence; empty where it shows everything.

    Args:
        shape: cells along each axis.
        axes: their names.
    """
    left = list(zip(axes, shape, strict=True))[:-2]
    if not left:
        return ""
    cells = ", ".join(f"{name}: cell {extent // 2} of {extent}, from 0" for name, extent in left)
    return f" Shown is the middle slice ({cells})."


def _maps(condition: Condition, inputs: Sequence[Example]) -> list[list[Panel]]:
    """Columns of a condition that is a map, one a channel; none of another."""
    values = [each.condition.get(condition.name) for each in inputs]
    axes = inputs[0].array.ndim
    if not isinstance(condition, (AlignedMap, CoarseMap)) or all(each is None for each in values):
        return []
    count = condition.given if isinstance(condition, AlignedMap) else condition.channels
    blank = np.full((1,) * (axes - 1) + (count,), np.nan)
    arrays = [blank if each is None else np.asarray(each, dtype=np.float64) for each in values]
    if any(each.ndim != axes for each in arrays):
        return []
    known = condition.units if isinstance(condition, FieldMap) else ()
    columns: list[list[Panel]] = []
    for place in range(count):
        cells = [middle(each[..., place]) for each in arrays]
        units = known[place] if known else ""
        name = condition.name if count == 1 else f"{condition.name} {place}"
        if cells[0].ndim == 2:
            scale = scale_of(cells, units)
            columns.append([MapPanel(f"input {name}", each, scale) for each in cells])
        else:
            scale = scale_of_lines(cells, units)
            columns.append([LinePanel(f"input {name}", [each], scale, [TRUTH]) for each in cells])
    return columns


def _columns(shown: Answers, place: int, units: str) -> list[list[Panel]]:
    """Truth, draws, mean and deviation of a channel, each a column."""
    members, truths = shown.members[..., place], shown.truths[..., place]
    draws, means = members.shape[1], mean_map(members)
    deviations = deviation_map(members) if draws > 1 else None
    cut = [middle(each) for each in truths]
    single = [[middle(each) for each in members[:, draw]] for draw in range(min(_DRAWS, draws))]
    averaged = [middle(each) for each in means]
    spreads = [] if deviations is None else [middle(each) for each in deviations]
    if cut[0].ndim == 1:
        return _lines(cut, single, averaged, spreads, units)
    scale = scale_of([*cut, *(each for column in single for each in column)], units)
    columns: list[list[Panel]] = [[MapPanel("truth", each, scale) for each in cut]]
    columns += [[MapPanel(f"draw {draw + 1}", each, scale) for each in column] for draw, column in enumerate(single)]
    if spreads:
        columns.append([MapPanel(f"mean of {draws}", each, scale) for each in averaged])
        own = scale_from_zero(spreads, units)
        columns.append([MapPanel("deviation", each, own) for each in spreads])
    return columns


def _lines(
    truths: Sequence[Array],
    single: Sequence[Sequence[Array]],
    means: Sequence[Array],
    spreads: Sequence[Array],
    units: str,
) -> list[list[Panel]]:
    bands = [(mean - spread, mean + spread) for mean, spread in zip(means, spreads, strict=False)]
    every = [*truths, *(each for column in single for each in column), *(edge for band in bands for edge in band)]
    scale = scale_of_lines(every, units)
    inks = [*(DRAW for _ in single), TRUTH]
    columns: list[list[Panel]] = [
        [LinePanel("draws, truth", [*each, truth], scale, inks) for *each, truth in zip(*single, truths, strict=True)]
    ]
    if bands:
        columns.append(
            [
                LinePanel("mean, truth", [truth, mean], scale, [TRUTH, MEAN], band)
                for truth, mean, band in zip(truths, means, bands, strict=True)
            ]
        )
    return columns


def _note(shown: Answers, columns: Sequence[Sequence[Panel]], axes: Sequence[str]) -> str:
    draws, count = shown.members.shape[1], shown.of
    first = columns[0][0]
    told = f"{min(_DRAWS, draws)} of {draws}" if draws > _DRAWS else f"all {draws}" if draws > 1 else "the one"
    several = "draws" if draws > 1 else "draw"
    note = f"{len(columns[0])} of {count:,} held-out inputs, evenly spread, with {told} {several} for each. "
    if isinstance(first, LinePanel):
        note += f"Truth black, draws light, on one scale, {first.scale.text}. "
        if draws > 1:
            note += f"The mean of all {draws} draws is blue, with a band of one standard deviation on either side. "
    else:
        shared = "Truth, draws and mean" if draws > 1 else "Truth and draw"
        note += f"{shared} on one scale, {first.scale.text} (99 % of the cells of truths and draws). "
        if draws > 1:
            note += f"The deviation over the {draws} draws has its own, {_last(columns).text}. "
    if draws > 1:
        note += "The mean is smoother than the draws, and is no sample."
    return note.rstrip() + slice_note(shown.members.shape[2:-1], axes)


def _last(columns: Sequence[Sequence[Panel]]) -> Scale:
    return columns[-1][0].scale


def _observed(example: Example) -> Array:
    """The numbers of an example, NaN where nothing was observed."""
    seen, array = example.observed_numbers(), example.array.astype(np.float64)
    return array if seen is None else np.where(seen, array, np.nan)
