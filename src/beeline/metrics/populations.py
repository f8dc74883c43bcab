"""Two populations of cells: how far the genes vary, how often they are 0, how they go together, how far mass moves.

variance-ratio-1           median over genes of (variance of samples) / (variance of real cells), genes that vary
zero-share-error-1         mean over genes of |share of samples at 0 - share of real cells at 0|
gene-correlation-error-1   |C - C*|_F / sqrt(K (K - 1)) over correlations of the K real genes of the largest variance
size-ks-1                  max |F - F*| over distribution functions of one number a cell, such as its library, the sum
                           of its counts, or how many of its genes are expressed: 0 alike, 1 apart
wasserstein-2-exact-1      W2 = sqrt(min over pairings of mean |x_i - y_pi(i)|^2), of as many cells on either side

W2 of two samples of one law is above 0, the more so the fewer they are: compare values of one number of cells.

Source: Peyre & Cuturi 2019, "Computational optimal transport", section 2.2.

Shapes: M real cells, N generated cells, G genes, K numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from beeline.core.data import evenly
from beeline.metrics.distances import squared_distances

Array = np.ndarray[Any, Any]
_VARIES = 1e-3


def variance_ratio(real_MG: Array, generated_NG: Array, least: float = _VARIES) -> float:
    """Median over genes of var_generated / var_real; NaN where no gene varies.

    Args:
        real_MG: at least two cells.
        generated_NG: at least two cells.
        least: real variance of the genes that count.
    """
    real_G, generated_G = (np.var(each, axis=0, ddof=1, dtype=np.float64) for each in (real_MG, generated_NG))
    kept = real_G > least
    return float(np.median(generated_G[kept] / real_G[kept])) if kept.any() else float("nan")


def zero_share_error(real_MG: Array, generated_NG: Array) -> float:
    """Mean over genes of the difference in size between shares of cells in which nothing is expressed.

    Args:
        real_MG: expression, 0 where nothing was counted.
        generated_NG: the same; what is below 0 counts as 0.
    """
    return float(np.abs((real_MG <= 0).mean(axis=0) - (generated_NG <= 0).mean(axis=0)).mean())


def size_distance(real_M: Array, generated_N: Array) -> float:
    """Largest difference of the distribution functions of one number a cell (Kolmogorov & Smirnov).

    Args:
        real_M: such as ``library`` or ``genes_detected`` of at least one cell.
        generated_N: the same of at least one cell.
    """
    steps = np.concatenate([real_M, generated_N])
    real, generated = (np.searchsorted(np.sort(each), steps, "right") / len(each) for each in (real_M, generated_N))
    return float(np.abs(real - generated).max())


def library(cells_NG: Array) -> Array:
    """(N,) molecules of each cell: the sum of its counts."""
    return np.asarray(cells_NG.sum(axis=1, dtype=np.float64))


def genes_detected(cells_NG: Array) -> Array:
    """(N,) how many genes of each cell are above 0."""
    return np.asarray((cells_NG > 0).sum(axis=1))


def correlation_error(real_MG: Array, generated_NG: Array, most: int = 100) -> float:
    """Root mean square difference of the correlations of two genes, over pairs of the genes that vary most.

    A gene that does not vary among the samples correlates with none.

    Args:
        real_MG: at least three cells.
        generated_NG: at least three cells.
        most: K.

    Returns:
        NaN where fewer than two genes vary.
    """
    variance_G = np.var(real_MG, axis=0, dtype=np.float64)
    kept = np.argsort(-variance_G, kind="stable")[:most]
    kept = kept[variance_G[kept] > 0]
    if len(kept) < 2:
        return float("nan")
    apart = _correlations(real_MG[:, kept]) - _correlations(generated_NG[:, kept])
    np.fill_diagonal(apart, 0.0)
    return float(np.linalg.norm(apart) / np.sqrt(len(kept) * (len(kept) - 1)))


def wasserstein(real_MK: Array, generated_NK: Array, most: int = 500) -> float:
    """Exact W2 of as many cells of either side, evenly spread.

    Args:
        real_MK: at least one cell.
        generated_NK: at least one cell.
        most: cells on a side.
    """
    count = min(len(real_MK), len(generated_NK), most)
    real, generated = (each[np.arange(count) * len(each) // count] for each in (real_MK, generated_NK))
    cost = np.concatenate([rows for _, rows in squared_distances(real, generated)])
    return float(np.sqrt(cost[linear_sum_assignment(cost)].mean()))


class Components:
    """The first principal components of real cells, unscaled.

    Args:
        real_MG: cells, evenly thinned to 2,000.
        count: how many components.
    """

    def __init__(self, real_MG: Array, count: int = 32) -> None:
        chosen = np.asarray(real_MG[list(evenly(real_MG, 2000))], dtype=np.float64)
        self.mean_G = chosen.mean(axis=0)
        self.axes_KG = np.linalg.svd(chosen - self.mean_G, full_matrices=False)[2][:count]

    def __call__(self, cells_NG: Array) -> Array:
        """(N, K) scores of cells."""
        return np.asarray((np.asarray(cells_NG, dtype=np.float64) - self.mean_G) @ self.axes_KG.T)


def _correlations(cells_NK: Array) -> Array:
    centred = np.asarray(cells_NK, dtype=np.float64) - cells_NK.mean(axis=0, dtype=np.float64)
    size = np.linalg.norm(centred, axis=0)
    scaled = np.divide(centred, size, out=np.zeros_like(centred), where=size > 1e-9)
    return np.asarray(scaled.T @ scaled)
