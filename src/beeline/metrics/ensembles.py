"""Maps of an ensemble: mean, standard deviation and quantiles, one value an element.

    standard deviation   divisor m - 1
    quantile at level p  x_(k) with k = p (m + 1), between members in a straight line (Hyndman & Fan 1996, type 6)

That quantile is the one whose exceedance is right for the levels k / (m + 1): one more draw lies below it with
probability p. Outside [1 / (m + 1), m / (m + 1)] m draws say nothing, and no value is made up there.

A NaN in a member makes the element NaN.

Shapes: N examples, m draws, ... elements of an example, Q levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def mean_map(members: Array) -> Array:
    """(N, ...) mean over draws: averaged samples lose small-scale power, and are no sample.

    Args:
        members: (N, m, ...) draws.
    """
    return np.asarray(members, dtype=np.float64).mean(axis=1)


def deviation_map(members: Array) -> Array:
    """(N, ...) standard deviation over draws, with divisor m - 1.

    Args:
        members: (N, m, ...) draws, m at least 2.

    Raises:
        ValueError: there is one draw.
    """
    if members.shape[1] < 2:
        raise ValueError("an ensemble of 1 draw has no spread: take at least 2 per input")
    return np.asarray(members, dtype=np.float64).std(axis=1, ddof=1)


def quantile_maps(members: Array, levels: Sequence[float]) -> Array:
    """(N, Q, ...) quantiles over draws.

    Args:
        members: (N, m, ...) draws.
        levels: each from 1 / (m + 1) to m / (m + 1).

    Raises:
        ValueError: a level is outside, and says how many draws it needs.
    """
    m = members.shape[1]
    for level in levels:
        tail = min(level, 1.0 - level)
        if not tail * (m + 1) >= 1.0 - 1e-9:
            needed = f"it needs {int(np.ceil(1.0 / tail - 1e-9)) - 1}" if tail > 0 else "no number of draws has it"
            raise ValueError(f"{m} draws have no quantile at {level:g}: {needed}")
    found = np.quantile(np.asarray(members, dtype=np.float64), np.asarray(levels), axis=1, method="weibull")
    return np.moveaxis(found, 0, 1)
