"""Matrices of cells by genes as .h5ad files store them, dense or sparse: held, or read a few rows at a time.

Compressed sparse rows (CSR): the numbers of row i are data[indptr[i]:indptr[i + 1]], in the columns
indices[indptr[i]:indptr[i + 1]]; compressed sparse columns (CSC) are the same of the transpose.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from beeline.core.errors import UserError
from beeline.core.extras import needed

Array = np.ndarray[Any, Any]
Csr = Any  # scipy.sparse.csr_matrix, which has no types
_MOST_HELD = 50_000_000
_UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError)


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside a damaged file into one line.

    Args:
        path: of the file.
        what: is read.

    Raises:
        UserError: it could not be read.
    """
    try:
        yield
    except _UNREADABLE as error:
        told = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: {what} cannot be read ({told}); it is damaged: fetch or write it anew") from None


def opened(path: Path) -> Any:
    """An HDF5 file, opened for reading.

    Raises:
        UserError: it is damaged, or h5py is not installed.
    """
    h5py = needed("h5py", path, "cells")
    with reading(path, "the file"):
        return h5py.File(path, "r")


class CellMatrix(ABC):
    """Numbers (cells, genes).

    Args:
        shape: cells and genes.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def rows(self, index: Array) -> Csr:
        """Some rows, in the order asked for and with the dtype of the file.

        Args:
            index: (n,) places of cells, each as often as it is wanted.

        Raises:
            UserError: they cannot be read.
        """
        index = np.asarray(index, dtype=np.int64).reshape(-1)
        if len(index) and not 0 <= index.min() <= index.max() < self.shape[0]:
            raise IndexError(f"cells {index.min()} to {index.max()} of {self.shape[0]}")
        ascending, inverse = np.unique(index, return_inverse=True)
        part = self._ascending(ascending)
        return part if np.array_equal(ascending, index) else part[inverse]

    @abstractmethod
    def _ascending(self, index: Array) -> Csr:
        """Rows at ascending places."""


class HeldMatrix(CellMatrix):
    """One in memory.

    Args:
        numbers: dense, or a scipy CSR matrix.
    """

    def __init__(self, numbers: Any) -> None:
        super().__init__(numbers.shape)
        self._numbers = numbers

    def _ascending(self, index: Array) -> Csr:
        from scipy.sparse import csr_matrix

        return csr_matrix(self._numbers[index])


class SomeRows(CellMatrix):
    """Some rows of another one.

    Args:
        whole: the other.
        places: (n,) of the rows, ascending.
    """

    def __init__(self, whole: CellMatrix, places: Array) -> None:
        super().__init__((len(places), whole.shape[1]))
        self._whole, self._places = whole, places

    def _ascending(self, index: Array) -> Csr:
        return self._whole.rows(self._places[index])


class BackedMatrix(CellMatrix):
    """One that stays in its file, opened anew in every process.

    Args:
        path: of the file.
        name: of the matrix inside.
        shape: cells and genes.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, int]) -> None:
        super().__init__(shape)
        self.path = path
        self.name = name
        self._file: Any = None
        self._ends: Array | None = None
        self._process = 0
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "name": self.name, "shape": self.shape}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _ascending(self, index: Array) -> Csr:
        with self._lock, reading(self.path, self.name):
            if self._process != os.getpid():  # an HDF5 handle must not be read on both sides of a fork
                self._file, self._process = opened(self.path), os.getpid()
            item = self._file[self.name]
            return self._sparse(item, index) if hasattr(item, "keys") else self._dense(item, index)

    def _dense(self, item: Any, index: Array) -> Csr:
        from scipy.sparse import csr_matrix, vstack

        parts = [csr_matrix(_plain(item[first:last])) for first, last in _runs(index)]
        return vstack(parts, format="csr") if parts else csr_matrix((0, self.shape[1]), dtype=np.float32)

    def _sparse(self, item: Any, index: Array) -> Csr:
        if self._ends is None:
            self._ends = item["indptr"][:].astype(np.int64)
            _check_ends(self._ends, self.shape[0], len(item["data"]))
        data, columns, ends = item["data"], item["indices"], self._ends
        spans = [(ends[first], ends[last]) for first, last in _runs(index)]
        return _csr(
            np.concatenate([np.empty(0, data.dtype), *(data[low:high] for low, high in spans)]),
            np.concatenate([np.empty(0, np.int32), *(columns[low:high] for low, high in spans)]),
            np.concatenate([[0], np.cumsum(ends[index + 1] - ends[index])]),
            (len(index), self.shape[1]),
        )


def open_matrix(path: Path, handle: Any, name: str) -> CellMatrix:
    """A matrix of an opened file; held where it has at most 50 million stored numbers, else left there.

    Args:
        path: of the file.
        handle: the file, opened by h5py.
        name: of the matrix inside.

    Raises:
        UserError: it holds no numbers, is damaged, or is large and stored by columns.
    """
    item = handle[name]
    if not hasattr(item, "keys"):
        if item.ndim != 2 or item.dtype.kind not in "fiub":
            raise UserError(f"{path}: {name} is {item.dtype} of shape {item.shape}; need numbers of cells by genes")
        if item.size > _MOST_HELD:
            return BackedMatrix(path, name, item.shape)
        with reading(path, name):
            return HeldMatrix(_plain(item[:]))
    with reading(path, name):
        order = str(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", ""))).removesuffix("_matrix")
        rows, columns = map(int, item.attrs["shape" if "shape" in item.attrs else "h5sparse_shape"])
        stored = int(item["data"].shape[0])
    if order not in ("csr", "csc"):
        raise UserError(f"{path}: {name} is stored as '{order}'; need a dense, CSR or CSC matrix")
    if stored <= _MOST_HELD:
        with reading(path, name):
            return HeldMatrix(_held(item, (rows, columns), order))
    if order == "csc":
        raise UserError(
            f"{path}: {name} is large and stored by columns (CSC), which cannot be read by cells; convert it once: "
            f"a = anndata.read_h5ad(PATH); {_converted(name)}; a.write_h5ad(NEW_PATH)"
        )
    return BackedMatrix(path, name, (rows, columns))


def _converted(name: str) -> str:
    """The line of Python that stores a matrix by rows."""
    if name == "raw/X":
        return "a.layers['raw_by_rows'] = a.raw[:, a.var_names].X.tocsr()"
    where = "X" if name == "X" else f"layers['{name.removeprefix('layers/')}']"
    return f"a.{where} = a.{where}.tocsr()"


def _held(item: Any, shape: tuple[int, int], order: str) -> Csr:
    """A small sparse matrix, by rows whatever the order of the file."""
    data, columns, ends = (item[part][:] for part in ("data", "indices", "indptr"))
    return _csr(data, columns, ends, shape) if order == "csr" else _csr(data, columns, ends, shape[::-1]).T.tocsr()


def _csr(data: Array, columns: Array, ends: Array, shape: tuple[int, int]) -> Csr:
    """A CSR matrix with every place once.

    Raises:
        ValueError: the parts do not fit together.
    """
    from scipy.sparse import csr_matrix

    if len(columns) and not 0 <= columns.min() <= columns.max() < shape[1]:  # scipy would read beyond its memory
        raise ValueError(f"column {columns.max()} of {shape[1]}")
    _check_ends(ends, shape[0], len(data))
    matrix = csr_matrix((_plain(data), columns, ends), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _check_ends(ends: Array, rows: int, stored: int) -> None:
    """Refuse places at which rows end that do not ascend from the first stored number to the last.

    Raises:
        ValueError: saying so.
    """
    if len(ends) != rows + 1 or ends[0] != 0 or ends[-1] != stored or (np.diff(ends) < 0).any():
        raise ValueError(f"its {rows} rows do not divide its {stored} numbers")


def _plain(numbers: Array) -> Array:
    """Numbers of a dtype that scipy has sparse matrices of."""
    kind, size = numbers.dtype.kind, numbers.dtype.itemsize
    wanted = np.dtype(np.uint8 if kind == "b" else np.float32 if kind == "f" and size < 4 else numbers.dtype)
    return numbers.astype(wanted.newbyteorder("="), copy=False)


def _runs(index: Array) -> list[tuple[int, int]]:
    """First and one past the last of each run of consecutive places."""
    if not len(index):
        return []
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 2) != 1)
    stops = np.append(starts[1:], len(index)) - 1
    return [(int(index[start]), int(index[stop]) + 1) for start, stop in zip(starts, stops, strict=True)]
