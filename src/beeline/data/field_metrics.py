"""The two numbers that fields are told by while a model trains: their mean map, and how far they vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from beeline.core.data import Examples, Metric, evenly

_MOST = 256


def own_metrics(channels: Sequence[str]) -> list[Metric]:
    """Mean map and deviation of each channel beside those of what was held out, in physical units.

    Args:
        channels: names, in the order of the last axis.
    """
    found = []
    for place, name in enumerate(channels):
        apart = "root mean square over cells of (mean of samples - mean of held-out fields), in deviations of these"
        found.append(Metric(f"{name} mean map error", apart, _Compared(place, "mean"), truth=(0.0, 1e-6)))
        ratio = "deviation of samples over that of held-out fields"
        found.append(Metric(f"{name} deviation ratio", ratio, _Compared(place, "ratio"), truth=(1.0, 1e-6)))
    return found


@dataclass(frozen=True)
class _Compared:
    """A channel of samples beside what was held out."""

    channel: int
    what: Literal["mean", "ratio"]

    def __call__(self, training: Examples, held_out: Examples, generated: Examples) -> float:
        """The error of the mean map or the ratio of deviations, over observed cells."""
        truth, samples = (
            [each[index].known_numbers()[..., self.channel] for index in evenly(each, _MOST)]
            for each in (held_out, generated)
        )
        deviation = float(np.nanstd(np.concatenate([each.ravel() for each in truth])))
        if self.what == "ratio":
            return float(np.nanstd(np.concatenate([each.ravel() for each in samples]))) / deviation
        apart = _mean_map(samples) - _mean_map(truth)
        return float(np.sqrt(np.nanmean(apart**2))) / deviation


def _mean_map(fields: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Mean over fields of what was observed of each cell; NaN where nothing was."""
    seen = np.sum([~np.isnan(each) for each in fields], axis=0)
    total = np.sum([np.nan_to_num(each, nan=0.0) for each in fields], axis=0, dtype=np.float64)
    return np.divide(total, seen, out=np.full(np.shape(total), np.nan), where=seen > 0)
