"""Proper scores of an ensemble of m draws against what was observed, fair to small ensembles.

crps-fair-1     1/m sum_i |x_i - y| - 1/(2 m (m - 1)) sum_ij |x_i - x_j|           one value an element, its units
crps-biased-1   the same with m^2 instead of m (m - 1): the CRPS of the step function of the m draws
energy-score-fair-1   1/m sum_i ||x_i - y|| - 1/(2 m (m - 1)) sum_ij ||x_i - x_j||   one value an example

Both fair scores have the mean E|X - y| - 1/2 E|X - X'| whatever m is: the score of the distribution that the draws
come from. The biased one adds E|X - X'| / (2 m) to it, so that of two models with the same distribution the one with
more draws looks better; it is there to compare with others' numbers alone. All are lower for better, and best in the
mean for draws from the distribution of the observation. A fair score of few draws can be negative.

Sources: Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", equations 21 and 22;
Ferro 2014, "Fair scores for ensemble forecasts", section 4; Zamo & Naveau 2018, section 3.

A NaN makes the score of its element (energy score: of its example) NaN; masks name what is left out.

Shapes: N examples, m draws, ... elements of an example.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def fair_crps(members: Array, observed: Array) -> Array:
    """Fair continuous ranked probability score of every element.

    Args:
        members: (N, m, ...) draws, m at least 2.
        observed: (N, ...).

    Returns:
        (N, ...) float64.

    Raises:
        ValueError: shapes do not fit, or there is one draw: its score is the absolute error of a point forecast.
    """
    check_ensemble(members, observed, least=2)
    return _crps(members, observed, members.shape[1] * (members.shape[1] - 1))


def biased_crps(members: Array, observed: Array) -> Array:
    """CRPS of the step function of the draws: too high by E|X - X'| / (2 m); of one draw the absolute error.

    Args:
        members: (N, m, ...) draws.
        observed: (N, ...).

    Returns:
        (N, ...) float64.

    Raises:
        ValueError: shapes do not fit.
    """
    check_ensemble(members, observed)
    return _crps(members, observed, members.shape[1] ** 2)


def fair_energy_score(members: Array, observed: Array, mask: Array | None = None) -> Array:
    """Fair energy score of every example: the CRPS of vectors, which sees how elements depend on each other.

    Elements of different units must be brought to one before.

    Args:
        members: (N, m, ...) draws, m at least 2.
        observed: (N, ...).
        mask: True where an element counts, of a shape that broadcasts to that of the observed; None keeps all.

    Returns:
        (N,) float64, in the units of the elements; it grows with the root of their number.

    Raises:
        ValueError: shapes do not fit, or there is one draw.
    """
    from scipy.spatial.distance import pdist

    check_ensemble(members, observed, least=2)
    m, kept = members.shape[1], None if mask is None else np.broadcast_to(mask, observed.shape)
    scores = np.empty(len(observed))
    for index in range(len(observed)):
        apart = np.asarray(members[index], dtype=np.float64) - observed[index]
        rows = apart.reshape(m, -1) if kept is None else apart[:, kept[index]]
        scores[index] = np.linalg.norm(rows, axis=1).mean() - pdist(rows).sum() / (m * (m - 1))
    return scores


def check_ensemble(members: Array, observed: Array, least: int = 1) -> None:
    """Whether draws and observations fit.

    Args:
        members: (N, m, ...).
        observed: (N, ...).
        least: how many draws are needed.

    Raises:
        ValueError: they do not, with both shapes.
    """
    fits = members.ndim >= 2 and (members.shape[0], *members.shape[2:]) == observed.shape
    if not fits:
        raise ValueError(
            f"draws of shape {members.shape} do not fit observations of shape {observed.shape}: draws are (N, m, ...), "
            "observations (N, ...)"
        )
    if members.shape[1] < least:
        raise ValueError(f"an ensemble of {members.shape[1]} draws is too small: this needs at least {least} per input")


def _crps(members: Array, observed: Array, pairs: int) -> Array:
    """sum_ij |x_i - x_j| / 2 = sum_k (2 k - m - 1) x_(k) over the draws in order, k = 1 ... m: no pairs are formed."""
    m = members.shape[1]
    apart = np.asarray(members, dtype=np.float64) - np.expand_dims(np.asarray(observed, dtype=np.float64), 1)
    error = np.abs(apart).mean(axis=1)
    apart.sort(axis=1)
    return error - np.tensordot(apart, 2.0 * np.arange(1, m + 1) - m - 1, axes=(1, 0)) / pairs
