"""Mean, standard deviation and principal components of data that are read once, a piece at a time.

    delta = mean_b - mean_a,  mean = mean_a + delta n_b / n,  M2 = M2_a + M2_b + delta^2 n_a n_b / n

Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def never_varies(mean: Array, deviation: Array) -> Array:
    """Which channels are constant, up to the rounding of their own mean."""
    return deviation <= 1e-12 * np.abs(mean)


def channel_moments(arrays: Iterable[Array], channels: int) -> tuple[Array, Array, Array]:
    """Count, mean and standard deviation of each channel; NaN is left out.

    Args:
        arrays: pieces whose last axis, or whole size, divides into channels.
        channels: how many.

    Returns:
        three float64 arrays (channels,); mean and deviation are 0 where nothing was counted.
    """
    count, mean, squares = (np.zeros(channels) for _ in range(3))
    for array in arrays:
        cells = np.asarray(array, dtype=np.float64).reshape(-1, channels)
        present = ~np.isnan(cells)
        number = present.sum(axis=0)
        held = np.where(present, cells, 0.0)
        own_mean = held.sum(axis=0) / np.maximum(number, 1)
        own_squares = (np.where(present, held - own_mean, 0.0) ** 2).sum(axis=0)
        total = np.maximum(count + number, 1)
        delta = own_mean - mean
        squares += np.where(number > 0, own_squares + delta**2 * count * number / total, 0.0)
        mean += np.where(number > 0, delta * number / total, 0.0)
        count += number
    return count, mean, np.sqrt(squares / np.maximum(count, 1))


def leading_components(arrays: Iterable[Array], most: int) -> Array:
    """Leading principal components of normalised vectors, (K, G) with orthonormal rows.

    Args:
        arrays: vectors (G,) of about zero mean, at least one; NaN counts as 0.
        most: components, K; fewer where the vectors span fewer.
    """
    total, products, count = np.zeros(0), np.zeros((0, 0)), 0
    for block in _stacked(arrays):
        if not count:
            total, products = np.zeros(block.shape[1]), np.zeros((block.shape[1],) * 2)
        total, products, count = total + block.sum(axis=0), products + block.T @ block, count + len(block)
    mean = total / count
    variances, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    spanned = variances[::-1][:most] > 1e-10 * max(variances[-1], 1e-300)
    rows = vectors.T[::-1][:most][spanned]
    signs = np.where(rows[np.arange(len(rows)), abs(rows).argmax(axis=1)] < 0, -1.0, 1.0)
    return np.asarray(rows * signs[:, None])


def _stacked(arrays: Iterable[Array], most: int = 512) -> Iterable[Array]:
    held: list[Array] = []
    for array in arrays:
        held.append(np.nan_to_num(np.asarray(array, dtype=np.float64)))
        if len(held) == most:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)
