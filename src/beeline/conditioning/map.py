"""A map aligned with the data: a coarse field, a mask, a drawing.

    values      x
    anomaly     x - <x>, <x>                  <x> the mean of the map itself, which every cell is told
    gradient    x - <x>, <x>, dx/da, ...      and its differences along each axis, a cell

each standardised by its mean and deviation over all training maps. Where maps differ from one another far more than a
map varies within, as heights of two pressure levels do, values leave of what varies too little for a network to see;
where an answer follows the slope of a map, as wind does that of a height, so do values and anomaly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.numbers import fitted_moments, real_array
from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer
from beeline.data.field_files import check_numbers
from beeline.data.moments import channel_moments

Shown = Literal["values", "anomaly", "gradient"]
_FAR_MEAN, _FAR = 6.0, 10.0
_ROUNDED = 1e-6  # of the size of a map: the rounding of float32, in which many are stored


@dataclass(frozen=True)
class AlignedMap:
    """An array (E_1, ..., E_P, channels) on the grid of the data, appended to the tokens it lies under.

    Args:
        name: key in ``Example.condition``.
        channels: numbers a cell that the network sees.
        dropout: share of training samples that see the null; 0 leaves the null out.
        mean: training mean of each channel, once fitted.
        deviation: training standard deviation of each channel, once fitted.
        shown: values, anomaly or gradient: as what the network sees a map.
        given: numbers a cell of a map as it is given; channels when absent.
        periodic: whether the last cell of each axis is a neighbour of its first; empty where none is.
    """

    name: str
    channels: int = 1
    dropout: float = 0.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    shown: Shown = "values"
    given: int = 0
    periodic: tuple[bool, ...] = ()

    route: ClassVar[Route] = "concat"
    choices: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.channels < 1 or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need channels >= 1 and 0 <= dropout < 1")
        if not self.given:
            object.__setattr__(self, "given", self.channels)

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure mean and deviation of each channel over the training maps.

        Raises:
            UserError: a channel never varies.
        """
        present = (self._told(value) for value in values if value is not None)
        if self.shown == "values":
            mean, deviation = fitted_moments(self.name, present, self.channels, "everywhere")
            return replace(self, mean=mean, deviation=deviation)
        count, means, deviations = channel_moments(present, self.channels)
        own, level = slice(0, self.given), slice(self.given, 2 * self.given)
        size = np.sqrt(deviations[own] ** 2 + deviations[level] ** 2 + means[level] ** 2)
        same = deviations <= _ROUNDED * np.tile(size, self.channels // self.given)  # what is left is rounding
        for channel in np.flatnonzero(same[own] | (count[own] == 0)):
            what = "is the same everywhere" if count[channel] else "is never given"
            raise UserError(f"condition {self.name}: channel {channel} {what} within each map; leave it out")
        deviations[same] = 1.0  # maps may share one mean, and not vary along an axis
        return replace(self, mean=tuple(means.tolist()), deviation=tuple(deviations.tolist()))

    def encode(self, value: Any) -> Tensor:
        """The standardised map; None as one cell of zeros, whose place the null takes.

        Raises:
            UserError: the value is not a finite array with ``given`` channels last.
        """
        if value is None:
            return torch.zeros(self.channels)
        array = (self._told(value) - np.asarray(self.mean)) / np.asarray(self.deviation)
        return torch.from_numpy(array.astype(np.float32))

    def remarks(self, values: Iterable[Any]) -> list[str]:
        """Where a map lies far outside of those of training, as one in other units does: a line for each channel.

        Its mean then lies 6 deviations of the training numbers from theirs, or a number of it 10.

        Args:
            values: that ``encode`` takes.
        """
        if not self.mean:
            return []
        mean, deviation = self._moments()
        lines: dict[int, str] = {}
        for value in {id(each): each for each in values if each is not None}.values():
            apart = (self._array(value).reshape(-1, self.given).astype(np.float64) - mean) / deviation
            level, furthest = np.abs(apart.mean(axis=0)), np.abs(apart).max(axis=0)
            for channel in np.flatnonzero((level > _FAR_MEAN) | (furthest > _FAR)).tolist():
                lines.setdefault(channel, self._far(channel, apart[:, channel]))
        return list(lines.values())

    def _far(self, channel: int, apart: np.ndarray[Any, Any]) -> str:
        mean, deviation = (each[channel] for each in self._moments())
        least, most, unit = mean + apart.min() * deviation, mean + apart.max() * deviation, self._unit(channel)
        which = f"channel {channel} of a map" if self.given > 1 else "a map"
        return (
            f"condition {self.name}: {which} goes from {least:.4g} to {most:.4g}{unit}, up to "
            f"{np.abs(apart).max():.3g} deviations from training maps, whose mean is {mean:.4g} and deviation "
            f"{deviation:.4g}{unit}; is it in the same units?"
        )

    def _moments(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(given,) mean and deviation of all numbers of the training maps."""
        mean, deviation = np.asarray(self.mean), np.asarray(self.deviation)
        if self.shown == "values":
            return mean, deviation
        own, level = slice(0, self.given), slice(self.given, 2 * self.given)
        return mean[level], np.hypot(deviation[own], deviation[level])

    def _unit(self, channel: int) -> str:
        """Units of a channel behind a space, for messages; empty where they are not known."""
        return ""

    def parse(self, text: str) -> np.ndarray[Any, Any]:
        """The array in a .npy file.

        Raises:
            UserError: there is no such file or it holds no array.
        """
        if not Path(text).is_file():
            raise UserError(f"condition {self.name}={text}: no such file; name a .npy file with the map")
        try:
            check_numbers(Path(text))
            return np.asarray(np.load(text, allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"condition {self.name}={text}: not a readable .npy file ({error})") from None

    def _told(self, value: Any) -> np.ndarray[Any, Any]:
        """What the network is told of a map, before it is standardised."""
        array = self._array(value)
        if self.shown == "values":
            return array
        axes = tuple(range(array.ndim - 1))
        own = array.astype(np.float64).mean(axis=axes, keepdims=True)
        shown = [array - own, np.broadcast_to(own, array.shape)]
        if self.shown == "gradient":
            if len(axes) != self.channels // self.given - 2:
                wanted = f"{self.channels // self.given - 2} axes and channels last"
                raise UserError(f"condition {self.name}: the map has shape {array.shape}, not {wanted}")
            turns = self.periodic or (False,) * len(axes)
            shown += [_slope(array.astype(np.float64), axis, turns[axis]) for axis in axes]
        return np.concatenate(shown, axis=-1)

    def _array(self, value: Any) -> np.ndarray[Any, Any]:
        wanted = f"a real array with {self.given} channels last"
        return real_array(
            self.name, value, "the map", wanted, lambda array: array.ndim >= 2 and array.shape[-1] == self.given
        )

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """Hands the map's token features on; a trained token takes their place where the condition is absent."""
        return MapFeatures(tokenizer.lift_width(self.channels), has_null=self.dropout > 0)


def _slope(array: np.ndarray[Any, Any], axis: int, closes: bool) -> np.ndarray[Any, Any]:
    """Central differences along an axis, a cell; one-sided at the ends of one that does not close upon itself."""
    if array.shape[axis] == 1:
        return np.zeros_like(array)
    if closes:
        return np.asarray((np.roll(array, -1, axis) - np.roll(array, 1, axis)) / 2.0)
    return np.asarray(np.gradient(array, axis=axis))


class MapFeatures(nn.Module):
    """Token features of a map, or a trained token where the map is absent.

    Args:
        width: features a token.
        has_null: whether there is a token for "unknown".
    """

    def __init__(self, width: int, has_null: bool) -> None:
        super().__init__()
        self.null = nn.init.normal_(nn.Parameter(torch.empty(width)), std=0.02) if has_null else None

    def forward(self, values_BLK: Tensor, null_BL: Tensor) -> Tensor:
        """(B, L, K) and a null mask (B, 1 or L, 1) to (B, L, K)."""
        return values_BLK if self.null is None else torch.where(null_BL, self.null, values_BLK)
