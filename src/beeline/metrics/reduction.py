"""From one value per element to one value per example, where some elements do not count.

    mean over kept elements of v,   a mask says which: a coast line, a sensor that failed, padding

The policy of this room: NaN is never skipped silently. A NaN in an input makes the value of its example NaN; what is
to be left out is named by a mask, and an example of which nothing is kept has the value NaN.

Shapes: N examples, ... elements of an example.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def masked_mean(values: Array, mask: Array | None = None, axes: tuple[int, ...] | None = None) -> Array:
    """Mean over the kept elements of each example.

    Args:
        values: (N, ...).
        mask: True where an element counts, of a shape that broadcasts to that of the values; None keeps all.
        axes: what is averaged over; all but the first when None.

    Returns:
        (N, ...) without those axes, float64; NaN where nothing is kept.
    """
    axes = tuple(range(1, values.ndim)) if axes is None else axes
    values = np.asarray(values, dtype=np.float64)
    if mask is None:
        return values.mean(axis=axes)
    kept = np.broadcast_to(np.asarray(mask, dtype=bool), values.shape)
    count = kept.sum(axis=axes)
    total = np.where(kept, values, 0.0).sum(axis=axes)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def root_mean(squares_N: Array) -> float:
    """Root of the mean over examples: of mean squares, the root mean square over all.

    The mean of the examples' own roots would be another, smaller number.

    Args:
        squares_N: one mean square an example.
    """
    return float(np.sqrt(np.mean(squares_N)))
