"""What conditions a field from beside its grid: maps of another grid over the same ground, and scattered observations.

A map of n cells lies over the same ground as the E cells of the data: both grids begin and end at the same places, to
within a cell of the coarser one, where the file has coordinates of both.

An observation is a row: where it lies along each axis of the data, then what was seen there. Places are in the
coordinates of the axes where the file has them for all, else in cells: (2, 5) is the centre of cell [2, 5], and
(2.5, 5) lies on its edge to the next. A row without any number seen is none, and pads samples to one length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.core.errors import UserError
from beeline.data.field_checks import check_axis, check_kind
from beeline.data.field_description import FieldAxis, FieldChannel, FieldMapping, with_periods
from beeline.data.field_places import axis_of
from beeline.data.field_stores import CHANNEL, FieldStore, Variable
from beeline.data.unit_spelling import same_units

Array = np.ndarray[Any, Any]


def coarse_mapping(
    store: FieldStore, name: str, variable: Variable, axes: Sequence[FieldAxis], samples: Sequence[str]
) -> tuple[FieldMapping, list[str]]:
    """A map of another grid, and what there is to say about it.

    Args:
        store: the file.
        name: of the condition.
        variable: the map.
        axes: of the data.
        samples: axes along which the file is cut into samples.

    Raises:
        UserError: it has other axes than the data, or does not cover their ground.
    """
    own = [dim for dim in variable.dims if dim not in (*samples, CHANNEL)]
    if len(own) != len(axes):
        raise UserError(
            f"{store.path}: coarse {variable.name} lies on ({', '.join(variable.dims)}), the fields on "
            f"({', '.join(axis.name for axis in axes)}); it needs as many axes, in the same order; --data.dims "
            f"'{variable.name}=...' names those of an array"
        )
    if set(own) == {axis.name for axis in axes}:
        own = [axis.name for axis in axes]  # the file may have them in another order
    found = with_periods(tuple(axis_of(store, dim, variable.size(dim)) for dim in own), (), ())
    notes = [check_kind(variable, store.path), *(note for axis in found for note in check_axis(axis, store.path))]
    for one, other in zip(found, axes, strict=True):
        _check_ground(one, other, f"{store.path}: coarse {variable.name}")
    size = " x ".join(str(axis.size) for axis in found)
    notes.append(f"{variable.name}: {size} cells, taken to cover the ground of the fields")
    return FieldMapping(name, channels_of(variable), tuple(own), found), notes


def _check_ground(own: FieldAxis, axis: FieldAxis, where: str) -> None:
    """Refuse an axis of a map that is not along that of the data, as far as coordinates tell."""
    if not own.coordinate or not axis.coordinate:
        return
    if not same_units(own.units, axis.units):
        raise UserError(f"{where}: {own.name} is in '{own.units}' and {axis.name} in '{axis.units}'; convert one")
    if own.direction * axis.direction < 0:
        raise UserError(
            f"{where}: {own.name} runs against {axis.name}; turn the map over, in xarray: "
            f".isel({own.name}=slice(None, None, -1))"
        )
    ends, wanted = _edges(own), _edges(axis)
    cell = max((ends[1] - ends[0]) / own.size, (wanted[1] - wanted[0]) / axis.size)
    if max(abs(one - other) for one, other in zip(ends, wanted, strict=True)) > cell:
        raise UserError(
            f"{where}: {own.name} goes from {ends[0]:g} to {ends[1]:g} and {axis.name} of the fields from "
            f"{wanted[0]:g} to {wanted[1]:g}; cut the map to the same ground, in xarray: .sel({own.name}=slice(...))"
        )


def _edges(axis: FieldAxis) -> tuple[float, float]:
    """Where an axis begins and ends, half a cell beyond the centres of its outermost cells."""
    places = sorted(axis.coordinate)
    if len(places) < 2:
        return places[0] - 0.5, places[0] + 0.5
    return places[0] - (places[1] - places[0]) / 2, places[-1] + (places[-1] - places[-2]) / 2


def points_mapping(
    store: FieldStore, name: str, variable: Variable, axes: Sequence[FieldAxis], samples: Sequence[str]
) -> tuple[FieldMapping, list[str]]:
    """Scattered observations, and what there is to say about them.

    Args:
        store: the file.
        name: of the condition.
        variable: (points, places and numbers) of each sample.
        axes: of the data.
        samples: axes along which the file is cut into samples.

    Raises:
        UserError: they are no rows of places and at least one number.
    """
    own = [dim for dim in variable.dims if dim not in samples]
    seen = variable.size(own[1]) - len(axes) if len(own) == 2 else 0
    names = ", ".join(axis.name for axis in axes)
    if seen < 1:
        raise UserError(
            f"{store.path}: points {variable.name} has the shape {variable.shape} over ({', '.join(variable.dims)}); a "
            f"sample needs rows of {len(axes)} places ({names}) and at least one number seen there"
        )
    channels = tuple(
        FieldChannel(f"{variable.name}_{place}" if seen > 1 else variable.name, variable.units) for place in range(seen)
    )
    what = f"coordinates of {names}" if in_coordinates(axes) else f"cells along {names}, 0 being the first"
    note = f"{variable.name}: at most {variable.size(own[0])} points a sample, whose places are taken as {what}"
    return FieldMapping(name, channels, tuple(own)), [check_kind(variable, store.path), note]


def in_coordinates(axes: Sequence[FieldAxis]) -> bool:
    """Whether places are coordinates: where all axes have them."""
    return all(len(axis.coordinate) > 1 for axis in axes)


def observations(rows: Array, axes: int, where: str) -> Array:
    """Rows (M, axes + numbers) of which something was seen.

    Args:
        rows: as they are in a file, padded with NaN.
        axes: of the data.
        where: they are, for the message.

    Raises:
        UserError: a place or a part of what was seen is not finite.
    """
    kept = rows[~np.isnan(rows[:, axes:]).all(axis=1)]
    wrong = ~np.isfinite(kept)
    if wrong.any():
        row, place = (int(each) for each in np.argwhere(wrong)[0])
        what = "has no place" if place < axes else "lacks a number"
        raise UserError(f"{where}: an observation {what} ({kept[row].tolist()}); make all that was seen there NaN")
    return kept


def among_cells(places: Array, coordinates: Sequence[Sequence[float]]) -> Array:
    """(M, axes) places in coordinates as places among cells, on beyond the outermost by the outermost step.

    Args:
        places: (M, axes).
        coordinates: of the centres of the cells along each axis, ascending or descending.
    """
    found = np.empty(places.shape)
    for axis, given in enumerate(coordinates):
        centres = np.asarray(given)
        cells = np.arange(len(centres), dtype=np.float64)
        centres, cells = (centres, cells) if centres[-1] > centres[0] else (centres[::-1], cells[::-1])
        along = places[:, axis]
        inside = np.interp(along, centres, cells)
        low, high = ((cells[i + 1] - cells[i]) / (centres[i + 1] - centres[i]) for i in (0, len(cells) - 2))
        inside = np.where(along < centres[0], cells[0] + (along - centres[0]) * low, inside)
        found[:, axis] = np.where(along > centres[-1], cells[-1] + (along - centres[-1]) * high, inside)
    return found


def channels_of(variable: Variable) -> tuple[FieldChannel, ...]:
    """Names and units of the channels of a variable: its own name, numbered where there are several."""
    count = variable.size(CHANNEL) if CHANNEL in variable.dims else 1
    if count == 1:
        return (FieldChannel(variable.name, variable.units),)
    return tuple(FieldChannel(f"{variable.name}_{place}", variable.units) for place in range(count))
