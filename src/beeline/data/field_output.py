"""Samples of fields as people of the field keep them: named axes with coordinates, units, inputs beside outputs.

The first axis is ``realisation`` where all samples were asked for alike, else ``sample``. Files are netCDF of the
classic format, which scipy writes and every reader of netCDF knows; where a variable is larger than that format holds,
netCDF-4, which takes h5netcdf. ``as_dataset`` gives the same as an xarray.Dataset.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beeline.core.data import Examples
from beeline.core.errors import UserError
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription
from beeline.data.field_files import needed
from beeline.data.field_places import Placed
from beeline.data.field_sets import PARAMETERS

Array = np.ndarray[Any, Any]
_REALISATION, _SAMPLE = "realisation", "sample"
_LARGEST = 2**31 - 1


@dataclass
class Labelled:
    """Arrays with named axes.

    Args:
        sizes: of the axes.
        coordinates: of axes and what is said of them, by the name of the axis.
        variables: axes, numbers and units, by name.
        attributes: of the whole.
    """

    sizes: dict[str, int]
    coordinates: dict[str, tuple[Array, Mapping[str, str]]] = field(default_factory=dict)
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
    one = alike(samples)
    first = _REALISATION if one else _SAMPLE
    whole = framed(samples, known, provenance, first)
    stack = np.stack([sample.array for sample in samples])
    for place, channel in enumerate(known.channels):
        whole.add("field", channel, (first, *known.dims), stack[..., place])
    add_conditions(whole, samples, known, "" if one else first)
    return whole


def framed(samples: Examples, known: FieldDescription, provenance: Mapping[str, Any], first: str) -> Labelled:
    """Axes with coordinates, and attributes, for samples whose variables follow.

    Args:
        samples: of one shape.
        known: of the fields that the model was trained on.
        provenance: where they come from.
        first: axis that numbers the samples; empty for none.

    Raises:
        UserError: they have several shapes.
    """
    shapes = {sample.array.shape for sample in samples}
    if len(shapes) != 1:
        raise UserError(f"samples have several shapes, {', '.join(map(str, sorted(shapes)))}; ask for one, --shape")
    shape = shapes.pop()[:-1]
    whole = Labelled({**({first: len(samples)} if first else {}), **dict(zip(known.dims, shape, strict=True))})
    if first:
        whole.coordinates[first] = (np.arange(len(samples), dtype=np.int32), {})
    notes = []
    for axis, extent in zip(known.axes, shape, strict=True):
        lies, note = _place(axis, extent, samples, [mapping.name for mapping in known.maps])
        if (moved := _moved(known, axis, samples)) is not None:
            lies, note = None, f"{axis.name}: left out, since {moved} lies elsewhere than in training"
        if lies is not None:
            whole.coordinates[axis.name] = (np.asarray(lies.coordinate), lies.attributes)
        notes += [note] if note else []
    whole.attributes = {name: _attribute(value) for name, value in provenance.items()}
    if notes:
        whole.attributes["coordinates_note"] = "; ".join(notes)
    return whole


def add_conditions(whole: Labelled, samples: Examples, known: FieldDescription, first: str) -> None:
    """The maps and parameters that were asked for, as variables.

    Args:
        whole: what they are added to.
        samples: with their conditions, of one shape.
        known: of the fields that the model was trained on.
        first: axis that numbers the samples; empty where all have the conditions of the first.
    """
    asked, before = (samples, (first,)) if first else (samples[:1], ())
    shape = samples[0].array.shape[:-1]
    for mapping in known.maps:
        maps = _stacked([sample.condition.get(mapping.name) for sample in asked], (*shape, len(mapping.channels)))
        for place, channel in enumerate(mapping.channels):
            if maps is not None:
                whole.add("map", channel, (*before, *known.dims), maps[..., place] if first else maps[0, ..., place])
    names = [channel.name for channel in known.parameters]
    given = [sample.condition.get(PARAMETERS) for sample in asked]
    rows = [[each.get(name, np.nan) for name in names] if isinstance(each, Mapping) else each for each in given]
    numbers = _stacked(rows, (len(names),))
    for place, channel in enumerate(known.parameters):
        if numbers is not None:
            whole.add("parameter", channel, before, numbers[:, place] if first else numbers[0, place])


def _place(axis: FieldAxis, extent: int, samples: Examples, maps: Sequence[str]) -> tuple[FieldAxis | None, str]:
    """An axis with the coordinate of samples along it, that of their maps where these know theirs, and a note.

    Args:
        axis: as it was in training.
        extent: cells of the samples.
        samples: with the conditions that were asked for.
        maps: names of those conditions that lie on the grid.
    """
    given = [[sample.condition.get(name) for name in maps] for sample in samples]
    own = [[place for value in each if (place := _along(value, axis.name)) is not None] for each in given]
    found = {place.coordinate: place for each in own for place in each}
    foreign = [place for coordinate, place in found.items() if coordinate != axis.coordinate]
    if len(found) > 1 or (foreign and not all(own)):
        return None, f"{axis.name}: left out, since the samples do not all lie at one that is known"
    if foreign:
        return foreign[0], ""
    if len(axis.coordinate) != extent:
        return None, ""
    untold = any(value is not None for each, lies in zip(given, own, strict=True) if not lies for value in each)
    return axis, f"{axis.name}: that of training; maps were given without" if untold else ""


def _moved(known: FieldDescription, axis: FieldAxis, samples: Examples) -> str | None:
    """A map of another grid that was read from elsewhere along an axis of the data; None where there is none."""
    number = known.axes.index(axis)
    for mapping in known.coarse:
        found = (_along(sample.condition.get(mapping.name), mapping.dims[number]) for sample in samples)
        if any(each is not None and each.coordinate != mapping.axes[number].coordinate for each in found):
            return mapping.name
    return None


def _along(value: Any, name: str) -> FieldAxis | None:
    """An axis of a map, where the map knows it."""
    return value.places.get(name) if isinstance(value, Placed) else None


def check_sizes(samples: Examples, known: FieldDescription) -> None:
    """Refuse samples that no file will hold.

    Args:
        samples: of which only shapes, dtypes and conditions are looked at.
        known: of the fields that the model was trained on.

    Raises:
        UserError: a variable is too large for the classic format, and nothing that writes another is installed.
    """
    first = samples[0]
    cells = len(samples) * int(np.prod(first.array.shape[:-1]))
    sizes = {channel.name: cells * first.array.dtype.itemsize for channel in known.channels}
    if not alike(samples):
        given = [each for each in known.maps if any(each.name in sample.condition for sample in samples)]
        sizes |= {channel.name: cells * np.dtype(np.float64).itemsize for each in given for channel in each.channels}
    if not _has_netcdf4():
        _check_classic(sizes)


def netcdf_bytes(whole: Labelled) -> bytes:
    """A netCDF file: classic where every variable fits into that format, else netCDF-4.

    Raises:
        UserError: a variable is too large, and h5netcdf is not installed.
    """
    if _has_netcdf4() and any(array.nbytes > _LARGEST for _, array, _ in whole.variables.values()):
        return bytes(as_dataset(whole).to_netcdf(engine="h5netcdf"))
    return classic_bytes(whole)


def classic_bytes(whole: Labelled) -> bytes:
    """A netCDF file of the classic format with 64-bit offsets, text in UTF-8.

    Raises:
        UserError: a variable is larger than the format holds.
    """
    from scipy.io import netcdf_file

    _check_classic({name: array.nbytes for name, (_, array, _) in whole.variables.items()})
    buffer = io.BytesIO()
    file = netcdf_file(buffer, "w", version=2)
    for name, size in whole.sizes.items():
        file.createDimension(_name(name), size)
    for name, (dims, array, attributes) in _columns(whole).items():
        variable = file.createVariable(_name(name), array.dtype, tuple(map(_name, dims)))
        variable[...] = array
        for key, text in attributes.items():
            setattr(variable, key, text.encode())
    for name, value in whole.attributes.items():
        own = f"beeline_{name}" if hasattr(file, name) else name
        setattr(file, _name(own), value.encode() if isinstance(value, str) else value)
    file.flush()
    return buffer.getvalue()


def as_dataset(whole: Labelled) -> Any:
    """The same as an xarray.Dataset.

    Raises:
        UserError: xarray is not installed.
    """
    xarray = needed("xarray", "native samples")

    columns = _columns(whole)
    coordinates = {name: columns.pop(name) for name in whole.coordinates}
    return xarray.Dataset(columns, coordinates, whole.attributes)


def _columns(whole: Labelled) -> dict[str, tuple[tuple[str, ...], Array, dict[str, str]]]:
    """Coordinates, then variables: axes, numbers and attributes, by name."""
    columns: dict[str, tuple[tuple[str, ...], Array, dict[str, str]]] = {}
    for name, (array, said) in whole.coordinates.items():
        columns[name] = ((name,), array, dict(said))
    for name, (dims, array, units) in whole.variables.items():
        columns[name] = (dims, array, {"units": units} if units else {})
    return columns


def _name(text: str) -> str:
    """A name that scipy, which writes Latin-1, writes as the UTF-8 of the text."""
    return text.encode().decode("latin1")


def _check_classic(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if size > _LARGEST:
            raise UserError(
                f"{name}: {size / 2**30:.3g} GiB are more than the 2 that a variable of classic netCDF holds; ask for "
                "fewer samples at a time, for an .npz, or install what writes netCDF-4: pip install 'beeline[fields]'"
            )


def _has_netcdf4() -> bool:
    try:
        needed("h5netcdf", "netCDF-4")
        needed("xarray", "netCDF-4")
    except UserError:
        return False
    return True


def alike(samples: Examples) -> bool:
    """Whether several samples answer one and the same input.

    Args:
        samples: with their conditions.
    """
    return len(samples) > 1 and all(same_condition(sample.condition, samples[0].condition) for sample in samples)


def same_condition(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two samples were asked for alike.

    Args:
        one: conditions by name.
        other: of the other.
    """
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
