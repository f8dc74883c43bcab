"""Totals of fields that are positive throughout, such as masses and densities, over the totals of their truths.

    q_jr = (sum over cells of draw r of input j) / (sum over cells of truth j),     cells that were observed

Right is a mean of 1. The scatter of q is that of the model about each truth: of many right answers it is not 0.

Shapes: N inputs, m draws of each, grid axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from beeline.evaluate.ensemble import Ensemble
from beeline.evaluate.field_draws import UnfitError
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
RELATIVE_TOTAL = Formula(
    "relative total",
    "relative-total-1",
    "mean over inputs and draws of (sum over cells of a draw / sum over cells of its truth)",
    target=1.0,
)
RELATIVE_SCATTER = Formula(
    "scatter of the relative total",
    "relative-total-scatter-1",
    "standard deviation over inputs and draws of (sum over cells of a draw / sum over cells of its truth)",
)


def relative_totals(each: Ensemble) -> Array:
    """(N, m) total of each draw over that of its truth.

    Args:
        each: draws of a channel that is positive throughout.

    Raises:
        UnfitError: it is not positive in training, or a held-out total is not above 0.
    """
    if not each.positive:
        raise UnfitError

    def totals(part: Ensemble) -> Array:
        seen = part.observed
        members = part.members if seen is None else np.where(seen[:, None], part.members, 0.0)
        own = members.reshape(*members.shape[:2], -1).sum(axis=2)
        real = np.nansum(part.truths.reshape(len(part.truths), -1), axis=1)
        if not (real > 0).all():
            raise UnfitError
        return np.asarray(own / real[:, None])

    return each.by_input(totals)


def _mean(each: Ensemble, seed: int | None) -> Estimate:
    return group_bootstrap([relative_totals(each)], np.mean, each.groups, seed)


def _scatter(each: Ensemble, seed: int | None) -> Estimate:
    found = relative_totals(each)
    return group_bootstrap([found], _deviation, each.groups, seed)


def _deviation(found: Array) -> float:
    return float(found.std(ddof=1)) if found.size > 1 else float("nan")


TOTALS: Mapping[Formula, Callable[[Ensemble, int | None], Estimate]] = {
    RELATIVE_TOTAL: _mean,
    RELATIVE_SCATTER: _scatter,
}
