"""Principal components of cells whose answers are counts, as cells are.

An answer is a control cell c and what becomes of its components. Where c has no count of a gene, a small change would
leave a small number there, and no cell has such: with L the library of c and T the target of normalisation, counts lie
at v_k = log(1 + k T / L), and a value between two of them goes to one by chance,

    v -> v_{k+1} with probability (v - v_k) / (v_{k+1} - v_k), else v_k

so that its mean stays, and what is at a count stays. The chance is a function of c alone: the same cell under two
perturbations meets the same draws. Without whole counts in c values stay as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from beeline.data.counted_cells import library_of, nearly_whole
from beeline.data.projection import Array, Projection


@dataclass(frozen=True)
class CellComponents(Projection):
    """Principal components of log-normalised cells.

    Args:
        target: counts that cells were brought to; None where they are on no scale of counts.
    """

    target: float | None = None

    def undo_beside(self, array: Array, like: Array) -> Array:
        """``Projection.undo_beside``, at whole counts of the library of the other vectors.

        Args:
            array: (k, 1) or (S, k).
            like: (G,), or (M, G) of which row i goes with number i modulo M.
        """
        found = super().undo_beside(array, like)
        if self.target is None:
            return found
        others, rows = np.atleast_2d(like), np.atleast_2d(found)
        counted = np.stack([at_counts(row, others[i % len(others)], self.target) for i, row in enumerate(rows)])
        return counted.reshape(found.shape)


def at_counts(values: Array, cell: Array, target: float) -> Array:
    """(G,) values at whole counts of a cell's library, on the mean as they are; unchanged where it has none.

    Args:
        values: (G,) log-normalised, at least 0.
        cell: (G,) whose library is taken, and whose numbers seed the draws.
        target: counts that cells were brought to.
    """
    library = library_of(cell, target)
    if library is None:
        return values
    unit = target / library
    wide = values.astype(np.float64)
    counts = nearly_whole(np.expm1(wide) / unit)
    low = np.floor(counts)
    below, above = np.log1p(low * unit), np.log1p((low + 1) * unit)
    seed = np.frombuffer(hashlib.sha256(np.ascontiguousarray(cell, dtype="<f4").tobytes()).digest(), dtype="<u4")
    up = np.random.default_rng(seed).random(len(values)) * (above - below) < np.where(counts > low, wide - below, 0.0)
    return np.where(up, above, below).astype(np.float32)
