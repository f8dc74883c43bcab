"""Labelled arrays, as xarray has them, behind the same door as files: their units and axes are compared alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beeline.data.field_stores import Array, FieldStore, Variable

_NAME = "array"


class LabelledStore(FieldStore):
    """An xarray.DataArray and those of its coordinates that are numbers along one axis.

    Args:
        array: whose name, axes, coordinates and attributes are read as those of a file are.
    """

    def __init__(self, array: Any) -> None:
        super().__init__(Path(str(array.name or _NAME)), {})
        self._array = array

    def _open(self) -> Any:
        coordinates = {
            str(name): each
            for name, each in self._array.coords.items()
            if each.dims == (name,) and each.dtype.kind in "fiu"
        }
        return {**coordinates, self.path.name: self._array}

    def _look(self, handle: Any) -> list[Variable]:
        return [
            Variable(name, tuple(map(str, each.dims)), each.shape, each.dtype, dict(each.attrs))
            for name, each in handle.items()
        ]

    def _raw(self, handle: Any, name: str, where: tuple[Any, ...]) -> Array:
        return handle[name].values[where]


def is_labelled(value: object) -> bool:
    """Whether a value names its axes and says where its cells lie."""
    return all(hasattr(value, name) for name in ("dims", "coords", "attrs", "values"))
