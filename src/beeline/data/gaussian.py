"""Gaussian random fields of a chosen power spectrum, and pairs of them of a chosen cross-correlation.

On a periodic box of volume V with N cells, with F the discrete Fourier transform and w white noise of unit variance,

    x = F^-1[ sqrt(P(k) N / V) F w ],      P(k) = V <|F x|^2> / N^2
    y = b F^-1[ r(k) F x + sqrt(1 - r(k)^2) F n ],   n independent of x and of the same spectrum

so that P_y = b^2 P_x and <F x conj(F y)> / sqrt(P_x P_y) = r(k), mode by mode. Here

    P(k) = a^2 V k^s / (sum of k^s over all modes but k = 0),   r(k) = 1 / (1 + (k / k_half)^2)

with a the standard deviation of x; the mode k = 0 is empty. Source: Peacock 1999, "Cosmological Physics", section 16.2;
r(k) is formed before any modulus is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class GaussianBox:
    """A periodic box of cells, and the law of the fields in it.

    Args:
        shape: cells along each axis.
        box: length of each axis.
        bias: b, by which the answer is larger.
        half: k_half, at which the correlation has fallen to 1/2, in radians a unit of length.
    """

    shape: tuple[int, ...] = (16, 16)
    box: float = 16.0
    bias: float = 3.0
    half: float = 1.0

    @cached_property
    def modes(self) -> Array:
        """|k| of every mode, of the box's shape, in radians a unit of length."""
        each = [2 * np.pi * np.fft.fftfreq(cells, self.box / cells) for cells in self.shape]
        return np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*each, indexing="ij")))

    def power(self, amplitude: float, slope: float) -> Array:
        """P(k) of every mode.

        Args:
            amplitude: a, above 0.
            slope: s.
        """
        modes = self.modes
        shares = np.where(modes > 0, np.where(modes > 0, modes, 1.0) ** slope, 0.0)
        return amplitude**2 * self.box ** len(self.shape) * shares / shares.sum()

    def correlation(self) -> Array:
        """r(k) of every mode."""
        return 1 / (1 + (self.modes / self.half) ** 2)

    def pair(self, law: Sequence[float], random: np.random.Generator) -> tuple[Array, Array]:
        """A field and its answer, each of the box's shape with one channel behind it.

        Args:
            law: (amplitude, slope).
            random: where noise comes from.
        """
        scale = np.sqrt(self.power(*law) * np.prod(self.shape) / self.box ** len(self.shape))
        first, other = (scale * np.fft.fftn(random.normal(size=self.shape)) for _ in range(2))
        kept = self.correlation()
        answer = self.bias * (kept * first + np.sqrt(1 - kept**2) * other)
        return np.fft.ifftn(first).real[..., None], np.fft.ifftn(answer).real[..., None]

    def pairs(self, count: int, random: np.random.Generator) -> Iterator[tuple[Array, Array, Array]]:
        """Fields, their answers and their laws, amplitudes uniform in [0.5, 2] and slopes in [-3, -1].

        Args:
            count: how many.
            random: where laws and noise come from.
        """
        for law in random.uniform([0.5, -3], [2, -1], (count, 2)):
            yield *self.pair(law, random), law

    def measured(self, pairs: Sequence[tuple[Array, Array, Sequence[float]]], shells: int) -> tuple[Array, Array]:
        """P_y over its truth and r(k), each (shells,), from sums over all modes of a shell of all pairs.

        Args:
            pairs: field, answer, both with one channel behind, and (amplitude, slope) of their law.
            shells: of equal width, up to the largest k along an axis.
        """
        modes, volume, cells = self.modes, self.box ** len(self.shape), np.prod(self.shape)
        edges = np.linspace(0, np.pi * min(self.shape) / self.box, shells + 1)
        shell = np.where(modes > 0, np.digitize(modes, edges[1:], right=True), shells + 1)
        sums = np.zeros((3, shells))
        for field, answer, law in pairs:
            truth = np.where(modes > 0, self.power(*law), 1.0) * cells**2 / volume
            first, second = np.fft.fftn(field[..., 0]), np.fft.fftn(answer[..., 0]) / self.bias
            products = (abs(first) ** 2, abs(second) ** 2, (first * second.conj()).real)
            for place, product in enumerate(products):
                sums[place] += np.bincount(shell.ravel(), (product / truth).ravel(), shells + 2)[:shells]
        counts = np.bincount(shell.ravel(), minlength=shells + 2)[:shells] * len(pairs)
        return sums[1] / counts, sums[2] / np.sqrt(sums[0] * sums[1])

    def truth(self, shells: int) -> Array:
        """r(k) of each shell, as ``measured`` measures it of endless data: (shells,)."""
        modes = self.modes
        edges = np.linspace(0, np.pi * min(self.shape) / self.box, shells + 1)
        shell = np.where(modes > 0, np.digitize(modes, edges[1:], right=True), shells + 1).ravel()
        counts = np.bincount(shell, minlength=shells + 2)[:shells]
        return np.bincount(shell, self.correlation().ravel(), shells + 2)[:shells] / counts

    def errors(self, pairs: Sequence[tuple[Array, Array, Sequence[float]]], shells: int) -> tuple[float, float]:
        """Largest |ln (P / truth)| and largest |r - truth| over the shells of ``measured``."""
        power, correlation = self.measured(pairs, shells)
        return float(abs(np.log(power)).max()), float(abs(correlation - self.truth(shells)).max())
