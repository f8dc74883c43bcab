"""How far fields lie from the truth, element by element or in sum, in physical units.

relative-l2-1        sqrt(sum (x - y)^2 / sum y^2) over the grid
mean-squared-error   mean (x - y)^2 over the grid; its root is taken after the mean over examples
total-1              sum of x over the grid times the volume of a cell (a mass, a flux), or its mean
ks-1                 sup |F_x - F_y| over values of the two sets of elements: the pdf of single pixels
w1                   int |Q_x - Q_y| du, as in ``sliced``, in the units of the field

Sources: Li et al. 2021, "Fourier neural operator", section 5 (relative L2); Kolmogorov 1933, Smirnov 1948.

A NaN makes the value of its example and channel NaN; masks name what is left out.

Shapes: N examples, grid axes, C channels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from beeline.metrics.reduction import masked_mean

Array = np.ndarray[Any, Any]


def mean_squared_error(generated: Array, real: Array, mask: Array | None = None) -> Array:
    """Mean over the grid of (x - y)^2.

    Args:
        generated: (N, grid axes, C); for the error of an ensemble's mean, the mean over its draws.
        real: the same shape.
        mask: True where an element counts, of a shape that broadcasts; None keeps all.

    Returns:
        (N, C), in squared units; ``reduction.root_mean`` brings it to a root mean square.

    Raises:
        ValueError: the shapes differ.
    """
    return masked_mean(np.square(_difference(generated, real)), mask, _grid_axes(real))


def relative_l2(generated: Array, real: Array, mask: Array | None = None) -> Array:
    """|x - y| / |y|, both over the grid.

    Args:
        generated: (N, grid axes, C).
        real: the same shape.
        mask: True where an element counts, of a shape that broadcasts; None keeps all.

    Returns:
        (N, C), without unit; NaN where the real field is zero everywhere.

    Raises:
        ValueError: the shapes differ.
    """
    error = mean_squared_error(generated, real, mask)
    size = masked_mean(np.square(np.asarray(real, dtype=np.float64)), mask, _grid_axes(real))
    return np.sqrt(np.divide(error, size, out=np.full(error.shape, np.nan), where=size != 0))


def totals(fields: Array, cell: float = 1.0, how: Literal["sum", "mean"] = "sum") -> Array:
    """Sum of a field over its grid times the volume of a cell, or its mean.

    Args:
        fields: (N, grid axes, C), in physical units: the sum of a normalised field is no mass.
        cell: length, area or volume of a cell, for the sum.
        how: sum or mean.

    Returns:
        (N, C).
    """
    fields = np.asarray(fields, dtype=np.float64)
    return fields.mean(axis=_grid_axes(fields)) if how == "mean" else cell * fields.sum(axis=_grid_axes(fields))


def total_departure(generated_NC: Array, real_NC: Array, relative: bool = True) -> tuple[Array, Array]:
    """Mean and scatter (standard deviation, divisor N - 1) over examples of the difference of totals.

    Args:
        generated_NC: totals of samples.
        real_NC: totals of the true fields of the same inputs.
        relative: whether each difference is divided by the true total; for a field of both signs it should not be.

    Returns:
        (C,) means and (C,) scatters.

    Raises:
        ValueError: there are fewer than 2 examples, or a true total is 0 and the departure relative.
    """
    if len(real_NC) < 2:
        raise ValueError("a scatter needs at least 2 examples")
    if relative and (np.asarray(real_NC) == 0).any():
        raise ValueError("a true total is 0: take differences instead of relative ones")
    difference = np.asarray(generated_NC, dtype=np.float64) - real_NC
    difference = difference / real_NC if relative else difference
    return difference.mean(axis=0), difference.std(axis=0, ddof=1)


def rescaled_to_totals(fields: Array, wanted_NC: Array) -> Array:
    """Fields times a factor each, so that their totals are the wanted ones: never done unless asked for.

    It erases the very error that ``total_departure`` measures, and is wrong where totals truly change (matter that
    leaves a box): numbers with and without it stand side by side.

    Args:
        fields: (N, grid axes, C).
        wanted_NC: sums over the grid.

    Raises:
        ValueError: the total of a field is 0.
    """
    own_NC = totals(fields)
    if (own_NC == 0).any():
        raise ValueError("a field whose total is 0 cannot be scaled to another")
    factor_NC = wanted_NC / own_NC
    return fields * factor_NC.reshape(len(fields), *(1,) * len(_grid_axes(fields)), -1)


def kolmogorov_smirnov(one_M: Array, other_N: Array) -> float:
    """Largest difference of the distribution functions of two sets of numbers, from 0 to 1.

    Args:
        one_M: numbers, such as all pixels of a channel; NaN among them gives NaN.
        other_N: numbers.

    Raises:
        ValueError: a set is empty.
    """
    one, other = (np.sort(np.asarray(each, dtype=np.float64).ravel()) for each in (one_M, other_N))
    if not len(one) or not len(other):
        raise ValueError("a Kolmogorov-Smirnov distance needs a number on either side")
    if np.isnan(one[-1]) or np.isnan(other[-1]):  # sorted last
        return float("nan")
    both = np.concatenate([one, other])
    shares = [np.searchsorted(each, both, side="right") / len(each) for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


class Pooled:
    """Values of two sets of cells, in order once; of inputs that count as often as a bootstrap draws them.

    Attributes:
        cells_N: how many places of each input count.

    Args:
        one: (N, P) values of each input.
        other: (N, P), no less and no more: each input then weighs the same in both.
        mask: (N, P) True where a place counts, in both; None keeps all.
    """

    def __init__(self, one: Array, other: Array, mask: Array | None = None) -> None:
        kept = np.ones(one.shape, dtype=bool) if mask is None else mask
        values = np.concatenate([np.asarray(each, dtype=np.float64)[kept] for each in (one, other)])
        order = np.argsort(values)
        values = values[order]
        owner, size = np.nonzero(kept)[0].astype(np.int32), len(values) // 2
        self._input = owner[order % max(1, size)]
        self._sign = np.where(order < size, 1.0, -1.0)
        self._step = np.diff(values)
        self.cells_N = kept.sum(axis=1)
        self._known = len(values) > 0 and not np.isnan(values).any()

    def kolmogorov_smirnov(self, weight_N: Array) -> float:
        """Largest difference of the two distribution functions; NaN where a value is, and where there is none.

        Args:
            weight_N: how often each input counts.
        """
        apart = np.abs(self._apart(weight_N))[self._step > 0]  # equal values step together
        return float(apart.max(initial=0.0)) if self._known else float("nan")

    def wasserstein(self, weight_N: Array) -> float:
        """W_1, the integral of that difference, in the units of the values.

        Args:
            weight_N: how often each input counts.
        """
        return float(np.abs(self._apart(weight_N)) @ self._step) if self._known else float("nan")

    def _apart(self, weight_N: Array) -> Array:
        """F_one - F_other from each value to the next."""
        steps = np.asarray(weight_N, dtype=np.float64)[self._input] * self._sign
        return np.asarray(np.cumsum(steps)[:-1] / (weight_N @ self.cells_N))


def _difference(generated: Array, real: Array) -> Array:
    if generated.shape != real.shape:
        raise ValueError(f"fields of shapes {generated.shape} and {real.shape} cannot be compared element by element")
    return np.asarray(generated, dtype=np.float64) - real


def _grid_axes(fields: Array) -> tuple[int, ...]:
    return tuple(range(1, fields.ndim - 1))
