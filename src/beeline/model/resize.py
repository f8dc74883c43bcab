"""Weights for patches, channels and grids of other sizes.

Shapes: P cells of a patch, C channels, D hidden numbers, K outputs, G cells of a grid of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True)
class PatchCells:
    """What the numbers of a token are: those of a patch, channel by channel.

    Args:
        patch: cells along each axis; empty where a token is not a patch.
        channels: numbers a cell.
    """

    patch: tuple[int, ...]
    channels: int

    @property
    def volume(self) -> int:
        """Cells of a patch."""
        return math.prod(self.patch)

    @property
    def numbers(self) -> int:
        """Numbers of a token."""
        return self.volume * self.channels

    def with_channels(self, channels: int) -> PatchCells:
        """The same patch with another number of channels."""
        return PatchCells(self.patch, channels)


def linear_resize(before: int, after: int) -> Tensor:
    """The matrix (after, before), float64, that resizes an axis by linear interpolation between centres of cells.

    Beyond the outermost centres the outermost cell is repeated; where it shrinks, the triangle widens with the ratio.
    """
    ratio = before / after
    centres = (torch.arange(after, dtype=torch.float64) + 0.5) * ratio - 0.5
    distance = (centres[:, None] - torch.arange(before, dtype=torch.float64)).abs() / max(1.0, ratio)
    weights = (1.0 - distance).clamp(min=0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def patch_resize(before: Sequence[int], after: Sequence[int]) -> Tensor:
    """B (P', P), float64, that resizes a patch along all its axes."""
    axes = [linear_resize(*pair) for pair in zip(before, after, strict=True)]
    return reduce(torch.kron, axes, torch.ones(1, 1, dtype=torch.float64))


def resize_inputs(weight: Tensor, before: PatchCells, after: PatchCells) -> Tensor:
    """Weights (D, P C) of a layer that reads tokens, for tokens of other patches and channels (D, P' C').

        w' = pinv(B)^T w,   whence <B x, w'> = <x, w> wherever patches grow   (Beyer et al. 2023, section 3.4)

    Further channels start at zero; those that are no more are left.
    """
    cells = weight.to(torch.float64).unflatten(-1, (before.volume, before.channels))
    if before.patch != after.patch:
        inverse = torch.linalg.pinv(patch_resize(before.patch, after.patch))
        cells = torch.einsum("pq,dpc->dqc", inverse, cells)
    return _with_channels(cells, after.channels).flatten(-2).to(weight.dtype)


def resize_outputs(rows: Tensor, before: PatchCells, after: PatchCells, outputs: int) -> Tensor:
    """Rows (K P C, ...) that make tokens, for tokens of other patches and channels and ``outputs`` numbers for each.

    Every patch that they make is resized linearly; further channels and outputs start at zero, others are left.
    """
    whole = rows.to(torch.float64).reshape(-1, before.volume, before.channels, *rows.shape[1:])
    if before.patch != after.patch:
        whole = torch.einsum("qp,kp...->kq...", patch_resize(before.patch, after.patch), whole)
    whole = _with_channels(whole.movedim(2, -1), after.channels).movedim(-1, 2)
    missing = whole.new_zeros(max(0, outputs - len(whole)), *whole.shape[1:])
    return torch.cat([whole[:outputs], missing]).flatten(0, 2).to(rows.dtype)


def resize_grid(table: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """A table (G, D) of vectors on a grid for a grid of other extents (G', D): bicubic over 2 axes, else linear."""
    if tuple(before) == tuple(after):
        return table
    grid = table.to(torch.float64).reshape(*before, -1)
    if len(before) == 2:
        grid = torch.nn.functional.interpolate(grid.movedim(-1, 0)[None], size=tuple(after), mode="bicubic")
        grid = grid[0].movedim(0, -1)
    else:
        for axis, pair in enumerate(zip(before, after, strict=True)):
            grid = torch.tensordot(linear_resize(*pair), grid, dims=([1], [axis])).movedim(0, axis)
    return grid.reshape(-1, table.shape[-1]).to(table.dtype)


def _with_channels(cells: Tensor, channels: int) -> Tensor:
    """As many channels along the last axis: the first ones kept, further ones zero."""
    return torch.nn.functional.pad(cells[..., :channels], (0, max(0, channels - cells.shape[-1])))
