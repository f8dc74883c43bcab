"""Power spectra and cross-correlation of fields on regular grids of 1, 2, 3 dimensions, in physical units.

    F(k) = sum over points r of w(r) x(r) exp(-i k.r),      k = 2 pi (j_1 / L_1, ..., j_d / L_d)      [rad / length]
    P(k) = V / n^2  mean over the modes of a shell of |F(k)|^2                               [field^2 length^d]
    r(k) = sum Re F_1 F_2* / sqrt(sum |F_1|^2  sum |F_2|^2)                                       in [-1, 1]

with box V = L_1 ... L_d and n points. Convention: the variance of a field is the sum of P over all modes but k = 0,
divided by V, and in the limit of a large box int P(k) d^dk / (2 pi)^d. Over the shells below it holds to rounding:

    mean x^2 - (mean x)^2 = sum over shells of (modes) P / V                                       (Parseval)

The product F_1 F_2* is summed before any modulus: its phase is what a correlation is. With the modulus taken mode by
mode two independent fields have r = pi / 4.

Shells are rings or spheres of |k| with a width of one fundamental mode of the longest side, 2 pi / max L, around its
multiples. A shell is complete when it lies below the Nyquist frequency pi n_a / L_a of every axis; the others hold
the corners of the box of modes and are anisotropic, and there to make Parseval's sum whole.

Maps that are not periodic leak power from large scales to small ones through their edges. A Hann window along such an
axis stops that: the mean of the map is subtracted, and w(r) = c sin^2(pi (i + 1/2) / n) with mean w^2 = 1, so that
white noise keeps its power. It blurs P over about 1.5 modes.

Sources: Peacock 1999, "Cosmological physics", section 16.2 (P and its units); Harris 1978 (windows).

A NaN anywhere in a map makes all values of its example and channel NaN: there is no spectrum under a mask.

Shapes: N examples, grid axes, C channels, S shells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_NUMBERS_AT_ONCE = 2**22


class Shells:
    """The modes of a grid by |k|, and spectra over them.

    Attributes:
        k_S: mean |k| of the modes of each shell, in rad per unit of length.
        modes_S: how many modes each holds, both of a pair k, -k counted.
        complete_S: whether it lies below the Nyquist frequency of every axis.
        volume: V, in length^d.

    Args:
        shape: points along each axis.
        box_size: L of each axis, in one unit of length: points times spacing.
        width: of a shell in rad per unit of length; 2 pi / max L when None.
        window: whether each axis is windowed, for axes that are not periodic; none when None.

    Raises:
        ValueError: the numbers of axes differ, an axis has fewer than 2 points, or a size is not positive.
    """

    def __init__(
        self,
        shape: Sequence[int],
        box_size: Sequence[float],
        width: float | None = None,
        window: Sequence[bool] | None = None,
    ) -> None:
        self.shape, self.box_size = tuple(shape), tuple(float(each) for each in box_size)
        self._windowed = (False,) * len(self.shape) if window is None else tuple(window)
        _check_grid(self.shape, self.box_size, self._windowed)
        self.volume = math.prod(self.box_size)
        self._axes = tuple(range(1, 1 + len(self.shape)))
        size_K, twice_K = _modes(self.shape, self.box_size)
        width = 2 * math.pi / max(self.box_size) if width is None else width
        shell_K = np.floor(size_K / width + 0.5).astype(np.int64)
        order = np.argsort(shell_K, kind="stable")
        self._order = order[size_K[order] > 0]  # all but k = 0
        found, self._starts = np.unique(shell_K[self._order], return_index=True)
        self._twice_K = twice_K[self._order]
        self.modes_S = self._sum(np.ones((1, len(size_K), 1)))[0, :, 0].astype(np.int64)
        self.k_S = self._sum(size_K[None, :, None])[0, :, 0] / self.modes_S
        nyquist = min(math.pi * count / length for count, length in zip(self.shape, self.box_size, strict=True))
        self.complete_S = (found + 0.5) * width <= nyquist * (1 + 1e-9)

    def power(self, fields: Array) -> Array:
        """P(k) of every example and channel.

        Args:
            fields: (N, grid axes, C), in physical units.

        Returns:
            (N, S, C), in squared units of the field times length^d.

        Raises:
            ValueError: the grid is another.
        """
        self._check(fields)
        found = [self._mean(modes.real**2 + modes.imag**2) for modes in self._transformed(fields)]
        return np.concatenate(found)

    def cross_power(self, one: Array, other: Array) -> Array:
        """Real part of the cross spectrum, normalised as P: of two equal fields it is P.

        Args:
            one: (N, grid axes, C).
            other: the same shape.

        Returns:
            (N, S, C), in units of one times other times length^d.

        Raises:
            ValueError: the shapes differ, or the grid is another.
        """
        self._check(one)
        if one.shape != other.shape:
            raise ValueError(f"fields of shapes {one.shape} and {other.shape} have no cross spectrum")
        pairs = zip(self._transformed(one), self._transformed(other), strict=True)
        return np.concatenate([self._mean(a.real * b.real + a.imag * b.imag) for a, b in pairs])

    def correlation(self, one: Array, other: Array) -> Array:
        """r(k) of every pair of examples; NaN where a field has no power.

        Args:
            one: (N, grid axes, C).
            other: the same shape.

        Returns:
            (N, S, C), from -1 to 1.

        Raises:
            ValueError: the shapes differ, or the grid is another.
        """
        return correlation(self.cross_power(one, other), self.power(one), self.power(other))

    def _transformed(self, fields: Array) -> Iterator[Array]:
        """(n, K, C) of few examples at a time: one of every pair k, -k."""
        at_once = max(1, _NUMBERS_AT_ONCE // max(1, math.prod(fields.shape[1:])))
        for start in range(0, len(fields), at_once):
            few = np.asarray(fields[start : start + at_once], dtype=np.float64)
            if any(self._windowed):
                few = few - few.mean(axis=self._axes, keepdims=True)
            for axis, windowed in zip(self._axes, self._windowed, strict=True):
                if windowed:
                    few = few * _hann(few.shape[axis]).reshape(-1, *(1,) * (few.ndim - axis - 1))
            modes = np.fft.rfftn(few, axes=self._axes)
            yield modes.reshape(len(few), -1, fields.shape[-1])

    def _mean(self, values_NKC: Array) -> Array:
        return self._sum(values_NKC) * (self.volume / math.prod(self.shape) ** 2 / self.modes_S[:, None])

    def _sum(self, values_NKC: Array) -> Array:
        return np.add.reduceat(values_NKC[:, self._order] * self._twice_K[:, None], self._starts, axis=1)

    def _check(self, fields: Array) -> None:
        if fields.shape[1:-1] != self.shape:
            raise ValueError(f"fields of shape {fields.shape} are not (N, *{self.shape}, C)")


def correlation(cross: Array, one: Array, other: Array) -> Array:
    """r = cross / sqrt(one other), from spectra of single examples, or summed over examples before.

    Args:
        cross: real part of the cross spectrum, any shape.
        one: P of one field.
        other: P of the other.

    Returns:
        The same shape; NaN where a field has no power.
    """
    size = np.sqrt(one) * np.sqrt(other)
    return np.divide(cross, size, out=np.full(np.shape(cross), np.nan), where=size != 0)


def power_ratio(generated_NS: Array, real_NS: Array) -> Array:
    """Mean P of samples over mean P of real fields, shell by shell: 1 is right.

    The mean over examples comes first: a mean of ratios is pulled up by real fields of little power.

    Args:
        generated_NS: (N, S, ...) spectra of samples.
        real_NS: (M, S, ...) of real fields.

    Returns:
        (S, ...); NaN where real fields have no power.
    """
    real = np.mean(real_NS, axis=0)
    return np.divide(np.mean(generated_NS, axis=0), real, out=np.full(real.shape, np.nan), where=real != 0)


def transfer(generated_NS: Array, real_NS: Array) -> Array:
    """Square root of the power ratio: by how much amplitudes are too large.

    Args:
        generated_NS: (N, S, ...) spectra of samples.
        real_NS: (M, S, ...) of real fields.
    """
    return np.sqrt(power_ratio(generated_NS, real_NS))


def largest_departure(ratio_S: Array, complete_S: Array) -> float:
    """max |ratio - 1| over the shells that count, the complete ones or fewer.

    Args:
        ratio_S: (S, ...) power ratio or transfer.
        complete_S: (S,) which count.
    """
    return float(np.abs(ratio_S[complete_S] - 1.0).max())


def resolved(real_S: Array, modes_S: Array, complete_S: Array, share: float = 0.999) -> Array:
    """Which shells hold the variance: complete ones from the largest scale on, until their share of it is reached.

    Variance is the sum of modes times P. Spectra of smooth fields fall by many orders of magnitude; where next to
    nothing is left of them, a ratio of P is one of noise.

    Args:
        real_S: (S,) mean P of the real fields.
        modes_S: (S,) modes of each shell.
        complete_S: (S,) which shells are complete.
        share: of the variance of the complete shells.

    Returns:
        (S,) booleans.
    """
    held = np.cumsum(np.where(complete_S, modes_S * real_S, 0.0))
    return np.asarray(complete_S & (held - np.where(complete_S, modes_S * real_S, 0.0) < share * held[-1]))


def overdensity(fields: Array, mean: Array | float | None = None) -> Array:
    """x / <x> - 1 of every example and channel: the contrast of a positive field, which has no unit.

    Args:
        fields: (N, grid axes, C), in physical units, never normalised: the mean of a z-score is 0.
        mean: <x>, as a number or (C,), of a population; that of each map itself when None.

    Raises:
        ValueError: a mean is not positive.
    """
    fields = np.asarray(fields, dtype=np.float64)
    mean = fields.mean(axis=tuple(range(1, fields.ndim - 1)), keepdims=True) if mean is None else np.asarray(mean)
    if (mean <= 0).any():
        raise ValueError("an overdensity needs a positive mean: give the field in physical units, before normalising")
    return fields / mean - 1.0


def _modes(shape: tuple[int, ...], box_size: tuple[float, ...]) -> tuple[Array, Array]:
    """|k| of every mode of a real transform, and whether it stands for one mode or for k and -k."""
    axes = [2 * math.pi * np.fft.fftfreq(n, length / n) for n, length in zip(shape, box_size, strict=True)]
    last = np.arange(shape[-1] // 2 + 1)
    axes[-1] = 2 * math.pi / box_size[-1] * last
    squares = np.square(axes[-1])
    twice = np.where((last == 0) | (2 * last == shape[-1]), 1.0, 2.0)
    for axis in reversed(axes[:-1]):
        squares = np.square(axis).reshape(-1, *(1,) * squares.ndim) + squares
    return np.sqrt(squares).ravel(), np.broadcast_to(twice, squares.shape).ravel()


def _hann(count: int) -> Array:
    window = np.sin(math.pi * (np.arange(count) + 0.5) / count) ** 2
    return window / math.sqrt(np.square(window).mean())


def _check_grid(shape: tuple[int, ...], box_size: tuple[float, ...], windowed: tuple[bool, ...]) -> None:
    if not len(shape) == len(box_size) == len(windowed) or not shape:
        raise ValueError(f"a grid {shape} needs a box size and a window per axis, not {box_size} and {windowed}")
    if min(shape) < 2:
        raise ValueError(f"a spectrum needs at least 2 points along every axis, not {shape}")
    if not all(0 < length < math.inf for length in box_size):
        raise ValueError(f"the box size {box_size} is not positive")
