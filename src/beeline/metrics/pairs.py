"""Two-sample statistics that are means of a function of pairs, unbiased, with their jackknife interval.

    D = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j)

No item is paired with itself (a U-statistic), so the mean of D is its value on infinitely many samples whatever their
number: 0 where the distributions are equal, hence sometimes negative. The squared maximum mean discrepancies are of
this form, and so is the energy distance, with k(x, y) = -|x - y|.

Leaving out the items u changes the sums by their rows: with r_i = sum over j != i of k(x_i, x_j),
S' = S - 2 sum over u of r_i + (the sum over pairs within u), so that an interval costs no second pass.

Sources: Gretton et al. 2012, "A kernel two-sample test", equation 3; Szekely & Rizzo 2013, "Energy statistics";
Arvesen 1969, "Jackknifing U-statistics".

Shapes: M real samples, N generated samples, D numbers a sample, G groups, R rows of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.metrics.intervals import Estimate, jackknife

Array = np.ndarray[Any, Any]
Kernel = Callable[[Array, Array], Iterator[tuple[slice, Array]]]
"""Of two sets: blocks of rows of the first, and their values of k with all of the second."""


class PairDiscrepancy:
    """D of samples against a real set, whose own sums are computed once.

    Items of a group (a simulation, a donor, a month) are left out together, since they are not independent; the value
    itself takes all pairs.

    Args:
        real_MD: at least 3 samples.
        kernel: k.
        group_M: which group each belongs to; each its own when None.
        centre_D: subtracted from the samples of both sets, where k does not depend on it; None for nothing.

    Raises:
        ValueError: there are fewer samples.
    """

    def __init__(
        self, real_MD: Array, kernel: Kernel, group_M: Array | None = None, centre_D: Array | None = None
    ) -> None:
        self._centre_D = centre_D
        real_MD = self._centred(real_MD)
        self.real_MD = real_MD
        self._kernel = kernel
        self._real = _within(real_MD, kernel, group_M)

    def __call__(self, generated_ND: Array, interval: bool = False, group_N: Array | None = None) -> Estimate:
        """D.

        Args:
            generated_ND: at least 3 samples.
            interval: whether to leave out every item (or group) of either set in turn, for an interval of both.
            group_N: which group each sample belongs to; each its own when None.

        Raises:
            ValueError: there are fewer samples.
        """
        generated_ND = self._centred(generated_ND)
        generated, real = _within(generated_ND, self._kernel, group_N), self._real
        cross_N, cross_M = np.empty(len(generated_ND)), np.zeros(len(self.real_MD))
        for rows, values in self._kernel(generated_ND, self.real_MD):
            cross_N[rows] = values.sum(axis=1)
            cross_M += values.sum(axis=0)
        m, n, across = len(self.real_MD), len(generated_ND), cross_N.sum()

        def combined(of_real: Any, of_generated: Any, both: Any, m: Any, n: Any) -> Any:
            return of_real / (m * (m - 1)) + of_generated / (n * (n - 1)) - 2.0 * both / (m * n)

        value = float(combined(real.total, generated.total, across, m, n))
        if not interval or min(len(real.counts), len(generated.counts)) < 2:
            return Estimate(value)
        kept_m, kept_n = m - real.counts, n - generated.counts
        if min(kept_m.min(), kept_n.min()) < 2:
            return Estimate(value)
        without_real = combined(real.without, generated.total, across - real.of_groups(cross_M), kept_m, n)
        without_generated = combined(real.total, generated.without, across - generated.of_groups(cross_N), m, kept_n)
        return jackknife(value, [without_real, without_generated])

    def _centred(self, samples_ND: Array) -> Array:
        if self._centre_D is None:
            return samples_ND
        return np.asarray(samples_ND, dtype=np.float64) - self._centre_D


@dataclass(frozen=True)
class _Sums:
    """Of k over the pairs of one set: of all, and without each group."""

    total: float
    without: Array
    counts: Array
    code: Array

    def of_groups(self, values: Array) -> Array:
        """Sums of one value an item over the items of each group."""
        return np.bincount(self.code, weights=values)


def _within(samples_ND: Array, kernel: Kernel, group_N: Array | None) -> _Sums:
    count = len(samples_ND)
    if count < 3:
        raise ValueError("means over pairs need at least 3 samples")
    code = np.arange(count) if group_N is None else np.unique(group_N, return_inverse=True)[1]
    of_rows, inside_N = np.empty(count), np.zeros(count)
    for rows, values in kernel(samples_ND, samples_ND):
        values[np.arange(len(values)), np.arange(rows.start, rows.stop)] = 0.0
        of_rows[rows] = values.sum(axis=1)
        if group_N is not None:
            inside_N[rows] = np.where(code[rows, None] == code, values, 0.0).sum(axis=1)
    sums = np.bincount(code, weights=inside_N) - 2.0 * np.bincount(code, weights=of_rows)
    total = float(of_rows.sum())
    return _Sums(total, total + sums, np.bincount(code), code)
