"""Tables that peers store though they are never trained: sin-cos positions, rotary cosines and sines.

Shapes: T tokens, D hidden numbers, K numbers a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from beeline.nn.positions import sincos_positions
from beeline.tokenizers.grid import GridTokenizer

ROTARY_PERIOD = 10000.0
_SAME = 1e-5


def position_table(extents: tuple[int, int], width: int) -> Tensor:
    """(1, T, D) the sin-cos table of a grid, column first, as DiT, SiT and LightningDiT store it."""
    coords = GridTokenizer((1, 1)).blank(extents).coords
    assert coords is not None
    return sincos_positions(coords, width)


def extents_of(table: Tensor, given: tuple[int, int] | None) -> tuple[tuple[int, int] | None, bool]:
    """The grid that a stored table belongs to, and whether it is that grid's sin-cos table.

    Args:
        table: (1, T, D).
        given: the grid that the user says, None for any.

    Returns:
        the grid: the one given, or the one whose sin-cos table this is, or the square one; None where there is none.
    """
    tokens, width = table.shape[1:]
    side = math.isqrt(tokens)
    shapes = [(rows, tokens // rows) for rows in range(1, tokens + 1) if tokens % rows == 0]
    candidates = sorted(shapes, key=lambda shape: abs(shape[0] - side)) if given is None else [given]
    for shape in candidates:
        if math.prod(shape) == tokens and is_same(table, position_table(shape, width)):
            return shape, True
    if given is not None:
        return given, False
    return ((side, side), False) if side * side == tokens else (None, False)


def rotary_tables(extents: tuple[int, int], head_size: int) -> dict[str, Tensor]:
    """(T, K) cosines and sines of adjacent pairs, rows before columns, as LightningDiT stores them."""
    half = head_size // 2
    frequency = 1.0 / (ROTARY_PERIOD ** (torch.arange(0, half, 2)[: half // 2].float() / half))
    axes = [torch.arange(extent).float()[:, None] * frequency for extent in extents]
    rows, columns = (axis.repeat_interleave(2, dim=-1) for axis in axes)
    height, width = extents
    angles = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1)
    flat = angles.reshape(height * width, -1)
    return {"feat_rope.freqs_cos": flat.cos(), "feat_rope.freqs_sin": flat.sin()}


def is_same(stored: Tensor, computed: Tensor) -> bool:
    """Whether a stored table is the computed one, up to the rounding of the machine and dtype that stored it."""
    if stored.shape != computed.shape or not stored.is_floating_point():
        return False
    tolerance = max(_SAME, 2 * torch.finfo(stored.dtype).eps)
    return bool(((stored.float() - computed).abs() <= tolerance).all())
