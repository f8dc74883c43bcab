"""Gridded files behind one door: named variables with dimensions and attributes (``field_files.py`` opens them).

A store holds a path, is opened when it is first read, and is opened anew in another process, forked ones included.
Packed numbers are unpacked as the CF conventions 1.11, section 8.1, say:

    value = raw scale_factor + add_offset,  NaN where raw is _FillValue or missing_value

where whole numbers are read as unsigned (signed) if the attribute _Unsigned is true (false). Text and dates are text.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

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

    survives_fork: ClassVar[bool] = False  # whether what is opened may be read by a forked process

    def __init__(self, path: Path, dims: Mapping[str, tuple[str, ...]]) -> None:
        self.path = path
        self.dims = dict(dims)
        self._opened: Any = None
        self._process = 0
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
            return unpacked(raw, variable.attributes) if raw.dtype.kind in "fiu" else _text(raw)

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
        if self._opened is None or not (self.survives_fork or self._process == os.getpid()):
            self._opened, self._process = self._open(), os.getpid()
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
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    seen = {"true": "u", "false": "i"}.get(str(attributes.get("_Unsigned", "")).lower())
    if seen is not None and raw.dtype.kind in "iu":
        raw = raw.view(f"{seen}{raw.dtype.itemsize}")
    absent = np.zeros(raw.shape, dtype=bool)
    for name in ("_FillValue", "missing_value"):
        if name in attributes:
            absent |= _is_filler(raw, attributes[name], wraps=seen is not None)
    if scale is None and offset is None and not absent.any():
        return raw
    values = raw.astype(np.float64) * float(1.0 if scale is None else scale) + float(0.0 if offset is None else offset)
    return np.where(absent, np.nan, values).astype(float_type(raw.dtype))


def _is_filler(raw: Array, filler: Any, wraps: bool) -> Array:
    """Where stored numbers are what stands for missing ones, which may be written in another dtype."""
    try:
        wanted = np.atleast_1d(np.asarray(filler))
        wanted = wanted if wanted.dtype.kind in "iuf" else wanted.astype(np.float64)
    except (TypeError, ValueError):
        return np.zeros(raw.shape, dtype=bool)
    if raw.dtype.kind == "f":  # 1e20 is another number as float32 than as float64: compare in the narrower of both
        narrow = wanted.dtype if wanted.dtype.kind == "f" and wanted.dtype.itemsize < raw.dtype.itemsize else raw.dtype
        with np.errstate(over="ignore"):
            return np.isin(raw.astype(narrow, copy=False), wanted.astype(narrow))
    whole = wanted[np.isfinite(wanted) & (np.abs(wanted.astype(np.float64)) < 2.0**64)]
    numbers = [int(each) for each in whole if each == int(each)]
    size, least = 8 * raw.dtype.itemsize, int(np.iinfo(raw.dtype).min)
    if wraps:
        numbers = [(each - least) % 2**size + least for each in numbers]
    fitting = [each for each in numbers if least <= each < least + 2**size]
    return np.isin(raw, np.array(fitting, dtype=raw.dtype))


def float_type(dtype: np.dtype[Any]) -> type[np.float32 | np.float64]:
    """The floats that hold numbers of a dtype: float64 for what float32 would round.

    Args:
        dtype: of stored numbers.
    """
    return np.float64 if dtype.itemsize > (4 if dtype.kind == "f" else 2) else np.float32


def _text(raw: Array) -> Array:
    """Text of bytes and of dates, numbers of differences of dates; anything else as it is."""
    if raw.dtype.kind == "S":
        return np.char.rstrip(np.char.decode(raw, "utf-8"), "\0 ")
    if raw.dtype.kind == "M":
        return raw.astype(str)
    if raw.dtype.kind == "m":
        return raw.astype(np.int64)
    if raw.dtype.kind == "O":
        texts = [each.decode() if isinstance(each, bytes) else str(each) for each in raw.ravel()]
        return np.array(texts, dtype=str).reshape(raw.shape)
    return raw


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
