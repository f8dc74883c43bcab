"""Counts of log-normalised cells, found again, and what names a cell whatever file it is in.

    count = (exp(value) - 1) library / target

Where the library is not known, it is the least of which all of these are whole: with m the smallest count of the cell,
1 of most, library = m target / (exp(smallest value) - 1).

Shapes: N cells, G genes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from beeline.data.cell_output import to_counts
from beeline.data.cell_sets import FoundCells

Array = np.ndarray[Any, Any]
_LARGEST_LEAST, _MOST_COUNTS, _NEAR, _NEAR_SHARE = 64, 1e5, 2e-3, 2e-6
_AT_ONCE = 512


def counts_of(found: FoundCells, places: Array) -> Array:
    """(n, G) counts of some cells as they were in the file, float32.

    Args:
        found: the cells, of scale counts.
        places: (n,) of them.

    Raises:
        ValueError: they are on another scale.
    """
    target = found.description.target
    if target is None:
        raise ValueError("these cells have no counts")
    return to_counts(found.rows(places), found.library[places], target).astype(np.float32)


def counts_again(expression: Array, target: float) -> tuple[Array, float] | None:
    """Counts (G,) of one cell and its library; None where no library makes them whole.

    Args:
        expression: (G,) log-normalised.
        target: that counts were brought to.
    """
    library = library_of(expression, target)
    if library is None or (np.asarray(expression) < 0).any():
        return None
    return np.rint(np.expm1(expression.astype(np.float64)) * (library / target)), float(library)


def library_of(cell: Array, target: float) -> int | None:
    """The least library at which all values of a cell are counts; None where there is none.

    Args:
        cell: (G,) values.
        target: library that counts were brought to.
    """
    with np.errstate(over="ignore"):
        rate = np.expm1(np.asarray(cell, dtype=np.float64)[np.asarray(cell) > 0]) / target
    if not len(rate) or not np.isfinite(rate).all():
        return None
    for least in range(1, _LARGEST_LEAST + 1):
        counts = rate * (least / rate.min())
        if counts.max() > _MOST_COUNTS:  # which float32 does not tell from those beside them
            return None
        whole = np.rint(counts)
        if (np.abs(counts - whole) <= _NEAR + _NEAR_SHARE * counts).all():
            return round(float(whole.sum() / rate.sum()))
    return None


def nearly_whole(counts: Array) -> Array:
    """Counts that are whole but for the rounding of float32 as whole numbers, others as they are."""
    whole = np.rint(counts)
    return np.where(np.abs(counts - whole) <= _NEAR + _NEAR_SHARE * counts, whole, counts)


def identities(found: FoundCells, places: Array) -> Array:
    """(n,) int64 names of cells by what they hold: the same genes with the same counts are the same cell.

    Args:
        found: the cells, of scale counts.
        places: (n,) of them.
    """
    names = []
    for start in range(0, len(places), _AT_ONCE):
        for counts in counts_of(found, places[start : start + _AT_ONCE]):
            genes = np.flatnonzero(counts)
            held = genes.astype("<i8").tobytes() + counts[genes].astype("<i8").tobytes()
            names.append(np.frombuffer(hashlib.sha256(held).digest()[:8], dtype="<i8")[0])
    return np.array(names, dtype=np.int64)
