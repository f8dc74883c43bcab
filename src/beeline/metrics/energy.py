"""Energy distance, and the squared one that sees the mean alone.

energy-euclidean-2    E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,   0 only where the distributions are equal
energy-squared-1      2 |mean X - mean Y|^2: the same three means of |.|^2 instead of |.|

Source: Szekely & Rizzo 2013, "Energy statistics", section 2; only exponents below 2 tell distributions apart. With
the square everything but the means cancels: a cloud of twice the spread scores 0, and one repeated point at the true
mean is perfect. It is offered under a name of its own, to compare with numbers that others call "E-distance".

The Euclidean one is a U-statistic: pairs are of different samples, its mean is 0 where the distributions are equal,
and it can be negative. The squared one is that of the sample means: finite samples raise it by 2 tr C / n of either.

Shapes: M real samples, N generated samples, D numbers a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from beeline.metrics.distances import squared_distances
from beeline.metrics.pairs import PairDiscrepancy

Array = np.ndarray[Any, Any]


class EnergyDistance(PairDiscrepancy):
    """Unbiased Euclidean energy distance of samples from a real set, in the units of the numbers.

    Args:
        real_MD: at least 3 samples.
        group_M: which group each belongs to, for the interval; each its own when None.

    Raises:
        ValueError: there are fewer samples.
    """

    def __init__(self, real_MD: Array, group_M: Array | None = None) -> None:
        # Distances do not change, and numbers far from zero (pressures of 1e5) lose no digits in |x|^2.
        centre_D = np.asarray(real_MD, dtype=np.float64).mean(axis=0)
        super().__init__(real_MD, _minus_distances, group_M, centre_D)


def squared_energy_distance(real_MD: Array, generated_ND: Array) -> float:
    """2 |mean x - mean y|^2: sees the mean alone, in squared units.

    Args:
        real_MD: samples.
        generated_ND: samples.
    """
    real_D, generated_D = (np.asarray(each, dtype=np.float64).mean(axis=0) for each in (real_MD, generated_ND))
    return 2.0 * float(np.square(real_D - generated_D).sum())


def _minus_distances(one_ND: Array, other_MD: Array) -> Iterator[tuple[slice, Array]]:
    for rows, squared in squared_distances(one_ND, other_MD):
        yield rows, np.negative(np.sqrt(squared, out=squared), out=squared)
