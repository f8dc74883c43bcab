"""Counts of log-normalised cells, found again, and what names a cell whatever file it is in.

    count = (exp(value) - 1) library / target

Where the library is not known, it is the one of which all of these are whole: with m the smallest count of the cell,
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
_SMALLEST_COUNTS = range(1, 9)
_WHOLE = 0.02
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
    sizes = np.expm1(expression.astype(np.float64))
    seen = sizes[sizes != 0]
    if not len(seen) or seen.min() < 0:
        return None
    for smallest in _SMALLEST_COUNTS:
        counts = sizes * (smallest / seen.min())
        whole = np.rint(counts)
        if (abs(counts - whole) <= _WHOLE * np.maximum(1.0, whole / 100)).all():
            return whole, float(smallest * target / seen.min())
    return None


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
