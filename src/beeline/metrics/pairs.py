"""Two-sample statistics that are means of a function of pairs, unbiased, with their jackknife interval.

    D = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j)

No item is paired with itself (a U-statistic), so the mean of D is its value on infinitely many samples whatever their
number: 0 where the distributions are equal, hence sometimes negative. Samples that answer the input of a real example
are no independent draws beside it and beside each other: pairs of one input are left out of all three means, else D of
a perfect model lies below 0, and that of one which answers with means lower still. The squared maximum mean
discrepancies are of this form, and so is the energy distance, with k(x, y) = -|x - y|.

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

from beeline.metrics.intervals import Estimate, groups_of_answers, jackknife

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
        own = np.arange(len(real_MD)) if group_M is None else np.asarray(group_M)
        self._names, code_M = np.unique(own, return_inverse=True)
        self._real = _within(real_MD, kernel, code_M)

    def __call__(
        self,
        generated_ND: Array,
        interval: bool = False,
        group_N: Array | None = None,
        answered_N: Array | None = None,
    ) -> Estimate:
        """D.

        Args:
            generated_ND: at least 3 samples.
            interval: whether to leave out every item (or group) of either set in turn, for an interval of both.
            group_N: number of the group of real samples that each sample answers (its place, where each is its own),
                left out with it; None where samples answer none, and each is left out by itself.
            answered_N: place among the real samples of the one whose input each answers; None where they answer none.

        Raises:
            ValueError: there are fewer samples, or all answer one input.
        """
        generated_ND = self._centred(generated_ND)
        real, code_N = self._real, np.arange(len(generated_ND))
        if group_N is not None:
            code_N = groups_of_answers(self._names, np.arange(len(self._names)), group_N)
        groups = len(code_N) if group_N is None else len(self._names)
        generated = _within(generated_ND, self._kernel, code_N, answered_N, groups)
        across = _across(generated_ND, self.real_MD, self._kernel, (code_N, real.code), group_N is not None, answered_N)

        def combined(of_real: _Sums | _Total, of_generated: _Sums | _Total, both: _Total) -> Any:
            return of_real.sum / of_real.pairs + of_generated.sum / of_generated.pairs - 2.0 * both.sum / both.pairs

        if generated.pairs == 0 or across.all.pairs == 0:
            raise ValueError("means over pairs need samples that answer two inputs or more")
        value = float(combined(real, generated, across.all))
        if not interval or min(len(np.unique(each.code)) for each in (real, generated)) < 2:
            return Estimate(value)
        left = [real.without.pairs, generated.without.pairs, across.without_real.pairs, across.without_generated.pairs]
        if min(each.min() for each in left) < 1:
            return Estimate(value)
        if across.without_both is not None:
            return jackknife(value, [combined(real.without, generated.without, across.without_both)])
        without_real = combined(real.without, generated, across.without_real)
        without_generated = combined(real, generated.without, across.without_generated)
        return jackknife(value, [without_real, without_generated])

    def _centred(self, samples_ND: Array) -> Array:
        if self._centre_D is None:
            return samples_ND
        return np.asarray(samples_ND, dtype=np.float64) - self._centre_D


@dataclass(frozen=True)
class _Total:
    """A sum of k over pairs, and their number; of each group's absence where they are arrays."""

    sum: Any
    pairs: Any


@dataclass(frozen=True)
class _Sums(_Total):
    """Of k over the pairs of one set: of all, and without each group."""

    without: _Total
    code: Array


@dataclass(frozen=True)
class _Across:
    """Of k over the pairs of two sets: of all, without each group of either, and without one of both."""

    all: _Total
    without_real: _Total
    without_generated: _Total
    without_both: _Total | None


def _within(
    samples_ND: Array, kernel: Kernel, code: Array, answered_N: Array | None = None, groups: int | None = None
) -> _Sums:
    count = len(samples_ND)
    if count < 3:
        raise ValueError("means over pairs need at least 3 samples")
    groups, repeated = int(code.max()) + 1 if groups is None else groups, len(np.unique(code)) < count
    same = np.arange(count) if answered_N is None else np.asarray(answered_N)
    of_rows, inside_N, pairs_N, pairs_inside_N = (np.zeros(count) for _ in range(4))
    for rows, values in kernel(samples_ND, samples_ND):
        kept = same[rows, None] != same
        values = np.where(kept, values, 0.0)
        of_rows[rows], pairs_N[rows] = values.sum(axis=1), kept.sum(axis=1)
        if repeated:
            within = code[rows, None] == code
            inside_N[rows] = np.where(within, values, 0.0).sum(axis=1)
            pairs_inside_N[rows] = (kept & within).sum(axis=1)
    sums, pairs = (
        np.bincount(code, weights=inside, minlength=groups) - 2.0 * np.bincount(code, weights=each, minlength=groups)
        for inside, each in ((inside_N, of_rows), (pairs_inside_N, pairs_N))
    )
    total = float(of_rows.sum())
    return _Sums(total, pairs_N.sum(), _Total(total + sums, pairs_N.sum() + pairs), code)


def _across(
    generated_ND: Array,
    real_MD: Array,
    kernel: Kernel,
    codes: tuple[Array, Array],
    is_shared: bool,
    answered_N: Array | None,
) -> _Across:
    code_N, code_M = codes
    n, m = len(generated_ND), len(real_MD)
    of_N, of_M = np.empty(n), np.zeros(m)
    pairs_N, pairs_M = np.full(n, float(m)), np.full(m, float(n))
    both_N, pairs_both_N = np.zeros(n), np.zeros(n)
    for rows, values in kernel(generated_ND, real_MD):
        if answered_N is not None:
            values[np.arange(len(values)), answered_N[rows]] = 0.0
        of_N[rows] = values.sum(axis=1)
        of_M += values.sum(axis=0)
        if is_shared:
            one = code_N[rows, None] == code_M
            if answered_N is not None:
                one[np.arange(len(values)), answered_N[rows]] = False
            both_N[rows], pairs_both_N[rows] = np.where(one, values, 0.0).sum(axis=1), one.sum(axis=1)
    if answered_N is not None:
        pairs_N -= 1.0
        pairs_M -= np.bincount(answered_N, minlength=m)
    whole = _Total(float(of_N.sum()), pairs_N.sum())

    groups = max(int(code_M.max()), int(code_N.max())) + 1 if is_shared else 0

    def without(code: Array, sums: Array, pairs: Array) -> _Total:
        left, fewer = (np.bincount(code, weights=each, minlength=groups) for each in (sums, pairs))
        return _Total(whole.sum - left, whole.pairs - fewer)

    real, generated = without(code_M, of_M, pairs_M), without(code_N, of_N, pairs_N)
    if not is_shared:
        return _Across(whole, real, generated, None)
    inside = without(code_N, both_N, pairs_both_N)
    sums = real.sum + generated.sum - inside.sum
    return _Across(whole, real, generated, _Total(sums, real.pairs + generated.pairs - inside.pairs))
