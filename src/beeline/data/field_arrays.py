"""Labelled arrays, as xarray has them, behind the same door as files: their units and axes are compared alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError
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


def one_of(dataset: Any, names: Sequence[str], where: str) -> Any:
    """The array of an xarray.Dataset that is meant: the first that has one of some names, or the only one.

    Args:
        dataset: of arrays; an array alone is returned as it is.
        names: it may have.
        where: it is asked for, for the message.

    Raises:
        UserError: there are several, of other names, or none.
    """
    known = getattr(dataset, "data_vars", None)
    if known is None:
        return dataset
    held = [str(name) for name in known]
    chosen = next((name for name in names if name in held), held[0] if len(held) == 1 else None)
    if chosen is None:
        raise UserError(
            f"{where}: the Dataset holds {', '.join(held) or 'no variable'}; give one array of it, such as "
            f"dataset['{held[0] if held else names[0]}']"
        )
    return dataset[chosen]


def is_labelled(value: object) -> bool:
    """Whether a value names its axes and says where its cells lie."""
    return all(hasattr(value, name) for name in ("dims", "coords", "attrs", "values"))
