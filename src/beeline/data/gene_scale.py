"""Expression gene by gene: each about its own mean and in units of its own deviation.

    z_g = (x_g - m_g) / s_g        s_g = max(deviation of gene g, r / 10),  r^2 = mean over genes of variance_g

m is the mean over training cells. Where control cells c are lent, m_g is theirs in its place, mean_m c_mg, so that what
a population is like and what becomes of it are told apart: a sample of noise alone then has the mean of its control
cells and the spread of all cells, gene by gene, before anything is learned. The least deviation keeps a gene that next
to no training cell has from being all there is to a loss.

Shapes: G genes, M control cells.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Self

import numpy as np

from beeline.core.errors import UserError
from beeline.data.moments import channel_moments

Array = np.ndarray[Any, Any]
_LEAST = 0.1


@dataclass(frozen=True)
class GeneScale:
    """Vectors (G,) of expression to numbers of zero mean and about unit scale, every gene by itself.

    Args:
        lowest: what numbers below it become on the way back, such as 0 of expression; none when None.
        fitted: m and s as base64 of float32, once fitted.
    """

    lowest: float | None = None
    fitted: str = ""

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure mean and deviation of each gene over the training cells.

        Raises:
            UserError: no gene varies.
        """
        first = next(arrays := iter(arrays))
        _, mean, deviation = channel_moments(chain([first], arrays), len(first))
        overall = float(np.sqrt(np.square(deviation).mean()))
        if not overall > 0:
            raise UserError("no gene varies among the training cells; there is nothing to learn")
        kept = np.stack([mean, np.maximum(deviation, _LEAST * overall)]).astype("<f4")
        return replace(self, fitted=base64.b64encode(kept.tobytes()).decode("ascii"))

    def apply(self, array: Array) -> Array:
        """(G,) native numbers to float32.

        Raises:
            ValueError: the array has another shape.
        """
        mean, deviation = self._parts
        if array.shape != mean.shape:
            raise ValueError(f"need shape {mean.shape}, not {array.shape}")
        return ((array - mean) / deviation).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Back to native units, float32."""
        mean, deviation = self._parts
        native = array * deviation + mean
        return np.asarray(native if self.lowest is None else np.maximum(native, self.lowest), dtype=np.float32)

    def relative(self, array: Array, like: Array) -> Array:
        """Normalised numbers about the mean of control cells.

        Args:
            array: (G,) normalised.
            like: (M, G) or (G,), native.
        """
        return array - self._middle(like)

    def absolute(self, array: Array, like: Array) -> Array:
        """Undo ``relative``."""
        return array + self._middle(like)

    def _middle(self, like: Array) -> Array:
        return self.apply(np.atleast_2d(like).mean(axis=0, dtype=np.float64))

    @cached_property
    def _parts(self) -> tuple[Array, Array]:
        mean, deviation = np.frombuffer(base64.b64decode(self.fitted), dtype="<f4").reshape(2, -1).astype(np.float64)
        return mean, deviation
