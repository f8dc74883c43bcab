"""Structural similarity and peak signal-to-noise ratio of fields or images, with a stated data range.

    SSIM = mean over places of (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2))
    C1 = (0.01 R)^2,  C2 = (0.03 R)^2,      PSNR = 10 log10(R^2 / mean (x - y)^2)   [dB]

m, s^2 and s_xy are means, variances and covariance under a Gaussian window of 11 points along every axis and standard
deviation 1.5, at places where the window lies inside the grid. R is the range that values can take: 255 for 8-bit
images; for a field state what it is, since both numbers depend on it. Source: Wang et al. 2004, "Image quality
assessment: from error visibility to structural similarity", section III.B and equations 6 and 13.

Both reward the blurred mean of many right answers above each of them: they belong to one right answer per input.

Shapes: N examples, grid axes, C channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.metrics.fields import mean_squared_error

Array = np.ndarray[Any, Any]
_WIDTH, _DEVIATION = 11, 1.5


def structural_similarity(generated: Array, real: Array, data_range: float | Array) -> Array:
    """SSIM of every example and channel.

    Args:
        generated: (N, grid axes, C), every axis of at least 11 points.
        real: the same shape.
        data_range: R, a number or (C,), positive.

    Returns:
        (N, C), at most 1; NaN where a NaN is.

    Raises:
        ValueError: the shapes differ, an axis is too short, or the range is not positive.
    """
    if generated.shape != real.shape:
        raise ValueError(f"fields of shapes {generated.shape} and {real.shape} have no structural similarity")
    axes = tuple(range(1, real.ndim - 1))
    if min(real.shape[axis] for axis in axes) < _WIDTH:
        raise ValueError(f"the window of {_WIDTH} points does not fit into a grid of {real.shape[1:-1]}")
    one, two = 0.01 * _range(data_range), 0.03 * _range(data_range)
    x, y = (np.asarray(each, dtype=np.float64) for each in (generated, real))
    # Variances do not change, and a field far from zero (a pressure of 1e5) loses no digits in them.
    offset = y.mean(axis=axes, keepdims=True)
    mean_x, mean_y = _smooth(x - offset, axes), _smooth(y - offset, axes)
    variances = _smooth((x - offset) ** 2 + (y - offset) ** 2, axes) - mean_x**2 - mean_y**2
    covariance = _smooth((x - offset) * (y - offset), axes) - mean_x * mean_y
    mean_x, mean_y = mean_x + offset, mean_y + offset
    structure = (2 * covariance + two**2) / (variances + two**2)
    return (structure * (2 * mean_x * mean_y + one**2) / (mean_x**2 + mean_y**2 + one**2)).mean(axis=axes)


def peak_signal_to_noise(generated: Array, real: Array, data_range: float | Array, mask: Array | None = None) -> Array:
    """PSNR of every example and channel in dB; infinite for equal fields.

    Args:
        generated: (N, grid axes, C).
        real: the same shape.
        data_range: R, a number or (C,), positive.
        mask: True where an element counts, of a shape that broadcasts; None keeps all.

    Returns:
        (N, C).

    Raises:
        ValueError: the shapes differ, or the range is not positive.
    """
    error = mean_squared_error(generated, real, mask)
    with np.errstate(divide="ignore"):
        return 20.0 * np.log10(_range(data_range)) - 10.0 * np.log10(error)


def _smooth(values: Array, axes: tuple[int, ...]) -> Array:
    """Gaussian means at the places where the whole window lies inside."""
    from scipy.ndimage import correlate1d

    places = np.arange(_WIDTH) - _WIDTH // 2
    window = np.exp(-0.5 * (places / _DEVIATION) ** 2)
    for axis in axes:
        values = correlate1d(values, window / window.sum(), axis=axis)
        values = values.take(np.arange(_WIDTH // 2, values.shape[axis] - _WIDTH // 2), axis=axis)
    return values


def _range(data_range: float | Array) -> Array:
    found = np.asarray(data_range, dtype=np.float64)
    if not (found > 0).all():
        raise ValueError("the data range must be positive: the largest value that can occur minus the smallest")
    return found
