"""Unbiased squared maximum mean discrepancy with a Gaussian kernel (id ``mmd2-gaussian-median-1``).

    k(x, y) = exp(-|x - y|^2 / (2 s^2)),   s = median of |x - x'| over pairs of the real set
    MMD^2 = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j)

Source: Gretton et al. 2012, "A kernel two-sample test", equation 3 (U-statistic) and section 8 (median heuristic).
Its mean is 0 where the distributions are equal, so it can be negative. The bandwidth comes from the real set alone:
values of different models can be compared.

Shapes: M real samples, N generated samples, D numbers a sample.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from beeline.metrics.distances import squared_distances
from beeline.metrics.intervals import Estimate, jackknife

Array = np.ndarray[Any, Any]
_MOST_FOR_MEDIAN = 1000


def median_bandwidth(real_MD: Array) -> float:
    """Median distance between pairs of at most 1,000 evenly spread real samples.

    Raises:
        ValueError: there is no pair, or most pairs are equal.
    """
    chosen_MD = real_MD[:: -(-len(real_MD) // _MOST_FOR_MEDIAN)]
    if len(chosen_MD) < 2:
        raise ValueError("a median distance needs at least 2 samples")
    squared = np.concatenate([rows for _, rows in squared_distances(chosen_MD, chosen_MD)])
    median = math.sqrt(np.median(squared[np.triu_indices(len(chosen_MD), 1)]))
    if median == 0:
        raise ValueError("most pairs of real samples are equal: there is no bandwidth")
    return median


class KernelDiscrepancy:
    """MMD^2 of samples against a real set, whose kernel sums are computed once.

    Args:
        real_MD: at least 3 samples.
        bandwidth: s; the median distance when None.

    Raises:
        ValueError: there are fewer samples, or no bandwidth.
    """

    def __init__(self, real_MD: Array, bandwidth: float | None = None) -> None:
        _enough(real_MD)
        self.real_MD = real_MD
        self.bandwidth = median_bandwidth(real_MD) if bandwidth is None else bandwidth
        self._real_M = self._sums(real_MD, real_MD)[0] - 1.0

    def __call__(self, generated_ND: Array, interval: bool = False) -> Estimate:
        """MMD^2.

        Args:
            generated_ND: at least 3 samples.
            interval: whether to leave out every sample of either set in turn, for an interval of both.

        Raises:
            ValueError: there are fewer samples.
        """
        _enough(generated_ND)
        generated_N = self._sums(generated_ND, generated_ND)[0] - 1.0
        cross_N, cross_M = self._sums(generated_ND, self.real_MD)
        within_real, within_generated, across = self._real_M.sum(), generated_N.sum(), cross_N.sum()
        m, n = len(self.real_MD), len(generated_ND)

        def combined(real: Any, generated: Any, both: Any, m: int, n: int) -> Any:
            return real / (m * (m - 1)) + generated / (n * (n - 1)) - 2.0 * both / (m * n)

        value = float(combined(within_real, within_generated, across, m, n))
        if not interval:
            return Estimate(value)
        without_real = combined(within_real - 2 * self._real_M, within_generated, across - cross_M, m - 1, n)
        without_generated = combined(within_real, within_generated - 2 * generated_N, across - cross_N, m, n - 1)
        return jackknife(value, [without_real, without_generated])

    def _sums(self, one_ND: Array, other_MD: Array) -> tuple[Array, Array]:
        """Sums of the kernel over rows and over columns."""
        of_rows, of_columns = np.empty(len(one_ND)), np.zeros(len(other_MD))
        for rows, squared in squared_distances(one_ND, other_MD):
            kernel = np.exp(squared / (-2.0 * self.bandwidth**2), out=squared)
            of_rows[rows] = kernel.sum(axis=1)
            of_columns += kernel.sum(axis=0)
        return of_rows, of_columns


def _enough(samples: Array) -> None:
    if len(samples) < 3:
        raise ValueError("MMD needs at least 3 samples")
