"""What many draws for an input say, beside one another in one file: mean, standard deviation, quantiles, and the truth.

    u_mean, u_deviation (input, y, x)     u_quantile (input, quantile, y, x)     u_truth (input, y, x)

Of one input the axis ``input`` is left out. Formulas: ``metrics/ensembles.py``. Layout of files: ``field_output.py``.

Shapes: N inputs, m draws of each, Q levels, grid axes, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from beeline.core.data import Examples, Geometry
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription, FieldMapping
from beeline.data.field_output import Labelled, add_conditions, framed

Array = np.ndarray[Any, Any]
INPUT, QUANTILE = "input", "quantile"
_AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}


@runtime_checkable
class Described(Protocol):
    """A modality that knows names, coordinates and units of the axes of its fields."""

    def described(self) -> FieldDescription:
        """What is known of the fields beside their numbers."""
        ...


@dataclass(frozen=True)
class Summaries:
    """What the draws for each input say, element by element.

    Args:
        mean: (N, grid axes, C).
        deviation: (N, grid axes, C); None of one draw.
        quantiles: (N, Q, grid axes, C).
        levels: (Q,) of the quantiles.
        draws: m.
        note: which levels were left out, and why; empty where none were.
    """

    mean: Array
    deviation: Array | None
    quantiles: Array
    levels: Sequence[float]
    draws: int
    note: str = ""


def summarised(
    found: Summaries,
    inputs: Examples,
    known: FieldDescription,
    provenance: Mapping[str, Any],
    truths: Array | None = None,
    numbers: Sequence[int] | None = None,
) -> Labelled:
    """Summaries with everything that is known of them.

    Args:
        found: of the draws for each input.
        inputs: their conditions; the arrays say the shape alone.
        known: of the fields that the model was trained on.
        provenance: where the draws come from.
        truths: (N, grid axes, C) what the inputs were followed by, NaN where nobody knows; None where it is not known.
        numbers: of the inputs among those that there are; None of one input, whose axis is left out.

    Raises:
        UserError: the inputs have several shapes.
    """
    axis = "" if numbers is None else INPUT
    whole = framed(inputs, known, provenance, axis)
    if numbers is not None:
        whole.coordinates[INPUT] = (np.asarray(numbers, dtype=np.int32), {"long_name": "number of a held-out example"})
        whole.attributes.pop("coordinates_note", None)  # they lie where the training fields do
    whole.sizes[QUANTILE] = len(found.levels)
    whole.coordinates[QUANTILE] = (np.asarray(found.levels, dtype=np.float64), {"long_name": "share of draws below"})
    kinds: dict[str, Array | None] = {"mean": found.mean, "deviation": found.deviation, "truth": truths}
    for place, channel in enumerate(known.channels):
        for kind, array in {**kinds, "quantile": found.quantiles}.items():
            if array is not None:
                own = array[..., place].astype(np.float32)
                dims = (*([axis] if axis else []), *([QUANTILE] if kind == "quantile" else []), *known.dims)
                whole.variables[f"{channel.name}_{kind}"] = (dims, own if axis else own[0], channel.units)
    add_conditions(whole, inputs, known, axis)
    whole.attributes["draws"] = found.draws
    whole.attributes["quantile_formula"] = "x_(k) with k = p (draws + 1), Hyndman & Fan 1996, type 6"
    if found.note:
        whole.attributes["quantile_note"] = found.note
    return whole


def by_geometry(
    geometry: Geometry, shape: Sequence[int], maps: Mapping[str, int], parameters: Sequence[FieldChannel]
) -> FieldDescription:
    """What is known of fields whose axes have no names: cells are told apart by their distance from the first.

    Args:
        geometry: of their grid.
        shape: cells along each axis.
        maps: channels of the conditions that lie on the same grid, by name.
        parameters: numbers that condition them.
    """
    names = _AXES.get(len(shape)) or tuple(f"axis_{place}" for place in range(len(shape)))
    periodic = geometry.periodic or (False,) * len(shape)
    axes = tuple(
        FieldAxis(name, size, geometry.length_unit, tuple(float(step * cell) for cell in range(size)), closes)
        for name, size, step, closes in zip(names, shape, geometry.spacing, periodic, strict=True)
    )
    channels = tuple(FieldChannel(*each) for each in zip(geometry.channels, geometry.units, strict=True))
    mappings = tuple(FieldMapping(name, _numbered(name, count), names) for name, count in maps.items())
    return FieldDescription(axes, channels, mappings, tuple(parameters))


def _numbered(name: str, count: int) -> tuple[FieldChannel, ...]:
    return tuple(FieldChannel(name if count == 1 else f"{name}_{place}") for place in range(count))
