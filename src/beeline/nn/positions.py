"""Where a token is: fixed sin-cos, learned, and rotary positions, for any number of axes.

Shapes: B rows, L tokens a row, P axes, D numbers a token (or a head, for rotary positions), H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def frequencies(waves: int, max_period: float, period_BLP: Tensor | None, coords_BLP: Tensor) -> Tensor:
    """Angular frequencies w_k = max_period^(-k / waves) of an axis; on a periodic one the nearest that close upon it.

        w_k = 2 pi n_k / T,  n_k = max(1, round(T w_k / 2 pi))         T the period in tokens

    Args:
        waves: K, how many.
        max_period: longest wave over 2 pi.
        period_BLP: T of each axis, infinity where it has none; None where no axis has one.
        coords_BLP: positions, for their device.

    Returns:
        (K,) without periods, else (B, 1 or L, P, K).
    """
    steps = torch.arange(waves, device=coords_BLP.device, dtype=torch.float64)
    frequency = torch.exp(steps * (-math.log(max_period) / max(waves, 1)))
    if period_BLP is None:
        return frequency
    period = period_BLP[..., None].to(torch.float64)
    whole = (period * frequency / (2 * math.pi)).round().clamp(min=1) * (2 * math.pi / period)
    return torch.where(torch.isinf(period), frequency, whole)


def sincos_positions(
    coords_BLP: Tensor, width: int, max_period: float = 10000.0, period_BLP: Tensor | None = None
) -> Tensor:
    """Fixed positions: each axis takes width / P numbers, half sines and half cosines.

        [sin(x w_k) | cos(x w_k)],  w_k = max_period^(-k / (D / 2P)),  k = 0 ... D / 2P - 1

    The last axis comes first, as in the official DiT table (Peebles & Xie 2023, ``get_2d_sincos_pos_embed``).

    Args:
        coords_BLP: positions, one step a token.
        width: D; what does not divide by 2P is left zero.
        max_period: longest wave over 2 pi.
        period_BLP: as in ``frequencies``.
    """
    axes = coords_BLP.shape[-1]
    frequency = frequencies(width // (2 * axes), max_period, period_BLP, coords_BLP)
    angle = (coords_BLP[..., None].to(torch.float64) * frequency).flip(-2)
    table = torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)
    return nn.functional.pad(table, (0, width - table.shape[-1])).to(torch.float32)


class LearnedPositions(nn.Module):
    """One trained vector for each cell of a grid.

    Args:
        extents: cells along each axis.
        width: D.
    """

    def __init__(self, extents: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.extents = extents
        self.table = nn.init.normal_(nn.Parameter(torch.empty(math.prod(extents), width)), std=0.02)

    def forward(self, coords_BLP: Tensor) -> Tensor:
        """Look up (B, L, D); coordinates must lie inside ``extents``."""
        index = torch.zeros_like(coords_BLP[..., 0], dtype=torch.int64)
        for axis, extent in enumerate(self.extents):
            index = index * extent + coords_BLP[..., axis].round().to(torch.int64)
        return nn.functional.embedding(index, self.table)


def rotary_angles(
    coords_BLP: Tensor, head_size: int, max_period: float, period_BLP: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines by which ``rotate`` turns queries and keys, (B, 1, L, head_size / 2) each.

    Pair number k of an axis turns by x max_period^(-k / K); the head's pairs are shared out evenly among the axes
    and what is left over does not turn. Source: Su et al. 2021, "RoFormer", section 3.2, axis by axis.

    Args:
        coords_BLP: positions, any real numbers: only their differences matter to attention.
        head_size: numbers a head, even.
        max_period: longest wave over 2 pi.
        period_BLP: as in ``frequencies``: with it only differences modulo the period matter.
    """
    axes = coords_BLP.shape[-1]
    frequency = frequencies(head_size // (2 * axes), max_period, period_BLP, coords_BLP)
    angle = (coords_BLP[..., None].to(torch.float64) * frequency).flatten(-2)
    angle = nn.functional.pad(angle, (0, head_size // 2 - angle.shape[-1]))[:, None]
    return angle.cos().to(torch.float32), angle.sin().to(torch.float32)


def rotate(x_BHLD: Tensor, rotary: tuple[Tensor, Tensor], adjacent: bool = False) -> Tensor:
    """Turn each pair of numbers of a head by its angle, in fp32.

    Args:
        x_BHLD: queries or keys.
        rotary: cosines and sines of ``rotary_angles``.
        adjacent: pair number k is (2k, 2k + 1) instead of (k, k + D/2).
    """
    cosine, sine = (part.to(torch.promote_types(x_BHLD.dtype, torch.float32)) for part in rotary)
    first, second = x_BHLD.unflatten(-1, (-1, 2)).unbind(-1) if adjacent else x_BHLD.chunk(2, dim=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    joined = torch.stack(turned, dim=-1).flatten(-2) if adjacent else torch.cat(turned, dim=-1)
    return joined.to(x_BHLD.dtype)
