"""Bringing native arrays to zero mean and unit scale, and back. Fitted numbers travel with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from beeline.core.errors import UserError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pixels:
    """8-bit pixels: 0 ... 255 to -1 ... 1, and back by rounding (x + 1) 127.5 to the nearest pixel."""

    def fit(self, arrays: Sequence[Array]) -> Self:
        """Nothing to measure."""
        return self

    def apply(self, array: Array) -> Array:
        """uint8 to float32 in [-1, 1]."""
        return (array.astype(np.float32) / np.float32(127.5)) - np.float32(1)

    def undo(self, array: Array) -> Array:
        """Float to uint8; what lies outside [-1, 1] is clipped."""
        return np.clip(np.rint((array + 1.0) * 127.5), 0, 255).astype(np.uint8)

    def state(self) -> Mapping[str, Any]:
        """Nothing is fitted."""
        return {}

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """Itself: nothing is fitted."""
        return self


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

    def fit(self, arrays: Sequence[Array]) -> Self:
        """Measure mean and standard deviation of the training arrays.

        Raises:
            UserError: a channel never varies or is never present.
        """
        width = arrays[0].shape[-1] if self.channels else 1
        cells = np.concatenate([np.asarray(array, dtype=np.float64).reshape(-1, width) for array in arrays])
        present = (~np.isnan(cells)).sum(axis=0)
        for channel in np.flatnonzero(present == 0):
            raise UserError(f"channel {channel} of the training data holds no number at all")
        mean, deviation = np.nanmean(cells, axis=0), np.nanstd(cells, axis=0)
        for channel in np.flatnonzero(~(deviation > 0)):
            raise UserError(f"channel {channel} of the training data is {mean[channel]:g} everywhere; leave it out")
        return replace(self, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))

    def apply(self, array: Array) -> Array:
        """Native numbers to float32 of about unit scale."""
        return ((array - np.asarray(self.mean)) / np.asarray(self.deviation)).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to native units, float32."""
        return (array * np.asarray(self.deviation) + np.asarray(self.mean)).astype(np.float32)

    def state(self) -> Mapping[str, Any]:
        """The fitted means and deviations."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """The normaliser with fitted means and deviations."""
        return replace(self, mean=tuple(state["mean"]), deviation=tuple(state["deviation"]))
