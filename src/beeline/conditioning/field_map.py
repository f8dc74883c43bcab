"""A map of physical fields, which knows its units and the way its axes run, so that others are refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from beeline.conditioning.map import AlignedMap
from beeline.core.errors import UserError
from beeline.data.field_arrays import LabelledStore, is_labelled, one_of
from beeline.data.field_files import open_store
from beeline.data.field_places import axis_of, placed
from beeline.data.field_stores import CHANNEL, FieldStore, Variable, is_guess
from beeline.data.unit_spelling import same_units

_NEARLY = 0.01


@dataclass(frozen=True)
class FieldMap(AlignedMap):
    """An aligned map that is also read from netCDF, zarr, HDF5 and .npz files, whose units and axes are compared.

    Args:
        variable: its name in files; that of the condition when empty.
        units: of its channels in training, one each; empty where they are not known.
        dims: names of its axes in training.
        own: those of these axes that the map has, being the same along the others; all when empty.
        sizes: cells along each axis in training.
        directions: whether the coordinate of each axis ascended (1) or descended (-1) in training; 0 for not known.
        steps: from cell to cell along each axis in training, in the units of its coordinate; 0 for not known.
    """

    variable: str = ""
    units: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    directions: tuple[int, ...] = ()
    steps: tuple[float, ...] = ()

    def taken(self, value: Any) -> Any:
        """The map in a file that is named, in a labelled array of xarray, or in an array without a channel axis.

        What is none of these is left as it is.

        Raises:
            UserError: see ``parse``.
        """
        if isinstance(value, (str, Path)):
            return self.parse(str(value))
        if is_labelled(value):
            value = one_of(value, (self.variable, self.name), f"condition {self.name}")
            return self._read(store := LabelledStore(value), store.path.name)
        is_bare = isinstance(value, (np.ndarray, Tensor)) and self.given == 1 and value.ndim == len(self._own) > 0
        return self._whole(np.asarray(value)[..., None]) if is_bare else value

    def remarks(self, values: Iterable[Any]) -> list[str]:
        """Maps far outside of those of training, in units not told, with sizes swapped or cells of another length.

        Args:
            values: that ``encode`` takes.
        """
        values, lines = list(values), dict[str, str]()
        known = dict(zip(self.dims, self.steps, strict=False))
        for value in values:
            lines.update((each, each) for each in getattr(value, "notes", ()))
            cells = np.shape(value)[:-1]
            if not getattr(value, "places", {}) and cells != self.sizes and sorted(cells) == sorted(self.sizes):
                lines["sizes"] = (
                    f"condition {self.name}: a map of {_sizes(cells)} cells is taken as ({', '.join(self.dims)}), and "
                    f"those of training had {_sizes(self.sizes)}; transpose it if its axes are swapped"
                )
            for dim, axis in getattr(value, "places", {}).items():
                here, there = axis.step, known.get(dim, 0.0)
                if here and there and abs(here / there - 1) > _NEARLY:
                    lines[dim] = (
                        f"condition {self.name}: cells are {here:g} apart along {dim} and were {there:g} in training; "
                        "the answer is one for cells as large as those of training"
                    )
        return [*super().remarks(values), *lines.values()]

    def parse(self, text: str) -> np.ndarray[Any, Any]:
        """The map in a file: FILE, or FILE:VARIABLE, with the places of its cells; a .npy file has (cells, channels).

        Raises:
            UserError: there is no such file or variable, or it has other units or axes than in training.
        """
        file, colon, name = text.rpartition(":")
        if not colon or not Path(file).exists():
            file, name = text, self.variable or self.name
        path = Path(file).expanduser()
        if not path.exists():
            raise UserError(f"condition {self.name}={text}: no such file; name one with the map, or FILE:VARIABLE")
        if path.suffix.lower() == ".npy":
            return self._whole(self._by_shape(super().parse(text), path))
        return self._read(open_store(path, {}), name)

    def _read(self, store: FieldStore, name: str) -> np.ndarray[Any, Any]:
        variable = store.variable(name)
        self._check_units(variable, store.path)
        if variable.guessed:
            return self._whole(self._by_shape(store.read(name), store.path))
        wanted = self._axes(variable)
        array = self._whole(self._arranged(store, variable, wanted))
        places = {known: axis_of(store, dim, variable.size(dim)) for known, dim in zip(self._own, wanted, strict=False)}
        taken = ", ".join(dict.fromkeys(filter(None, self.units)))
        notes = (f"condition {self.name}={store.path}: units not told, taken as {taken}",)
        known_places = {known: axis for known, axis in places.items() if axis.coordinate}
        return placed(array, known_places, notes if taken and not variable.units else ())

    def _unit(self, channel: int) -> str:
        return f" {self.units[channel]}" if channel < len(self.units) and self.units[channel] else ""

    @property
    def _own(self) -> tuple[str, ...]:
        return self.own or self.dims

    def _by_shape(self, array: np.ndarray[Any, Any], path: Path) -> np.ndarray[Any, Any]:
        """An array without names of axes as (cells ..., channels): one sample, its channels last or first, if any."""
        if not self.dims:
            return array
        axes = len(self._own)
        wider = array.ndim - axes
        if wider > 0 and len(array) == 1 and (wider == 2 or array.shape[-1] != self.given):
            array = array[0]
        if array.ndim == axes and self.given == 1:
            return array[..., None]
        if array.ndim == axes + 1 and self.given in (array.shape[-1], array.shape[0]):
            return array if array.shape[-1] == self.given else np.moveaxis(array, 0, -1)
        raise UserError(
            f"condition {self.name}={path}: has the shape {array.shape}; need one map, an axis for each of "
            f"{', '.join(self._own)} and then {self.given} channels"
        )

    def _whole(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A map on all axes, repeated along those that it lacks."""
        for place, dim in enumerate(self.dims):
            if dim not in self._own:
                array = np.repeat(np.expand_dims(array, place), self.sizes[place], axis=place)
        return array

    def _check_units(self, variable: Variable, path: Path) -> None:
        for units in filter(None, self.units):
            if not same_units(units, variable.units):
                raise UserError(
                    f"condition {self.name}={path}: {variable.name} is in '{variable.units}' here and was in '{units}' "
                    "in training; convert it, and its units attribute with it"
                )

    def _arranged(self, store: FieldStore, variable: Variable, wanted: tuple[str, ...]) -> np.ndarray[Any, Any]:
        """The map with the axes of training in their order and the channels last."""
        array, left = store.read(variable.name), list(variable.dims)
        for dim in [dim for dim in left if dim not in (*wanted, CHANNEL)]:
            if variable.size(dim) > 1:
                raise UserError(
                    f"condition {self.name}={store.path}: {variable.name} has {variable.size(dim)} entries along {dim};"
                    f" write one of them into a file of its own, in xarray: .isel({dim}=0)"
                )
            array = np.take(array, 0, axis=left.index(dim))
            left.remove(dim)
        order = [left.index(dim) for dim in (*wanted, CHANNEL) if dim in left]
        array = np.transpose(array, order)
        directions = dict(zip(self.dims, self.directions, strict=False))
        for dim, known in zip(wanted, self._own, strict=False):
            self._check_direction(store, dim, directions.get(known, 0))
        return array if CHANNEL in left else array[..., None]

    def _axes(self, variable: Variable) -> tuple[str, ...]:
        """Its axes, in the order of training; by place where their names were a guess then."""
        plain = [dim for dim in variable.dims if dim != CHANNEL]
        if all(is_guess(dim) for dim in self.dims):
            return tuple(plain[-len(self._own) :] if self.dims else plain)
        for dim in self._own:
            if dim not in plain:
                raise UserError(
                    f"condition {self.name}: {variable.name} lies on ({', '.join(variable.dims)}) here and lay on "
                    f"({', '.join(self._own)}) in training; rename its axes"
                )
        return self._own

    def _check_direction(self, store: FieldStore, dim: str, direction: int) -> None:
        known = store.variables.get(dim)
        if not direction or known is None or known.dims != (dim,) or known.shape[0] < 2:
            return
        first, second = (float(each) for each in store.read(dim)[:2])
        if (second - first) * direction < 0:
            here, there = ("descends", "ascended") if direction > 0 else ("ascends", "descended")
            raise UserError(
                f"condition {self.name}={store.path}: {dim} {here} here and {there} in training; turn the map over, in "
                f"xarray: .isel({dim}=slice(None, None, -1))"
            )


def _sizes(cells: tuple[int, ...]) -> str:
    return "x".join(map(str, cells))
