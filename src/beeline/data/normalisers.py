"""Bringing native arrays to zero mean and unit scale, and back. Fitted numbers travel with the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import numpy as np

from beeline.core.errors import UserError
from beeline.data.moments import channel_moments, never_varies

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pixels:
    """8-bit pixels: 0 ... 255 to -1 ... 1, and back by rounding (x + 1) 127.5 to the nearest pixel."""

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Nothing to measure."""
        return self

    def apply(self, array: Array) -> Array:
        """uint8 to float32 in [-1, 1].

        Raises:
            UserError: the array is of another dtype, which would not come back.
        """
        if array.dtype != np.uint8:
            raise UserError(f"Pixels are 8-bit (uint8), not {array.dtype}; Standardise takes any numbers")
        return (array.astype(np.float32) / np.float32(127.5)) - np.float32(1)

    def undo(self, array: Array) -> Array:
        """Float to uint8; what lies outside [-1, 1] is clipped."""
        return np.clip(np.rint((array + 1.0) * 127.5), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Standardise:
    """(x - mean) / deviation, channel by channel (the last axis) or for the whole array at once.

    NaN stands for "absent": it is left out of the fit and stays NaN.

    Args:
        channels: whether the last axis holds channels that are fitted separately.
        mean: fitted means.
        deviation: fitted standard deviations.
    """

    channels: bool = True
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure mean and standard deviation of the training arrays.

        Raises:
            UserError: a channel never varies or is never present.
        """
        first = next(arrays := iter(arrays))
        width = first.shape[-1] if self.channels else 1
        count, mean, deviation = channel_moments(chain([first], arrays), width)
        for channel in np.flatnonzero(count == 0):
            raise UserError(f"channel {channel} of the training data holds no number at all")
        for channel in np.flatnonzero(never_varies(mean, deviation)):
            raise UserError(f"channel {channel} of the training data is {mean[channel]:g} everywhere; leave it out")
        return replace(self, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))

    def apply(self, array: Array) -> Array:
        """Native numbers to float32 of about unit scale."""
        return ((array - np.asarray(self.mean)) / np.asarray(self.deviation)).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to native units, float32."""
        return (array * np.asarray(self.deviation) + np.asarray(self.mean)).astype(np.float32)
