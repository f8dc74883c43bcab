"""Maps of another grid and scattered observations of physical fields, which know their units, axes and coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.field_map import FieldMap
from beeline.conditioning.points import Points
from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.protocols import Condition, Tokenizer
from beeline.core.tokens import Tokens
from beeline.data.field_beside import among_cells, in_coordinates, observations
from beeline.data.field_description import FieldDescription
from beeline.data.field_files import open_store
from beeline.data.field_patches import chosen_patch
from beeline.data.unit_spelling import same_units

Array = np.ndarray[Any, Any]
_TOKENS = 256


@dataclass(frozen=True)
class CoarseField(CoarseMap):
    """A map of another grid that is also read from netCDF, zarr, HDF5 and .npz files; units and axes are compared.

    Args:
        variable: its name in files; that of the condition when empty.
        units: of its channels in training, one each; empty where they are not known.
        dims: names of its axes in training.
        sizes: cells along each axis in training.
        directions: whether the coordinate of each axis ascended (1) or descended (-1) in training; 0 for not known.
    """

    variable: str = ""
    units: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    directions: tuple[int, ...] = ()

    def taken(self, value: Any) -> Any:
        """The map in a file that is named, or in a labelled array of xarray; what is neither as it is.

        Raises:
            UserError: it has other units or axes than in training.
        """
        return self._map().taken(value)

    def _map(self) -> FieldMap:
        return FieldMap(
            *(self.name, self.channels, self.dropout, self.mean, self.deviation),
            variable=self.variable,
            units=self.units,
            dims=self.dims,
            sizes=self.sizes,
            directions=self.directions,
        )


@dataclass(frozen=True)
class FieldPoints(Points):
    """Scattered observations whose places may be coordinates of the data, also read from files.

    Rows of which nothing was seen, NaN throughout, are left out.

    Args:
        variable: its name in files; that of the condition when empty.
        units: of what is seen in training, one each; empty where they are not known.
        coordinates: of the cells along each axis in training, which places are given in; empty for cells.
    """

    variable: str = ""
    units: tuple[str, ...] = ()
    coordinates: tuple[tuple[float, ...], ...] = ()

    def taken(self, value: Any) -> Any:
        """The rows in a file that is named; what is none as it is.

        Raises:
            UserError: see ``parse``.
        """
        return self.parse(str(value)) if isinstance(value, (str, Path)) else value

    def parse(self, text: str) -> Array:
        """The rows in a file: FILE, or FILE:VARIABLE; a .npy file has the rows alone.

        Raises:
            UserError: there is no such file or variable, or it holds no rows of one sample.
        """
        file, colon, name = text.rpartition(":")
        if not colon or not Path(file).exists():
            file, name = text, self.variable or self.name
        path = Path(file).expanduser()
        if not path.exists():
            raise UserError(f"condition {self.name}={text}: no such file; name one with the points, or FILE:VARIABLE")
        rows = super().parse(text) if path.suffix.lower() == ".npy" else self._read(path, name)
        while rows.ndim > 2 and len(rows) == 1:
            rows = rows[0]
        if rows.ndim != 2:
            raise UserError(
                f"condition {self.name}={text}: has the shape {rows.shape}; need the rows of one sample, (points, "
                f"{self.axes + self.channels})"
            )
        return observations(rows, self.axes, f"condition {self.name}={text}") if rows.dtype.kind == "f" else rows

    def _read(self, path: Path, name: str) -> Array:
        store = open_store(path, {})
        units = store.variable(name).units
        for known in filter(None, self.units):
            if not same_units(known, units):
                raise UserError(
                    f"condition {self.name}={path}: {name} is in '{units}' here and was in '{known}' in training; "
                    "convert it, and its units attribute with it"
                )
        return store.read(name)

    def context(self, encoded: Tensor, tokens: Tokens, tokenizer: Tokenizer) -> Context:
        """The points among the tokens of a sample, N = 1.

        Args:
            encoded: what ``encode`` gave.
            tokens: of the sample.
            tokenizer: that made them.

        Raises:
            UserError: the data have other axes, or a point lies outside of them along an axis that is not periodic.
        """
        try:
            return super().context(encoded, tokens, tokenizer)
        except UserError as error:
            if not self.coordinates:
                raise
            ends = ", ".join(f"{each[0]:g} to {each[-1]:g}" for each in self.coordinates)
            raise UserError(f"{error}; places are coordinates here, whose cells lie from {ends}") from None

    def _points(self, value: Any) -> Array:
        given = np.asarray(value) if isinstance(value, (np.ndarray, list, tuple)) else value
        if isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype.kind == "f":
            value = observations(given, self.axes, f"condition {self.name}")
        points = super()._points(value)
        if not self.coordinates:
            return points
        return np.concatenate([among_cells(points[:, : self.axes], self.coordinates), points[:, self.axes :]], axis=1)


def beside_fields(
    known: FieldDescription, coarse: Sequence[str], points: Sequence[str], dropout: float
) -> list[Condition]:
    """The conditions of fields from beside their grid, by name of what their file calls them.

    Args:
        known: the fields.
        coarse: variables of the maps of another grid.
        points: variables of the scattered observations.
        dropout: share of training samples from which each is hidden.
    """
    found: list[Condition] = []
    for each, variable in zip(known.coarse, coarse, strict=True):
        sizes = tuple(axis.size for axis in each.axes)
        found.append(
            CoarseField(
                each.name,
                chosen_patch(sizes, (True,) * len(sizes), _TOKENS),
                len(each.channels),
                dropout=dropout,
                variable=variable,
                units=tuple(channel.units for channel in each.channels),
                dims=each.dims,
                sizes=sizes,
                directions=tuple(axis.direction for axis in each.axes),
            )
        )
    places = tuple(axis.coordinate for axis in known.axes) if in_coordinates(known.axes) else ()
    for each, variable in zip(known.points, points, strict=True):
        axes, channels = len(known.axes), len(each.channels)
        units = tuple(channel.units for channel in each.channels)
        found.append(
            FieldPoints(each.name, axes, channels, dropout, variable=variable, units=units, coordinates=places)
        )
    return found
