"""Whether an ensemble is as uncertain as it is wrong, exactly for every number of draws m.

If the observation y is one more draw from the distribution of the m members, then all m + 1 orders are equally
likely, and

rank         r = number of members below y               uniform on 0 ... m
PIT          (r + u) / (m + 1), u uniform on [0, 1)      uniform on [0, 1)
coverage     y < x_(k) has probability k / (m + 1);  x_(k) < y < x_(m + 1 - k) has (m + 1 - 2 k) / (m + 1)
spread/skill sqrt( (m + 1)/m  mean s^2 / mean (xbar - y)^2 ) = 1

with x_(k) the k-th member in order, s^2 the variance of members with divisor m - 1, and xbar their mean. The factor
(m + 1)/m is there because E (xbar - y)^2 = sigma^2 (1 + 1/m), while E s^2 = sigma^2. No level is interpolated between
ranks: an interval of m draws exists at the levels above and at no other. Members equal to y (zeros of a field of
rain) take a rank at random among theirs, else ties alone would look like bias.

Sources: Hamill 2001, "Interpretation of rank histograms"; Gneiting et al. 2007, "Probabilistic forecasts, calibration
and sharpness", section 3.1, and Czado et al. 2009 for the randomised PIT; Fortin et al. 2014, "Why should ensemble
spread match the RMSE of the ensemble mean?", equation 15.

A flat histogram is necessary and not sufficient: draws of the climate, blind to the input, have one too. Elements of
one example are not independent: intervals go over examples or groups.

A NaN among the members or the observation makes the value of its element NaN; masks name what is left out.

Shapes: N examples, m draws, ... elements of an example, S levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.metrics.scores import check_ensemble

Array = np.ndarray[Any, Any]


def ranks(members: Array, observed: Array, seed: int = 0) -> Array:
    """How many members lie below the observation; ties in random order.

    Args:
        members: (N, m, ...) draws.
        observed: (N, ...).
        seed: of the order of ties.

    Returns:
        (N, ...) float64: whole numbers 0 ... m, or NaN.

    Raises:
        ValueError: shapes do not fit.
    """
    check_ensemble(members, observed)
    below, equal = np.zeros(observed.shape), np.zeros(observed.shape)
    for member in range(members.shape[1]):
        below += members[:, member] < observed
        equal += members[:, member] == observed
    found = below + np.floor(np.random.default_rng(seed).random(observed.shape) * (equal + 1.0))
    found[np.isnan(observed) | np.isnan(members).any(axis=1)] = np.nan
    return found


def rank_histogram(found: Array, members: int, mask: Array | None = None) -> Array:
    """How often each rank occurs: flat for a calibrated ensemble, a U for too narrow ones, sloped for bias.

    Args:
        found: (N, ...) ranks.
        members: m.
        mask: True where an element counts, of a shape that broadcasts; None keeps all.

    Returns:
        (m + 1,) counts.

    Raises:
        ValueError: a rank that counts is NaN, or above m.
    """
    return np.bincount(_kept(found, members, mask), minlength=members + 1)


def probability_integral_transform(found: Array, members: int, seed: int = 0) -> Array:
    """(N, ...) randomised PIT of ranks, in [0, 1).

    Args:
        found: (N, ...) ranks.
        members: m.
        seed: of the place within a rank.
    """
    return (found + np.random.default_rng(seed).random(found.shape)) / (members + 1)


def central_levels(members: int) -> Array:
    """(S,) levels (m + 1 - 2 k) / (m + 1) of the central intervals between x_(k) and x_(m + 1 - k), k = 1 ... S.

    Args:
        members: m, at least 2.
    """
    return (members + 1 - 2 * np.arange(1, members // 2 + 1)) / (members + 1)


def nearest_level(members: int, wanted: float) -> tuple[int, float]:
    """The order k of the central interval whose level is nearest to a wanted one, and that level.

    Args:
        members: m, at least 2.
        wanted: in (0, 1): 0.9 with 63 draws is k = 3, 0.90625.
    """
    levels = central_levels(members)
    place = int(np.abs(levels - wanted).argmin())
    return place + 1, float(levels[place])


def covered(found: Array, members: int, order: int) -> Array:
    """(N, ...) 1 where the observation lies between x_(k) and x_(m + 1 - k), 0 where not, NaN where the rank is.

    Args:
        found: (N, ...) ranks.
        members: m.
        order: k, from 1 to m / 2.
    """
    inside = (found >= order) & (found <= members - order)
    return np.where(np.isnan(found), np.nan, inside.astype(np.float64))


def calibration_curve(found: Array, members: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Levels k / (m + 1), k = 1 ... m, and the share of observations below x_(k).

    Args:
        found: (N, ...) ranks.
        members: m.
        mask: True where an element counts, of a shape that broadcasts; None keeps all.

    Returns:
        (m,) levels, (m,) shares.

    Raises:
        ValueError: a rank that counts is NaN, or above m; or nothing is kept.
    """
    counts = rank_histogram(found, members, mask)
    if not counts.sum():
        raise ValueError("the mask keeps nothing")
    return np.arange(1, members + 1) / (members + 1), np.cumsum(counts)[:-1] / counts.sum()


def expected_squared_error(members: Array) -> Array:
    """(m + 1)/m s^2: what (xbar - y)^2 is in the mean where y is one more draw.

    Args:
        members: (N, m, ...) draws, m at least 2.

    Returns:
        (N, ...) float64, in squared units.

    Raises:
        ValueError: there is one draw, which has no spread.
    """
    m = members.shape[1]
    if m < 2:
        raise ValueError("an ensemble of 1 draw has no spread: take at least 2 per input")
    return (m + 1) / m * np.asarray(members, dtype=np.float64).var(axis=1, ddof=1)


def squared_error_of_mean(members: Array, observed: Array) -> Array:
    """(xbar - y)^2.

    Args:
        members: (N, m, ...) draws.
        observed: (N, ...).

    Returns:
        (N, ...) float64, in squared units.

    Raises:
        ValueError: shapes do not fit.
    """
    check_ensemble(members, observed)
    return np.square(np.asarray(members, dtype=np.float64).mean(axis=1) - observed)


def spread_skill(expected_N: Array, found_N: Array) -> float:
    """Root of the mean expected over the mean found squared error: 1 is calibrated, below 1 too sure of itself.

    Args:
        expected_N: ``expected_squared_error``, one mean an example.
        found_N: ``squared_error_of_mean``, one mean an example.
    """
    found = float(np.mean(found_N))
    return float(np.sqrt(np.mean(expected_N) / found)) if found else float("nan")


def _kept(found: Array, members: int, mask: Array | None) -> Array:
    kept = found.ravel() if mask is None else found[np.broadcast_to(np.asarray(mask, dtype=bool), found.shape)]
    if np.isnan(kept).any():
        raise ValueError(f"{int(np.isnan(kept).sum())} ranks are NaN: leave them out by a mask")
    if kept.size and kept.max() > members:
        raise ValueError(f"rank {int(kept.max())} is not one of an ensemble of {members} draws")
    return kept.astype(np.int64)
