"""What comes of measuring one number, and where the number belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from beeline.metrics.intervals import Estimate

Place = tuple[str, str, str]
"""Formula, space, and channel: the physical quantity that the number is of, empty where it is of whole samples."""


@dataclass(frozen=True)
class Outcome:
    """What came of measuring.

    Args:
        estimate: value and interval, NaN where there is none.
        failure: why there is no value.
        target: value of samples that are right, where it depends on how many there are.
    """

    estimate: Estimate
    failure: str | None = None
    target: float | None = None


def measured(estimate: Estimate, target: float | None = None) -> Outcome:
    """What came of measuring, with a reason where that is no finite number.

    Args:
        estimate: value and interval.
        target: value of samples that are right, where it depends on how many there are.
    """
    if math.isfinite(estimate.value):
        return Outcome(estimate, target=target)
    reason = "no finite number comes of these: they never vary, or are too large or too small to be squared"
    return Outcome(estimate, reason, target)


def estimate_at(outcomes: Mapping[Place, Outcome], place: Place) -> Estimate:
    """A number, NaN where nothing came of it."""
    found = outcomes.get(place)
    return Estimate(math.nan) if found is None else found.estimate
