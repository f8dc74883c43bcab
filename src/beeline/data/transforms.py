"""Invertible transforms of physical quantities, a kind for each channel, each followed by a z-score.

    zscore      x
    log         ln x                              x > 0
    log10p1     log10(1 + x)                      x > -1
    asinh       arsinh(x / s)                     s the fitted median of |x| where x is not 0
    quantile    Phi^-1 of the empirical distribution of x, linear between 257 knots and on beyond the outermost
    occupancy   two channels: -1 where x = 0 and 1 where x > 0; ln x where x > 0, and its mean where x = 0

then (y - mean) / deviation, mean and deviation being those of the training data (of an occupancy, 0 and 1). Nothing is
clipped: what lies outside the domain of a logarithm is refused by name, and numbers beyond the training range come
back. Mean and deviation are exact, save those of asinh and quantile: these are measured, as the scale and the knots
are, on an even choice of at most 2^17 numbers a channel that does not depend on how the data are cut into pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from scipy.special import ndtri

from beeline.core.errors import UserError, unknown
from beeline.data.moments import channel_moments, never_varies

Array = np.ndarray[Any, Any]
Kind = Literal["zscore", "log", "log10p1", "asinh", "quantile", "occupancy"]
KINDS: tuple[str, ...] = get_args(Kind)
_KNOTS, _MOST = 257, 2**17
_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: its multiples are spread evenly


@dataclass(frozen=True)
class FieldTransforms:
    """One transform for each channel (the last axis); NaN stands for "absent" and stays NaN.

    Args:
        kinds: of transform, one a channel.
        names: of the channels, for messages; their numbers when empty.
        scale: fitted s of ``asinh``, one a channel; 1 elsewhere.
        knots: fitted (x, Phi^-1) of ``quantile``, one pair of lists a channel; empty elsewhere.
        mean: fitted, of each channel that comes out.
        deviation: fitted, of each channel that comes out.

    Raises:
        UserError: there is no such kind, or there are more names than kinds.
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    knots: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    # What |undo(apply(x)) - x| may be, over |x| + the deviation of x over the training data, in float32.
    tolerance: ClassVar[float] = 1e-4

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise unknown("transform", kind, KINDS)
        if self.names and len(self.names) != len(self.kinds):
            raise UserError(f"transform {','.join(self.kinds)}: one for each of {', '.join(self.names)}")

    @property
    def channels(self) -> int:
        """How many channels come out."""
        return len(self.kinds) + self.kinds.count("occupancy")

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure scales, knots, means and deviations of the training arrays, read once.

        Raises:
            UserError: a number lies outside the domain of its transform, or a channel never varies.
        """
        some = [_Even() for _ in self.kinds]
        needs = [kind in ("asinh", "quantile") for kind in self.kinds]
        plain = replace(
            self, kinds=tuple("zscore" if need else kind for need, kind in zip(needs, self.kinds, strict=True))
        )

        def pieces() -> Iterable[Array]:
            for array in arrays:
                self._check(array)
                for channel, need in enumerate(needs):
                    if need:
                        some[channel].add(array[..., channel])
                yield plain._shaped(array)

        count, mean, deviation = channel_moments(pieces(), self.channels)
        scale = tuple(
            _scale(each.values) if kind == "asinh" else 1.0 for kind, each in zip(self.kinds, some, strict=True)
        )
        knots = tuple(
            _knots(each.values) if kind == "quantile" else ((), ()) for kind, each in zip(self.kinds, some, strict=True)
        )
        fitted = replace(self, scale=scale, knots=knots)
        for channel, (first, name) in enumerate(zip(self._firsts(), self._names(), strict=True)):
            if not count[first]:
                raise UserError(f"{name}: the training data hold no number at all")
            if needs[channel]:
                values = fitted._forward(channel, some[channel].values)
                mean[first], deviation[first] = values.mean(), values.std()
            elif self.kinds[channel] == "occupancy":
                mean[first], deviation[first], first = 0.0, 1.0, first + 1
                if not count[first]:
                    raise UserError(f"{name}: is 0 everywhere in the training data; leave it out")
            if never_varies(mean[first], deviation[first]):
                raise UserError(f"{name}: is the same everywhere in the training data; leave it out")
        return replace(fitted, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))

    def apply(self, array: Array) -> Array:
        """Physical units (..., channels) to float32 of about unit scale; an occupancy makes two channels of one.

        Raises:
            UserError: a number lies outside the domain of its transform, by name.
            ValueError: the array has another number of channels.
        """
        self._check(array)
        shaped = (self._shaped(array) - np.asarray(self.mean)) / np.asarray(self.deviation)
        empty = [first + 1 for first, kind in zip(self._firsts(), self.kinds, strict=True) if kind == "occupancy"]
        for place in empty:  # what is not there has no density: its mean, which is 0 here
            shaped[..., place] = np.where(shaped[..., place - 1] < 0, 0.0, shaped[..., place])
        return shaped.astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to physical units, float32; an occupancy is there above 0."""
        values = np.asarray(array, dtype=np.float64) * np.asarray(self.deviation) + np.asarray(self.mean)
        columns = []
        for channel, (kind, first) in enumerate(zip(self.kinds, self._firsts(), strict=True)):
            if kind == "occupancy":
                with np.errstate(over="ignore"):
                    columns.append(np.where(values[..., first] > 0, np.exp(values[..., first + 1]), 0.0))
            else:
                columns.append(self._backward(channel, values[..., first]))
        return np.stack(columns, axis=-1).astype(np.float32)

    def _shaped(self, array: Array) -> Array:
        """Every channel transformed, in float64, before the z-score; the density of what is not there is NaN."""
        columns = []
        for channel, kind in enumerate(self.kinds):
            values = np.asarray(array[..., channel], dtype=np.float64)
            if kind == "occupancy":
                absent = np.isnan(values)
                columns.append(np.where(absent, np.nan, np.where(values > 0, 1.0, -1.0)))
                columns.append(np.log(np.where(values > 0, values, np.nan)))
            else:
                columns.append(self._forward(channel, values))
        return np.stack(columns, axis=-1)

    def _forward(self, channel: int, values: Array) -> Array:
        kind = self.kinds[channel]
        if kind == "log":
            return np.log(values)
        if kind == "log10p1":
            return np.log1p(values) / np.log(10.0)
        if kind == "asinh":
            return np.arcsinh(values / self.scale[channel])
        return _piecewise(values, *self.knots[channel]) if kind == "quantile" else values

    def _backward(self, channel: int, values: Array) -> Array:
        kind = self.kinds[channel]
        with np.errstate(over="ignore"):  # a number that no float32 holds becomes infinite, and is seen
            if kind == "log":
                return np.exp(values)
            if kind == "log10p1":
                return np.expm1(values * np.log(10.0))
            if kind == "asinh":
                return np.sinh(values) * self.scale[channel]
        return _piecewise(values, *self.knots[channel][::-1]) if kind == "quantile" else values

    def _check(self, array: Array) -> None:
        if array.shape[-1:] != (len(self.kinds),):
            raise ValueError(f"{array.shape[-1:]} channels where {len(self.kinds)} are transformed")
        least = {"log": 0.0, "log10p1": -1.0}
        for channel, (kind, name) in enumerate(zip(self.kinds, self._names(), strict=True)):
            values = array[..., channel]
            outside = values < 0 if kind == "occupancy" else values <= least[kind] if kind in least else None
            if outside is not None and outside.any():
                bound = "at least 0" if kind == "occupancy" else f"above {least[kind]:g}"
                raise UserError(
                    f"{name}: transform {kind} takes numbers {bound}, {int(outside.sum())} of {values.size:,} are not "
                    f"(the least is {float(np.nanmin(values)):g}); asinh takes any"
                )

    def _firsts(self) -> list[int]:
        """Where each channel's first output stands."""
        widths = [2 if kind == "occupancy" else 1 for kind in self.kinds]
        return [sum(widths[:place]) for place in range(len(widths))]

    def _names(self) -> tuple[str, ...]:
        return self.names or tuple(f"channel {place}" for place in range(len(self.kinds)))


class _Even:
    """An even choice of at most ``_MOST`` numbers among many, by their place alone.

    A number is kept while the fractional part of its place times the golden ratio lies below 2^-level.
    """

    def __init__(self) -> None:
        self.level, self.seen = 0, 0
        self._values, self._places = np.zeros(0), np.zeros(0, dtype=np.uint64)

    def add(self, array: Array) -> None:
        """Look at further numbers; NaN is counted and left out."""
        values = np.asarray(array, dtype=np.float64).reshape(-1)
        places = (np.arange(self.seen, self.seen + len(values), dtype=np.uint64) + np.uint64(1)) * _STEP
        self.seen += len(values)
        kept = ~np.isnan(values) & self._is_low(places)
        self._values = np.concatenate([self._values, values[kept]])
        self._places = np.concatenate([self._places, places[kept]])
        while len(self._values) > _MOST:
            self.level += 1
            low = self._is_low(self._places)
            self._values, self._places = self._values[low], self._places[low]

    @property
    def values(self) -> Array:
        """Those chosen."""
        return self._values

    def _is_low(self, places: Array) -> Array:
        return places >> np.uint64(64 - self.level) == 0 if self.level else np.ones(len(places), dtype=bool)


def _scale(values: Array) -> float:
    """The median size of what is not 0."""
    sizes = np.abs(values[values != 0])
    return float(np.median(sizes)) if len(sizes) else 1.0


def _knots(values: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Distinct quantiles and the normal numbers that they become; of equal ones, the middle."""
    if not len(values):
        return (0.0, 1.0), (0.0, 1.0)
    shares = (np.arange(_KNOTS) + 0.5) / _KNOTS
    places = np.quantile(values, shares)
    distinct, first, count = np.unique(places, return_index=True, return_counts=True)
    if len(distinct) < 2:
        return (float(places[0]), float(places[0]) + 1.0), (0.0, 1.0)
    normal = ndtri(shares[first] + (count - 1) / (2 * _KNOTS))
    return tuple(distinct.tolist()), tuple(normal.tolist())


def _piecewise(values: Array, x: tuple[float, ...], y: tuple[float, ...]) -> Array:
    """Linear between knots (x, y), both ascending; beyond them on along the line through the outermost quarter."""
    places, heights = np.asarray(x), np.asarray(y)
    inside = np.interp(values, places, heights)
    reach = max(1, len(places) // 4)
    low = (heights[reach] - heights[0]) / (places[reach] - places[0])
    high = (heights[-1] - heights[-1 - reach]) / (places[-1] - places[-1 - reach])
    below = heights[0] + (values - places[0]) * low
    above = heights[-1] + (values - places[-1]) * high
    return np.where(values < places[0], below, np.where(values > places[-1], above, inside))
