"""Patches of 1-D, 2-D, 3-D ... arrays.

An array (E_1, ..., E_P, C) becomes one token a patch, row-major over the grid of patches; inside a token the order
is (patch axes ..., channel), channel last. It is a permutation of numbers, so noise in tokens is noise in data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.tokens import Layout, Tokens


@dataclass(frozen=True)
class GridTokenizer:
    """Patches of an array with any number of axes; extents need not be multiples of the patch.

    Args:
        patch: cells of a patch along each axis.
        channels: numbers a cell.
        periodic: whether the last cell of each axis is a neighbour of its first; empty where none is.

    Raises:
        UserError: a patch size or the channel count is below 1, or ``periodic`` has another number of axes.
    """

    patch: tuple[int, ...]
    channels: int = 1
    periodic: tuple[bool, ...] = ()

    exact = True
    identities = 0

    def __post_init__(self) -> None:
        if not self.patch or min(self.patch) < 1 or self.channels < 1:
            raise UserError(f"patch {self.patch} and channels {self.channels} must be whole numbers above 0")
        if self.periodic and len(self.periodic) != self.axes:
            raise UserError(f"periodic {self.periodic}: say true or false for each of {self.axes} axes")

    @property
    def width(self) -> int:
        """Numbers a token: the patch's volume times the channels."""
        return math.prod(self.patch) * self.channels

    @property
    def axes(self) -> int:
        """Coordinates a token."""
        return len(self.patch)

    def fit(self, arrays: Iterable[Any]) -> Self:
        """Nothing to measure."""
        return self

    def encode(self, array: Tensor) -> Tokens:
        """One array (E_1, ..., E_P, C) to Tokens with B = 1, zero-padded at the far ends to whole patches.

        Raises:
            UserError: the array has other axes or channels, is empty, or is periodic and not of whole patches.
        """
        if array.dim() != self.axes + 1 or array.shape[-1] != self.channels or not array.numel():
            raise UserError(
                f"an array of shape {tuple(array.shape)} does not fit: need {self.axes} axes of at least one cell "
                f"and {self.channels} channels last"
            )
        shape = self.form(array)
        extents = self._extents(shape)
        whole = all(e * p == s for e, p, s in zip(extents, self.patch, shape, strict=True))
        return Tokens(
            self.lift(array),
            coords=_coordinates(extents),
            cells=None if whole else self.lift(torch.ones(array.shape)).bool(),
            layout=(Layout(extents, shape, self._period(extents, shape)),),
        )

    def decode(self, tokens: Tokens) -> Tensor:
        """Undo ``encode`` on a single sample: (E_1, ..., E_P, C)."""
        layout = tokens.layout[0]
        patches = tokens.values[0].reshape(*layout.extents, *self.patch, self.channels)
        order = [axis for pair in zip(range(self.axes), range(self.axes, 2 * self.axes), strict=True) for axis in pair]
        whole = patches.permute(*order, 2 * self.axes)
        whole = whole.reshape(*(e * p for e, p in zip(layout.extents, self.patch, strict=True)), self.channels)
        return whole[tuple(slice(0, extent) for extent in layout.shape)]

    def lift(self, array: Tensor, like: Tokens | None = None) -> Tensor:
        """Arrange an array (E_1, ..., E_P, K) with any channels as ``encode`` arranges the data: (1, L, K').

        Args:
            array: something aligned with the data.
            like: a sample whose extents an axis of length 1 is repeated to, so that a mask of channels needs no
                extents of its own.
        """
        if like is not None:
            array = array.expand(*like.layout[0].shape, array.shape[-1])
        shape = self.form(array)
        extents = self._extents(shape)
        missing = [(0, e * p - s) for e, p, s in zip(extents, self.patch, shape, strict=True)]
        if any(pad for _, pad in missing):
            flat = [n for pair in reversed([*missing, (0, 0)]) for n in pair]
            array = torch.nn.functional.pad(array, flat)
        split = [n for pair in zip(extents, self.patch, strict=True) for n in pair]
        cells = array.reshape(*split, array.shape[-1])
        order = [*range(0, 2 * self.axes, 2), *range(1, 2 * self.axes, 2), 2 * self.axes]
        return cells.permute(*order).reshape(1, math.prod(extents), -1)

    def lift_width(self, channels: int) -> int:
        """Numbers a token of a lifted array with that many channels."""
        return math.prod(self.patch) * channels

    def form(self, array: Tensor) -> tuple[int, ...]:
        """The array's extents."""
        return tuple(array.shape[:-1])

    def blank(self, form: tuple[int, ...]) -> Tokens:
        """Zero tokens of an array with those extents.

        Raises:
            UserError: the extents do not fit this tokenizer's axes.
        """
        if len(form) != self.axes or min(form) < 1:
            axes = f"{self.axes} {'axis' if self.axes == 1 else 'axes'}"
            example = "x".join(["16"] * self.axes)
            raise UserError(f"shape {'x'.join(map(str, form))}: this data has {axes}; say, for example, {example}")
        return self.encode(torch.zeros(*form, self.channels))

    def _period(self, extents: tuple[int, ...], shape: tuple[int, ...]) -> tuple[float | None, ...]:
        if not any(self.periodic):
            return ()
        for periodic, patch, extent in zip(self.periodic, self.patch, shape, strict=True):
            if periodic and extent % patch:
                raise UserError(f"a periodic axis of {extent} cells does not divide into patches of {patch}")
        return tuple(float(each) if turns else None for turns, each in zip(self.periodic, extents, strict=True))

    def _extents(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(-(-s // p) for s, p in zip(shape, self.patch, strict=True))


@lru_cache(maxsize=1024)
def _coordinates(extents: tuple[int, ...]) -> Tensor:
    """(1, L, P) row-major places on a grid; one tensor for all samples of a size, so that batches share it."""
    axes = [torch.arange(extent, dtype=torch.float32) for extent in extents]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(1, -1, len(extents))
