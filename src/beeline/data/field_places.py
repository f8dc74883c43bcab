"""Where the cells of an array lie, kept with its numbers, so that what answers it is labelled with its own places."""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.data.field_description import ABOUT, FieldAxis
from beeline.data.field_stores import FieldStore


class Placed(np.ndarray[Any, Any]):
    """An array read from a file that knows its axes; what is computed of it knows none.

    Attributes:
        places: its axes by their names in training, as far as the file has coordinates of them.
        notes: what people should be told of how it was read.
    """

    places: dict[str, FieldAxis]
    notes: tuple[str, ...]

    def __array_finalize__(self, source: Any) -> None:
        self.places, self.notes = {}, ()


def placed(array: np.ndarray[Any, Any], places: dict[str, FieldAxis], notes: tuple[str, ...] = ()) -> Placed:
    """An array with its places.

    Args:
        array: (cells ..., channels).
        places: its axes by their names in training.
        notes: what people should be told of how it was read.
    """
    known = array.view(Placed)
    known.places, known.notes = places, notes
    return known


def axis_of(store: FieldStore, dim: str, size: int) -> FieldAxis:
    """An axis with the coordinate that a file has of it, if any.

    Args:
        store: the file.
        dim: name of the axis.
        size: cells along it.

    Raises:
        UserError: the coordinate cannot be read.
    """
    variable = store.variables.get(dim)
    if variable is None or variable.dims != (dim,) or variable.shape != (size,) or variable.dtype.kind not in "fium":
        return FieldAxis(dim, size)
    said: dict[str, Any] = {name: str(variable.attributes.get(name, "")) for name in ABOUT}
    coordinate = tuple(store.read(dim).astype(np.float64).tolist())
    units = variable.units
    if variable.dtype.kind == "m" or str(variable.attributes.get("dtype", "")).startswith("timedelta64"):
        said["axis"] = "T"
        units = units or np.datetime_data(variable.dtype)[0]
    calendar, standard, long, axis = (said[name] for name in ABOUT)
    return FieldAxis(dim, size, units, coordinate, False, None, calendar, standard, long, axis)
