"""Unbiased squared maximum mean discrepancy, with a Gaussian and with a cubic kernel.

    MMD^2 = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j)

mmd2-gaussian-median-2    k(x, y) = exp(-|x - y|^2 / (2 s^2)),   s = median of |x - x'| over pairs of the real set
mmd2-cubic-2              k(x, y) = (x.y / D + 1)^3

Sources: Gretton et al. 2012, "A kernel two-sample test", equation 3 (U-statistic) and section 8 (median heuristic);
Binkowski et al. 2018, "Demystifying MMD GANs", section 4, who take the cubic kernel between Inception features and
call it KID. It is named after its features here, and taken over all pairs, where they average over blocks of 1,000
samples: both have the same mean. The cubic kernel compares moments up to the third and depends on where zero is.
The mean of either is 0 where the distributions are equal, so it can be negative. The bandwidth comes from the real set
alone: values of different models can be compared.

Shapes: M real samples, N generated samples, D numbers a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from beeline.metrics.distances import inner_products, squared_distances
from beeline.metrics.pairs import PairDiscrepancy

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


class KernelDiscrepancy(PairDiscrepancy):
    """MMD^2 with a Gaussian kernel, of samples against a real set, whose kernel sums are computed once.

    Args:
        real_MD: at least 3 samples.
        bandwidth: s; the median distance when None.
        group_M: which group each belongs to, for the interval; each its own when None.

    Raises:
        ValueError: there are fewer samples, or no bandwidth.
    """

    def __init__(self, real_MD: Array, bandwidth: float | None = None, group_M: Array | None = None) -> None:
        self.bandwidth = median_bandwidth(real_MD) if bandwidth is None else bandwidth
        super().__init__(real_MD, self._gaussian, group_M)

    def _gaussian(self, one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
        for rows, squared in squared_distances(one_ND, other_MD):
            squared /= -2.0 * self.bandwidth**2
            yield rows, np.exp(squared, out=squared)


class CubicDiscrepancy(PairDiscrepancy):
    """MMD^2 with the kernel (x.y / D + 1)^3, of samples against a real set, over all pairs.

    Args:
        real_MD: at least 3 samples.
        group_M: which group each belongs to, for the interval; each its own when None.

    Raises:
        ValueError: there are fewer samples.
    """

    def __init__(self, real_MD: Array, group_M: Array | None = None) -> None:
        super().__init__(real_MD, _cubic, group_M)


def _cubic(one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
    for rows, products in inner_products(one_ND, other_MD):
        products /= one_ND.shape[1]
        products += 1.0
        yield rows, products * products * products
