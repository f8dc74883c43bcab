"""Fields of which every scale counts: a linear filter that flattens the spectrum of each channel, and its inverse.

    y_k = c P(|k|)^(-share / 2) x_k,      P(|k|) = mean |x_k|^2 over the training fields and a shell of |k|

where x_k are coefficients of an orthonormal transform: cosines (DCT-II) along axes that end, waves along periodic
ones; |k| is in cycles a cell, alike in all directions, so that the filter fits any shape; P is read between shells
along log(1 + |k| / k_1), k_1 being the lowest wave, and c makes the variance of y 1. A share of 0 changes nothing, 1
makes an isotropic spectrum white. Waves longer than a training field lie between k_1 and the mean of a field; where
means hardly vary they are taken as those of k_1.

Noise is as strong at all scales, and a network errs at all of them. Smooth fields hold so little at small scales that
what is drawn there is the network's error. To flatten data before noise is added is to add noise of a colour of the
data in its place, and to weigh the errors of scales as their noise.

Source: Falck et al. 2025, "A Fourier space perspective on diffusion models", arXiv 2505.11278 (a share of 1:
noise of equal SNR at all frequencies).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import fft

from beeline.core.errors import UserError
from beeline.data.transforms import FieldTransforms

Array = np.ndarray[Any, Any]
_LEAST = 1e-10  # of the largest power: less is the rounding of float32


@dataclass(frozen=True)
class Whitening:
    """Pointwise transforms of each channel, and then the filter.

    Args:
        transforms: of the channels.
        share: of the slope of the spectrum that is taken out, above 0 and at most 1.
        periodic: whether each axis of the grid closes upon itself.
        waves: fitted mean |k| of each shell in cycles a cell, from 0 upwards.
        log_power: fitted ln P of each shell, a list for each channel.
        factor: fitted c of each channel.

    Raises:
        UserError: the share is out of range.
    """

    transforms: FieldTransforms
    share: float
    periodic: tuple[bool, ...]
    waves: tuple[float, ...] = ()
    log_power: tuple[tuple[float, ...], ...] = ()
    factor: tuple[float, ...] = ()

    tolerance: ClassVar[float] = FieldTransforms.tolerance

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"whiten {self.share:g}: must lie above 0 and be at most 1; 0 leaves it out")

    @property
    def channels(self) -> int:
        """How many channels come out."""
        return self.transforms.channels

    def mixing(self) -> str:
        """What mixes the cells of a field, for messages."""
        return f"whitened (whiten {self.share:g})"

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Fit the transforms, then measure spectra; the arrays are read twice.

        Raises:
            UserError: the transforms do not fit, or fields have several shapes.
        """
        again = list(arrays) if isinstance(arrays, Iterator) else arrays
        fitted = replace(self, transforms=self.transforms.fit(again))
        squares = fitted._mean_squares(again)
        shape, rows = squares.shape[:-1], squares.reshape(-1, squares.shape[-1]).T
        size = wave_numbers(shape, self.periodic).ravel()
        lowest = size[size > 0].min(initial=1.0)
        _, shells = np.unique(np.rint(size / lowest), return_inverse=True)
        modes = np.bincount(shells)
        power = np.stack([np.bincount(shells, row) / modes for row in rows])
        log_power = np.log(np.maximum(power, _LEAST * power.max(axis=1, keepdims=True)))
        fitted = replace(
            fitted,
            waves=tuple((np.bincount(shells, size) / modes).tolist()),
            log_power=tuple(tuple(row) for row in log_power.tolist()),
            factor=(1.0,) * len(rows),
        )
        variance = (squares * fitted._filter(shape) ** 2).reshape(-1, len(rows)).mean(axis=0)
        return replace(fitted, factor=tuple((variance**-0.5).tolist()))

    def _mean_squares(self, arrays: Iterable[Array]) -> Array:
        """(grid, channels): mean |x_k|^2 of fields of one shape."""
        squares, shape, count = np.zeros(()), None, 0
        for array in arrays:
            if shape not in (None, array.shape):
                raise UserError(f"whiten: fields of shapes {shape} and {array.shape}; needs fields of one shape")
            shape, count = array.shape, count + 1
            squares = squares + np.abs(self._coefficients(self.transforms.apply(array).astype(np.float64))) ** 2
        return np.asarray(squares / count)

    def apply(self, array: Array) -> Array:
        """Physical units (grid, channels) to float32 of unit variance and a flatter spectrum.

        Raises:
            UserError: a number lies outside the domain of its transform, by name.
            ValueError: the array has another number of channels or axes.
        """
        shaped = self.transforms.apply(array).astype(np.float64)
        if shaped.ndim != len(self.periodic) + 1:
            raise ValueError(f"{shaped.ndim - 1} axes where {len(self.periodic)} are whitened")
        return self._field(self._coefficients(shaped) * self._filter(shaped.shape[:-1])).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to physical units, float32."""
        values = np.asarray(array, dtype=np.float64)
        return self.transforms.undo(self._field(self._coefficients(values) / self._filter(values.shape[:-1])))

    def _filter(self, shape: Sequence[int]) -> Array:
        """(grid, channels): what each coefficient is multiplied by."""
        places = np.asarray(self.waves)
        lowest = places[1] if len(places) > 1 else 1.0
        size = wave_numbers(shape, self.periodic)
        asked, known = np.log1p(size / lowest), np.log1p(places / lowest)
        columns = []
        for row in self.log_power:
            between = np.interp(asked, known, (max(row[:2]), *row[1:]))
            columns.append(np.where(size == 0, row[0], between))
        log_power = np.stack(columns, axis=-1)
        return np.asarray(self.factor) * np.exp(-0.5 * self.share * log_power)

    def _coefficients(self, field: Array) -> Array:
        ends, turns = self._axes
        coefficients = fft.dctn(field, axes=ends, norm="ortho") if ends else field
        return np.asarray(fft.fftn(coefficients, axes=turns, norm="ortho") if turns else coefficients)

    def _field(self, coefficients: Array) -> Array:
        ends, turns = self._axes
        field = fft.ifftn(coefficients, axes=turns, norm="ortho").real if turns else coefficients
        return np.asarray(fft.idctn(field, axes=ends, norm="ortho") if ends else field)

    @property
    def _axes(self) -> tuple[list[int], list[int]]:
        """Axes that end, and axes that close."""
        ends = [axis for axis, closes in enumerate(self.periodic) if not closes]
        return ends, [axis for axis, closes in enumerate(self.periodic) if closes]


def wave_numbers(shape: Sequence[int], periodic: Sequence[bool]) -> Array:
    """|k| of each coefficient of a grid, in cycles a cell: i / 2n of a cosine, |i| / n of a wave."""
    each = [
        np.abs(fft.fftfreq(count)) if closes else np.arange(count) / (2 * count)
        for count, closes in zip(shape, periodic, strict=True)
    ]
    return np.asarray(np.sqrt(sum(one**2 for one in np.meshgrid(*each, indexing="ij"))))
