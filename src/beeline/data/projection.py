"""The principal components of data, as many as are worth modelling, and the rest kept aside.

    z = s W (x - m)        x = m + W^T z / s + r        W (k, G) with orthonormal rows, r = x - m - W^T W (x - m)

s brings the first component to a deviation of 3, so that all of them keep the sizes that they have to one another. What
lies outside of the components, r, is left out: of cells most of it is the noise of counting. Where a sample starts from
another (``Completing``), it takes that one's r; of several that are given, row i takes that of number i modulo M. A
sample can be told about the mean of these others, z - mean_m s W (c_m - m), so that what a population is like and what
becomes of it are told apart, and one that was never seen is where it belongs to begin with.

Shapes: N arrays, G numbers each (genes), k components, S rows of an array, M others.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from beeline.core.errors import UserError

Array = np.ndarray[Any, Any]
_FIRST = 3.0
MOST_NUMBERS = 5000  # beside which a covariance matrix has 25 million entries


@dataclass(frozen=True)
class Projection:
    """Vectors (G,) to columns (k, 1) of principal components, and back to what these hold of them; or row by row.

    Args:
        components: k, at least 1; at most as many as the training arrays span.
        lowest: what numbers below it become on the way back, such as 0 of expression; none when None.
        rows: whether arrays are sets of vectors, (S, G) to (S, k), with the same components for all.
        about: whether samples are told about the mean of others, where there are some.
        scale: s, once fitted.
        numbers: G, once fitted.
        fitted: m and W as base64 of float32, once fitted.
    """

    components: int = 32
    lowest: float | None = None
    rows: bool = False
    about: bool = False
    scale: float = 1.0
    numbers: int = 0
    fitted: str = ""

    def __post_init__(self) -> None:
        if self.components < 1:
            raise UserError(f"components {self.components}: must be at least 1")

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure mean and principal components of the training arrays.

        Raises:
            UserError: they have too many numbers each, or span fewer dimensions than components are asked for.
        """
        total, products, count = np.zeros(0), np.zeros((0, 0)), 0
        for block in _blocks(arrays, 1 + self.rows):
            if block.shape[1] > MOST_NUMBERS:
                raise UserError(
                    f"principal components of {block.shape[1]:,} numbers: at most {MOST_NUMBERS:,} can be taken; "
                    "choose the most variable ones first"
                )
            if not count:
                total, products = np.zeros(block.shape[1]), np.zeros((block.shape[1],) * 2)
            total, products, count = total + block.sum(axis=0), products + block.T @ block, count + len(block)
        mean = total / count
        variances, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
        largest, rows = variances[::-1][: self.components], vectors.T[::-1][: self.components]
        if len(largest) < self.components or largest[-1] <= 1e-10 * max(largest[0], 1e-300):
            raise UserError(
                f"components {self.components}: {count:,} training arrays of {len(mean):,} numbers span fewer; ask for "
                "fewer"
            )
        rows = rows * np.where(rows[np.arange(len(rows)), abs(rows).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
        kept = np.concatenate([mean[None], rows]).astype("<f4")
        text = base64.b64encode(kept.tobytes()).decode("ascii")
        return replace(self, scale=float(_FIRST / np.sqrt(largest[0])), numbers=len(mean), fitted=text)

    def apply(self, array: Array) -> Array:
        """(G,) to (k, 1), or (S, G) to (S, k).

        Raises:
            ValueError: the array has another shape.
        """
        if array.ndim != 1 + self.rows or array.shape[-1] != self.numbers:
            wanted = f"(any, {self.numbers})" if self.rows else f"({self.numbers},)"
            raise ValueError(f"need shape {wanted}, not {array.shape}")
        found = self.along(array)
        return found if self.rows else found[:, None]

    def relative(self, array: Array, like: Array) -> Array:
        """Components about the mean of those of several vectors (M, G), where samples are told so."""
        return array - self._middle(like)

    def absolute(self, array: Array, like: Array) -> Array:
        """Undo ``relative``."""
        return array + self._middle(like)

    def along(self, vectors: Array) -> Array:
        """(..., G) to (..., k): components of vectors, however many there are."""
        mean, rows = self._parts
        return np.asarray(self.scale * ((vectors.astype(np.float64) - mean) @ rows.T), dtype=np.float32)

    @property
    def mean(self) -> Array:
        """(G,) mean m of the training vectors, float32."""
        return self._parts[0].astype(np.float32)

    def mixing(self) -> str:
        """Principal components: no gene stands alone."""
        return "modelled by their principal components"

    def undo(self, array: Array) -> Array:
        """(k, 1) to what the components hold of an array, (G,); or (S, k) to (S, G)."""
        return self._cut(self._held(self._columns(array))).astype(np.float32)

    def undo_beside(self, array: Array, like: Array) -> Array:
        """The same with what the components leave out, r, as other vectors have it.

        Args:
            array: (k, 1) or (S, k).
            like: (G,), or (M, G) of which row i has the r of number i modulo M.
        """
        held = self._held(self._columns(array))
        others = np.atleast_2d(like)
        others = others[np.arange(len(array) if self.rows else 1) % len(others)]
        rest = others.astype(np.float64) - self._held(self.along(others))
        return self._cut(held + (rest if self.rows else rest[0])).astype(np.float32)

    def _middle(self, like: Array) -> Array:
        """(k,) or (k, 1), to be taken from arrays: mean of others; zeros where samples are told as they are."""
        middle = self.along(like).mean(axis=0) if self.about else np.zeros(self.components, np.float32)
        return middle if self.rows else middle[:, None]

    def _columns(self, array: Array) -> Array:
        """(..., k)"""
        return array if self.rows else array[:, 0]

    def _held(self, array: Array) -> Array:
        mean, rows = self._parts
        return np.asarray(mean + (array.astype(np.float64) / self.scale) @ rows)

    def _cut(self, array: Array) -> Array:
        return array if self.lowest is None else np.maximum(array, self.lowest)

    @cached_property
    def _parts(self) -> tuple[Array, Array]:
        kept = np.frombuffer(base64.b64decode(self.fitted), dtype="<f4").reshape(-1, self.numbers).astype(np.float64)
        return kept[0], kept[1:]


def _blocks(arrays: Iterable[Array], axes: int, most: int = 512) -> Iterable[Array]:
    held: list[Array] = []
    for array in arrays:
        if array.ndim != axes:
            wanted = "vectors" if axes == 1 else "rows of vectors"
            raise UserError(f"principal components: need {wanted}, not arrays of shape {array.shape}")
        held.append(np.atleast_2d(array))
        if sum(map(len, held)) >= most:
            yield np.concatenate(held).astype(np.float64)
            held = []
    if held:
        yield np.concatenate(held).astype(np.float64)
