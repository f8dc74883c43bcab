"""Inner products and squared Euclidean distances between two sets, in float64, a block of rows at a time.

A block holds at most 2^23 numbers (64 MiB), so that sets of any size need little memory.

Shapes: N and M samples, D numbers a sample, R rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_NUMBERS_A_BLOCK = 2**23


def inner_products(one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of ``one`` and their (R, M) inner products with all of ``other``.

    Args:
        one_ND: samples.
        other_MD: samples.
    """
    other_MD = np.asarray(other_MD, dtype=np.float64)
    rows = max(1, _NUMBERS_A_BLOCK // max(len(other_MD), one_ND.shape[1]))
    for start in range(0, len(one_ND), rows):
        block = slice(start, min(start + rows, len(one_ND)))
        yield block, np.asarray(one_ND[block], dtype=np.float64) @ other_MD.T


def squared_distances(one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of ``one`` and their (R, M) squared distances to all of ``other``: |x|^2 + |y|^2 - 2 x y, at least 0.

    Exact on whole numbers below 2^53, so ties between 8-bit images stay ties.

    Args:
        one_ND: samples.
        other_MD: samples.
    """
    other_M = np.square(np.asarray(other_MD, dtype=np.float64)).sum(axis=1)
    for block, distances_RM in inner_products(one_ND, other_MD):
        distances_RM *= -2.0
        distances_RM += other_M
        distances_RM += np.square(np.asarray(one_ND[block], dtype=np.float64)).sum(axis=1)[:, None]
        yield block, np.maximum(distances_RM, 0.0, out=distances_RM)
