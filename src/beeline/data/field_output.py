"""Samples of fields as people of the field keep them: named axes with coordinates, units, inputs beside outputs.

The first axis is ``realisation`` where all samples were asked for alike, else ``sample``. Files are netCDF of the
classic format, which scipy writes and every reader of netCDF knows; ``as_dataset`` gives the same as an xarray.Dataset.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beeline.core.data import Examples
from beeline.core.errors import UserError
from beeline.data.field_description import FieldChannel, FieldDescription
from beeline.data.field_files import needed
from beeline.data.field_sets import PARAMETERS

Array = np.ndarray[Any, Any]
_REALISATION, _SAMPLE = "realisation", "sample"
_LARGEST = 2**31 - 1


@dataclass
class Labelled:
    """Arrays with named axes.

    Args:
        sizes: of the axes.
        coordinates: of axes, by the name of the axis.
        variables: axes, numbers and units, by name.
        attributes: of the whole.
    """

    sizes: dict[str, int]
    coordinates: dict[str, tuple[Array, str]] = field(default_factory=dict)
    variables: dict[str, tuple[tuple[str, ...], Array, str]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, channel: FieldChannel, dims: tuple[str, ...], array: Array) -> None:
        """A variable under the name of its channel, or with its kind before it where that is taken."""
        name = channel.name
        if name in self.sizes or name in self.variables:
            name = f"{kind}_{name}"
        self.variables[name] = (dims, array, channel.units)


def labelled(samples: Examples, known: FieldDescription, provenance: Mapping[str, Any]) -> Labelled:
    """Samples with everything that is known of them.

    Args:
        samples: of one shape, in physical units.
        known: of the fields that the model was trained on.
        provenance: where they come from.

    Raises:
        UserError: they have several shapes.
    """
    shapes = {sample.array.shape for sample in samples}
    if len(shapes) != 1:
        raise UserError(f"samples have several shapes, {', '.join(map(str, sorted(shapes)))}; ask for one, --shape")
    shape = shapes.pop()[:-1]
    alike = len(samples) > 1 and all(_same(sample.condition, samples[0].condition) for sample in samples)
    first = _REALISATION if alike else _SAMPLE
    whole = Labelled({first: len(samples), **dict(zip(known.dims, shape, strict=True))})
    whole.coordinates[first] = (np.arange(len(samples), dtype=np.int32), "")
    for axis, extent in zip(known.axes, shape, strict=True):
        if len(axis.coordinate) == extent:
            whole.coordinates[axis.name] = (np.asarray(axis.coordinate), axis.units)
    stack = np.stack([sample.array for sample in samples])
    for place, channel in enumerate(known.channels):
        whole.add("field", channel, (first, *known.dims), stack[..., place])
    asked = samples[:1] if alike else samples
    before = () if alike else (first,)
    for mapping in known.maps:
        maps = _stacked([sample.condition.get(mapping.name) for sample in asked], (*shape, len(mapping.channels)))
        for place, channel in enumerate(mapping.channels):
            if maps is not None:
                whole.add("map", channel, (*before, *known.dims), maps[0, ..., place] if alike else maps[..., place])
    names = [channel.name for channel in known.parameters]
    given = [sample.condition.get(PARAMETERS) for sample in asked]
    rows = [[each.get(name, np.nan) for name in names] if isinstance(each, Mapping) else each for each in given]
    numbers = _stacked(rows, (len(names),))
    for place, channel in enumerate(known.parameters):
        if numbers is not None:
            whole.add("parameter", channel, before, numbers[0, place] if alike else numbers[:, place])
    whole.attributes = {name: _attribute(value) for name, value in provenance.items()}
    return whole


def classic_bytes(whole: Labelled) -> bytes:
    """A netCDF file of the classic format with 64-bit offsets."""
    from scipy.io import netcdf_file

    buffer = io.BytesIO()
    file = netcdf_file(buffer, "w", version=2)
    for name, size in whole.sizes.items():
        file.createDimension(name, size)
    coordinates = {name: ((name,), array, units) for name, (array, units) in whole.coordinates.items()}
    for name, (dims, array, units) in {**coordinates, **whole.variables}.items():
        variable = file.createVariable(name, array.dtype, dims)
        variable[...] = array
        if units:
            variable.units = units
    for name, value in whole.attributes.items():
        setattr(file, f"beeline_{name}" if hasattr(file, name) else name, value)
    file.flush()
    return buffer.getvalue()


def as_dataset(whole: Labelled) -> Any:
    """The same as an xarray.Dataset.

    Raises:
        UserError: xarray is not installed.
    """
    xarray = needed("xarray", "native samples")

    def told(units: str) -> dict[str, str]:
        return {"units": units} if units else {}

    variables = {name: (dims, array, told(units)) for name, (dims, array, units) in whole.variables.items()}
    coordinates = {name: ((name,), array, told(units)) for name, (array, units) in whole.coordinates.items()}
    return xarray.Dataset(variables, coordinates, whole.attributes)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(np.asarray(value), np.asarray(other[name])) for name, value in one.items()
    )


def _stacked(values: list[Any], shape: tuple[int, ...]) -> Array | None:
    """Values of a condition below one another, NaN where one is absent; None where all are."""
    if all(value is None for value in values):
        return None
    absent = np.full(shape, np.nan)
    rows = [absent if value is None else np.asarray(value, dtype=np.float64).reshape(shape) for value in values]
    return np.stack(rows)


def _attribute(value: Any) -> Any:
    """A value as netCDF can hold it: a number or text."""
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST):
        return value
    return json.dumps(value)
