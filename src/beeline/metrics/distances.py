"""Squared Euclidean distances between two sets, in float64, a block of rows at a time.

Shapes: N and M samples, D numbers a sample, R rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_NUMBERS_A_BLOCK = 2**23


def squared_distances(one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of ``one`` and their (R, M) squared distances to all of ``other``: |x|^2 + |y|^2 - 2 x y, at least 0.

    Exact on whole numbers below 2^53, so ties between 8-bit images stay ties.

    Args:
        one_ND: samples.
        other_MD: samples.
    """
    other_MD = np.asarray(other_MD, dtype=np.float64)
    other_M = np.square(other_MD).sum(axis=1)
    rows = max(1, _NUMBERS_A_BLOCK // max(len(other_MD), one_ND.shape[1]))
    for start in range(0, len(one_ND), rows):
        block = slice(start, min(start + rows, len(one_ND)))
        one_RD = np.asarray(one_ND[block], dtype=np.float64)
        distances_RM = one_RD @ other_MD.T
        distances_RM *= -2.0
        distances_RM += other_M
        distances_RM += np.square(one_RD).sum(axis=1)[:, None]
        yield block, np.maximum(distances_RM, 0.0, out=distances_RM)
