"""Inner products and squared Euclidean distances between two sets, in float64, a block of rows at a time.

A block holds at most 2^23 numbers (64 MiB), so that sets of any size need little memory. Of numbers far from zero
|x|^2 + |y|^2 - 2 x.y would lose the digits in which they differ: what distances are taken of is first centred.

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
    for block in _blocks(one_ND, other_MD):
        yield block, np.asarray(one_ND[block], dtype=np.float64) @ other_MD.T


def centre(samples_MD: Array) -> Array:
    """(D,) what is subtracted before distances are taken: the mean, rounded where all numbers are whole.

    Args:
        samples_MD: samples.
    """
    mean_D = np.asarray(samples_MD.mean(axis=0, dtype=np.float64))
    is_whole = samples_MD.dtype.kind in "iub" or all(np.array_equal(row, np.rint(row)) for row in samples_MD)
    return np.rint(mean_D) if is_whole else mean_D


def squared_distances(one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of ``one`` and their (R, M) squared distances to all of ``other``: |x|^2 + |y|^2 - 2 x y, at least 0.

    Exact on whole numbers below 2^53, so ties between 8-bit images stay ties.

    Args:
        one_ND: samples.
        other_MD: samples.
    """
    centre_D = centre(other_MD)
    other_MD = np.asarray(other_MD, dtype=np.float64) - centre_D
    other_M = np.square(other_MD).sum(axis=1)
    for block in _blocks(one_ND, other_MD):
        one_RD = np.asarray(one_ND[block], dtype=np.float64) - centre_D
        distances_RM = one_RD @ other_MD.T
        distances_RM *= -2.0
        distances_RM += other_M
        distances_RM += np.square(one_RD).sum(axis=1)[:, None]
        yield block, np.maximum(distances_RM, 0.0, out=distances_RM)


def _blocks(one_ND: Array, other_MD: Array) -> Iterator[slice]:
    rows = max(1, _NUMBERS_A_BLOCK // max(len(other_MD), one_ND.shape[1]))
    for start in range(0, len(one_ND), rows):
        yield slice(start, min(start + rows, len(one_ND)))
