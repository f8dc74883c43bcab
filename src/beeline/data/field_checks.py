"""What is refused of gridded data, in one line each: what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.core.errors import UserError
from beeline.data.field_description import FieldAxis
from beeline.data.field_stores import CHANNEL, SAMPLE, Variable, float_type
from beeline.data.unit_spelling import same_units

Array = np.ndarray[Any, Any]
_UNEVEN = 1.5
_TIMES = ("time", "forecast_period", "forecast_reference_time")
_TIME_UNITS = ("s", "min", "h", "d", "ms", "us", "ns", "secs", "mins", "hrs")


def check_kind(variable: Variable, path: object) -> str:
    """Refuse numbers that are not real, and say which are taken as floats.

    Args:
        variable: of a field.
        path: of its file.

    Returns:
        a note, empty where there is nothing to say.

    Raises:
        UserError: they are complex, or no numbers.
    """
    kind, packed = variable.dtype.kind, "scale_factor" in variable.attributes
    if kind == "c":
        raise UserError(
            f"{path}: {variable.name} holds complex numbers ({variable.dtype}); write real and imaginary part, or "
            "modulus and phase, as two variables"
        )
    if kind not in "fiub":
        raise UserError(f"{path}: {variable.name} holds {variable.dtype}, not numbers; name another variable")
    if kind in "iub" and not packed:
        return f"{variable.name} holds {variable.dtype} numbers, taken as {float_type(variable.dtype).__name__}"
    return ""


def check_axis(axis: FieldAxis, path: object) -> list[str]:
    """Refuse coordinates that do not order the cells of an axis, and times with gaps.

    Args:
        axis: of a grid.
        path: of the file.

    Returns:
        notes.

    Raises:
        UserError: a coordinate is missing, turns back, or is a time that leaves steps out.
    """
    values = np.asarray(axis.coordinate)
    if len(values) < 2:
        return []
    if np.isnan(values).any():
        place = int(np.flatnonzero(np.isnan(values))[0])
        raise UserError(f"{path}: coordinate {axis.name} is NaN at place {place}; give every cell a place")
    steps = np.diff(values)
    if not ((steps > 0).all() or (steps < 0).all()):
        place = int(np.flatnonzero(np.sign(steps) != (np.sign(steps[0]) or 1))[0])
        raise UserError(
            f"{path}: coordinate {axis.name} turns back between {values[place]:g} and {values[place + 1]:g} (places "
            f"{place}, {place + 1}); {_mended(axis)}"
        )
    usual = float(np.median(np.abs(steps)))
    wide = np.flatnonzero(np.abs(steps) > _UNEVEN * usual)
    if len(wide) and is_time(axis):
        place = int(wide[0])
        raise UserError(
            f"{path}: {axis.name} has {'a gap' if len(wide) == 1 else f'{len(wide)} gaps'}, the first between "
            f"{values[place]:g} and {values[place + 1]:g} (steps {place}, {place + 1}), where a step is {usual:g} "
            "elsewhere; fill it in, or cut the file into pieces without gaps"
        )
    notes = []
    if steps[0] < 0:
        notes.append(f"{axis.name} descends from {values[0]:g} to {values[-1]:g} and is kept so, in samples too")
    span = usual * len(values)
    if axis.periodic and axis.is_angle and span < 360 - usual / 2:
        notes.append(f"{axis.name} is taken as periodic, though its {len(values)} cells span {span:g} of 360 degrees")
    if axis.is_nearly_even:
        notes.append(
            f"{axis.name}: steps differ from their mean, {np.abs(steps).mean():.6g}, by up to {axis.unevenness:.1%}; "
            "lengths count each as the mean"
        )
    return notes


def _mended(axis: FieldAxis) -> str:
    """How to bring the coordinate of an axis into order: sorting would tear apart a map that goes on beyond 360."""
    values = np.asarray(axis.coordinate)
    steps = np.diff(np.unwrap(values, period=360.0))
    if (axis.is_angle or axis.name.lower() in ("lon", "longitude")) and ((steps > 0).all() or (steps < 0).all()):
        bound = values[0] if steps[0] > 0 else values[-1]
        return (
            "it goes on round the circle, and so may its numbers, in xarray: "
            f".assign_coords({axis.name}=({axis.name} - {bound:g}) % 360 + {bound:g})"
        )
    return f"sort the file along it, in xarray: .sortby('{axis.name}')"


def is_time(axis: FieldAxis) -> bool:
    """Whether an axis is one of times, or of steps from one."""
    if " since " in axis.units or axis.name.lower() in ("time", "t", "date"):
        return True
    if axis.axis.upper() == "T" or axis.standard_name in _TIMES:
        return True
    said = any(word in axis.name.lower() for word in ("time", "lead", "step", "forecast", "hour", "day"))
    return said and any(same_units(axis.units, unit) for unit in _TIME_UNITS if axis.units)


def check_finite(array: Array, dims: Sequence[str], what: str, where: str, mend: str) -> None:
    """Refuse NaN and infinity.

    Args:
        array: (cells ...) of one channel.
        dims: names of its axes.
        what: the name of the channel.
        where: which sample it is of.
        mend: what to do about it.

    Raises:
        UserError: naming how many there are and the first.
    """
    wrong = ~np.isfinite(array)
    if not (count := int(wrong.sum())):
        return
    first = np.unravel_index(int(np.argmax(wrong)), array.shape)
    place = ", ".join(f"{dim} {index}" for dim, index in zip(dims, first, strict=True))
    kind = "NaN" if np.isnan(array[first]) else "infinite"
    raise UserError(f"{where}: {count} of {array.size:,} numbers of {what} are {kind}, the first at {place}; {mend}")


def check_same_grid(variable: Variable, target: Variable, apart: Sequence[str], path: object) -> None:
    """Refuse a map whose cells do not lie on those of the target; axes that it lacks are no matter.

    Args:
        variable: the map, or another target.
        target: the first target.
        apart: axes that are none of the grid.
        path: of the file.

    Raises:
        UserError: saying what both lie on.
    """
    own, grid = ({dim: each.size(dim) for dim in each.dims if dim not in apart} for each in (variable, target))
    if all(grid.get(dim) == size for dim, size in own.items()):
        return
    names = f"{variable.name} lies on {_grid(own)} and {target.name} on {_grid(grid)}"
    if variable.guessed or target.guessed:
        mend = f"where axes are shared, name them, such as --data.dims '{_naming(target, variable)}'"
    else:
        mend = f"bring it to the grid of {target.name} first, in xarray: .interp_like"
    if len(own) == len(grid):
        mend += "; a map may stay on a grid of its own, --data.coarse"
    raise UserError(f"{path}: {names}, which is another grid; {mend}")


def _grid(sizes: dict[str, int]) -> str:
    return f"({', '.join(f'{dim} {size}' for dim, size in sizes.items())})"


def _naming(target: Variable, variable: Variable) -> str:
    """An example of naming the axes of two variables so that those of equal size are the same."""
    letters = iter("xyzw")
    names: dict[int, str] = {}
    texts = []
    for each in (target, variable):
        plain = [place for place, dim in enumerate(each.dims) if dim not in (SAMPLE, CHANNEL)]
        own = list(each.dims)
        for place in reversed(plain):
            known = names.get(each.shape[place]) if each is variable else None
            own[place] = known or next(letters, f"axis_{place}")
            names.setdefault(each.shape[place], own[place])
        texts.append(f"{each.name}={' '.join(own)}")
    return ",".join(texts)
