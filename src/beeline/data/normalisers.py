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
    """Pixels of 8 or 16 bits: 0 ... m to -1 ... 1, m = 255 or 65535, and back by rounding (x + 1) m/2.

    Args:
        bits: of a pixel, 8 or 16.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise UserError(f"Pixels have 8 or 16 bits, not {self.bits}")

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Nothing to measure."""
        return self

    def apply(self, array: Array) -> Array:
        """uint8 or uint16 to float32 in [-1, 1].

        Raises:
            UserError: the array is of another dtype, which would not come back.
        """
        if array.dtype != self._dtype:
            raise UserError(
                f"Pixels are {self.bits}-bit ({self._dtype}), not {array.dtype}; Standardise takes any numbers"
            )
        return (array.astype(np.float32) / np.float32(self._half)) - np.float32(1)

    def undo(self, array: Array) -> Array:
        """Float to whole numbers; what lies outside [-1, 1] is clipped."""
        return np.clip(np.rint((array + 1.0) * self._half), 0, 2 * self._half).astype(self._dtype)

    def unit(self) -> Array:
        """2/m."""
        return np.asarray(1.0 / self._half)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(f"uint{self.bits}")

    @property
    def _half(self) -> float:
        return (2**self.bits - 1) / 2


@dataclass(frozen=True)
class Range:
    """Floats: the range of the training data, low ... high, to -1 ... 1, and back; what lies outside stays outside.

    Args:
        low: fitted smallest number.
        high: fitted largest number.
    """

    low: float = 0.0
    high: float = 1.0

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure the range of the training arrays; NaN is left out.

        Raises:
            UserError: they are the same number everywhere.
        """
        low, high = float("inf"), float("-inf")
        for array in arrays:
            if not np.isnan(array).all():
                low, high = min(low, float(np.nanmin(array))), max(high, float(np.nanmax(array)))
        if not low < high:
            raise UserError("the training data hold one and the same number everywhere; there is nothing to learn")
        return replace(self, low=low, high=high)

    def apply(self, array: Array) -> Array:
        """Native numbers to float32."""
        return ((array.astype(np.float64) - self.low) * (2 / (self.high - self.low)) - 1).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to native units, float32."""
        half = (self.high - self.low) / 2
        return ((np.asarray(array, dtype=np.float64) + 1) * half + self.low).astype(np.float32)

    def unit(self) -> Array:
        """2 / (high - low)."""
        return np.asarray(2.0 / (self.high - self.low))


@dataclass(frozen=True)
class Scale:
    """(x - shift) scale by numbers that are given, and back: what brings an autoencoder's latents to unit scale.

    Args:
        scale: above 0; 0.18215 for Stable Diffusion's.
        shift: one for each channel (the last axis); empty for none.
    """

    scale: float
    shift: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise UserError(f"Scale {self.scale}: must be above 0")

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Nothing to measure."""
        return self

    def apply(self, array: Array) -> Array:
        """Native numbers to float32.

        Raises:
            ValueError: the array has another number of channels than ``shift``.
        """
        return ((array - self._shift) * np.float32(self.scale)).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to native units, float32."""
        return (array / np.float32(self.scale) + self._shift).astype(np.float32)

    def unit(self) -> Array:
        """The scale."""
        return np.asarray(self.scale)

    @property
    def _shift(self) -> Array:
        return np.asarray(self.shift or 0.0, dtype=np.float32)


@dataclass(frozen=True)
class Standardise:
    """(x - mean) / deviation, channel by channel (the last axis) or for the whole array at once.

    NaN stands for "absent": it is left out of the fit and stays NaN.

    Args:
        channels: whether the last axis holds channels that are fitted separately.
        mean: fitted means.
        deviation: fitted standard deviations.
        lowest: what numbers below it become on the way back, such as 0 of expression; none when None.
    """

    channels: bool = True
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    lowest: float | None = None

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
        native = array * np.asarray(self.deviation) + np.asarray(self.mean)
        return np.asarray(native if self.lowest is None else np.maximum(native, self.lowest), dtype=np.float32)

    def unit(self) -> Array:
        """1 / deviation."""
        deviation = 1.0 / np.asarray(self.deviation)
        return deviation if self.channels else deviation[0]
