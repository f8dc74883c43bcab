"""Gridded files behind one door: named variables with dimensions and attributes (``field_files.py`` opens them).

A store holds a path, is opened when it is first read, and is opened anew in another process. Packed numbers are
unpacked as the CF conventions 1.11, section 8.1, say:

    value = raw scale_factor + add_offset,  NaN where raw is _FillValue or missing_value
"""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from beeline.core.errors import UserError, unknown

Array = np.ndarray[Any, Any]
SAMPLE, CHANNEL = "sample", "channel"
_MOST_CHANNELS = 16
_GUESS = "axis_"
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, IndexError, TypeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Variable:
    """What is known of an array before it is read.

    Args:
        name: of the array.
        dims: name of each axis.
        shape: its extents.
        dtype: of the numbers as they are stored.
        attributes: what the file says of it, ``units`` among them.
        guessed: whether the names of its axes are a guess.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    guessed: bool = False

    @property
    def units(self) -> str:
        """Its units, empty where the file does not say."""
        return str(self.attributes.get("units", ""))

    def size(self, dim: str) -> int:
        """Its extent along an axis."""
        return self.shape[self.dims.index(dim)]


class FieldStore(ABC):
    """Variables of one file.

    Args:
        path: of the file.
        dims: names of the axes of some variables, where the file does not say them.
    """

    def __init__(self, path: Path, dims: Mapping[str, tuple[str, ...]]) -> None:
        self.path = path
        self.dims = dict(dims)
        self._opened: Any = None
        self._lock = Lock()

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """Every variable, by name.

        Raises:
            UserError: the file cannot be read, or axes are named of a variable that is not there.
        """
        with self._lock, self._reading():
            found = {each.name: each for each in self._look(self._handle())}
        for name, dims in self.dims.items():
            if name not in found:
                raise unknown("variable", name, found)
            if len(dims) != len(found[name].shape):
                raise UserError(
                    f"dims of {name}: {len(dims)} names ({' '.join(dims)}) for an array of shape {found[name].shape}"
                )
        return {name: _named(each, self.dims.get(name)) for name, each in found.items()}

    def variable(self, name: str) -> Variable:
        """One variable.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.variables:
            raise UserError(f"{self.path}: {unknown('variable', name, self.variables)}")
        return self.variables[name]

    def read(self, name: str, index: Mapping[str, int] | None = None) -> Array:
        """A variable in physical units, at fixed places along some of its axes.

        Args:
            name: of the variable.
            index: place along each axis to be taken out.

        Raises:
            UserError: it cannot be read.
        """
        variable = self.variable(name)
        where = tuple((index or {}).get(dim, slice(None)) for dim in variable.dims)
        with self._lock, self._reading():
            raw = np.array(self._raw(self._handle(), name, where))
        return unpacked(raw, variable.attributes)

    @abstractmethod
    def _open(self) -> Any:
        """The file, opened."""

    @abstractmethod
    def _look(self, handle: Any) -> list[Variable]:
        """Its variables; the names of axes are empty where the file does not tell them."""

    @abstractmethod
    def _raw(self, handle: Any, name: str, where: tuple[Any, ...]) -> Array:
        """Part of a variable as stored."""

    def _handle(self) -> Any:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _reading(self) -> _Naming:
        return _Naming(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "dims": self.dims}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["dims"])  # type: ignore[misc]


class _Naming:
    """Puts the name of a file before whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _UNREADABLE) and not isinstance(error, UserError):
            raise UserError(f"{self.path}: not readable ({type(error).__name__}: {error})") from None


def unpacked(raw: Array, attributes: Mapping[str, Any]) -> Array:
    """Stored numbers in physical units: NaN where they are missing, scaled and moved where they are packed.

    Args:
        raw: as stored.
        attributes: of the variable.
    """
    scale, offset = (attributes.get(name) for name in ("scale_factor", "add_offset"))
    fillers = [attributes[name] for name in ("_FillValue", "missing_value") if name in attributes]
    absent = np.zeros(raw.shape, dtype=bool)
    for filler in fillers:
        absent |= np.isin(raw, np.asarray(filler))
    if scale is None and offset is None and not absent.any():
        return raw
    wide = raw.dtype.itemsize > (4 if raw.dtype.kind == "f" else 2)
    values = raw.astype(np.float64) * float(1.0 if scale is None else scale) + float(0.0 if offset is None else offset)
    return np.where(absent, np.nan, values).astype(np.float64 if wide else np.float32)


def _named(variable: Variable, dims: tuple[str, ...] | None) -> Variable:
    """A variable with names for its axes: told, the file's own, or guessed from its shape."""
    if dims is None and len(variable.dims) == len(variable.shape):
        return variable
    guess = guessed_dims(variable.shape)
    return Variable(
        variable.name,
        guess if dims is None else dims,
        variable.shape,
        variable.dtype,
        variable.attributes,
        guessed=dims is None,
    )


def guessed_dims(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Likely names of axes: samples first; then, of a short axis before or behind longer ones, channels; then a grid.

    Args:
        shape: of an array, the samples along its first axis.
    """
    rest, channel = shape[1:], None
    if len(rest) >= 2 and (rest[0] == 1 or (len(rest) >= 3 and _is_short(rest[0], rest[1:]))):
        channel = 0
    elif len(rest) >= 2 and (rest[-1] == 1 or (len(rest) >= 3 and _is_short(rest[-1], rest[:-1]))):
        channel = len(rest) - 1
    grid = iter(f"{_GUESS}{place}" for place in range(1, len(rest) + 1))
    return (SAMPLE, *(CHANNEL if place == channel else next(grid) for place in range(len(rest))))[: len(shape)]


def is_guess(dim: str) -> bool:
    """Whether the name of an axis is one that ``guessed_dims`` gives."""
    return dim.startswith(_GUESS)


def _is_short(extent: int, others: tuple[int, ...]) -> bool:
    return extent <= _MOST_CHANNELS and extent < min(others)
