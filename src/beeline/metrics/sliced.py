"""Sliced Wasserstein distance (id ``sliced-wasserstein2-1``), and the Wasserstein distance of one number.

    W_p^p = int_0^1 |Q_x(u) - Q_y(u)|^p du,      SW_2^2 = mean over unit directions a of W_2^2(a.x, a.y)

Q are the empirical quantile functions: step functions, whose integral is exact for sets of any two sizes. Sources:
Villani 2003, "Topics in optimal transportation", theorem 2.18; Bonneel et al. 2015, "Sliced and Radon Wasserstein
barycenters of measures", section 3. Directions come in random orthonormal bases (Rowland et al. 2019, "Orthogonal
estimation of Wasserstein distances"): of a shift by m, W_2^2(a.x, a.y) = (a.m)^2 then has the mean |m|^2 / D exactly
over every whole basis. The value of finite samples is biased upwards: compare at equal n only.

Shapes: M real samples, N generated samples, D numbers a sample, A directions, S steps of both quantile functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from beeline.metrics.intervals import Estimate, group_of, groups_of_answers, jackknife

Array = np.ndarray[Any, Any]
_AT_ONCE = 16


def wasserstein(one_M: Array, other_N: Array, order: int = 1) -> float:
    """W_p between two sets of one number each, in the units of the number.

    Args:
        one_M: numbers; NaN among them gives NaN.
        other_N: numbers.
        order: p, at least 1.

    Raises:
        ValueError: a set is empty.
    """
    if not len(one_M) or not len(other_N):
        raise ValueError("a Wasserstein distance needs a number on either side")
    sorted_one, sorted_other = (np.sort(np.asarray(each, dtype=np.float64)) for each in (one_M, other_N))
    place_one, place_other, width = _steps(len(one_M), len(other_N))
    return float((width @ np.abs(sorted_one[place_one] - sorted_other[place_other]) ** order) ** (1 / order))


def directions(numbers: int, count: int, seed: int) -> Array:
    """(D, A) unit vectors, uniform on the sphere, orthogonal to each other within every D of them.

    Args:
        numbers: D.
        count: A.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    bases = []
    for start in range(0, count, numbers):
        basis, upper = np.linalg.qr(random.normal(size=(numbers, min(numbers, count - start))))
        bases.append(basis * np.sign(np.diagonal(upper)))  # else the signs are those of an algorithm, not of chance
    return np.concatenate(bases, axis=1)


def sliced_wasserstein(
    real_MD: Array,
    generated_ND: Array,
    seed: int = 0,
    count: int = 128,
    interval: bool = False,
    group_M: Array | None = None,
    group_N: Array | None = None,
) -> Estimate:
    """SW_2, the root of the mean over directions, in the units of the numbers.

    Args:
        real_MD: samples.
        generated_ND: samples.
        seed: of the directions.
        count: how many directions; below D they see a part of the space.
        interval: whether to leave out a twentieth of either set in turn, for an interval of both.
        group_M: number of the group that each real sample belongs to, left out whole; each its own when None.
        group_N: number of the group of real samples that each sample answers (its place, where each is its own), left
            out with it; None where samples answer none.

    Raises:
        ValueError: a set is empty.
    """
    if not len(real_MD) or not len(generated_ND):
        raise ValueError("a sliced Wasserstein distance needs a sample on either side")
    along_DA = directions(real_MD.shape[1], count, seed)
    sets = [np.asarray(each, dtype=np.float64) @ along_DA for each in (real_MD, generated_ND)]
    orders = [np.argsort(each, axis=0) for each in sets]
    real_MA, generated_NA = (np.take_along_axis(*each, axis=0) for each in zip(sets, orders, strict=True))
    value = math.sqrt(_mean_square(real_MA, generated_NA))
    own = group_of(len(real_MA), group_M)
    other = group_of(len(generated_NA)) if group_N is None else groups_of_answers(group_M, own, group_N)
    if not interval or min(len(np.unique(each)) for each in (own, other)) < 2:
        return Estimate(value)
    parts = _without_each(real_MA, own[orders[0]], int(own.max()) + 1)
    others = _without_each(generated_NA, other[orders[1]], int((own if group_N is not None else other).max()) + 1)
    if group_N is not None:
        without = [_mean_square(*both) for both in zip(parts, others, strict=True)]
        return jackknife(value, [np.sqrt(without)], low=0.0)
    without_real = [_mean_square(part, generated_NA) for part in parts]
    without_generated = [_mean_square(real_MA, part) for part in others]
    return jackknife(value, [np.sqrt(without_real), np.sqrt(without_generated)], low=0.0)


def _mean_square(one_MA: Array, other_NA: Array) -> float:
    """Mean over directions of W_2^2, both sets in order."""
    place_one, place_other, width_S = _steps(len(one_MA), len(other_NA))
    total = 0.0
    for start in range(0, one_MA.shape[1], _AT_ONCE):
        few = slice(start, start + _AT_ONCE)
        total += float((width_S @ np.square(one_MA[place_one, few] - other_NA[place_other, few])).sum())
    return total / one_MA.shape[1]


def _without_each(sorted_NA: Array, group_NA: Array, groups: int) -> list[Array]:
    """What is left in order when each group is left out: no second sort."""
    directions_ = sorted_NA.shape[1]
    return [sorted_NA.T[(group_NA != group).T].reshape(directions_, -1).T for group in range(groups)]


def _steps(m: int, n: int) -> tuple[Array, Array, Array]:
    """Where both quantile functions are constant: places in either sorted set, and the width of the step.

    In whole numbers, since i/m and j/n that are equal must not become two steps by rounding: u = step / (m n).
    """
    ends = np.union1d(np.arange(1, m + 1, dtype=np.int64) * n, np.arange(1, n + 1, dtype=np.int64) * m)
    starts = np.concatenate([[0], ends[:-1]])
    return starts // n, starts // m, (ends - starts) / (m * n)
