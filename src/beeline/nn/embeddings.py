"""The embedding of time.

Shapes: N samples, D hidden numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoid(t_N: Tensor, width: int = 256, max_period: float = 10000.0) -> Tensor:
    """Waves of t, cosines first: [cos(t w_k) | sin(t w_k)], w_k = max_period^(-k / (width / 2)).

    Source: Peebles & Xie 2023, ``timestep_embedding``: the divisor is width / 2, where diffusers takes one less.

    Args:
        t_N: what ``Process.time_input`` gives, of order 1000.
        width: numbers of the embedding; an odd one ends with a zero.
        max_period: longest wave over 2 pi.
    """
    half = width // 2
    frequency = torch.exp(torch.arange(half, device=t_N.device, dtype=torch.float32) * (-math.log(max_period) / half))
    angle = t_N[:, None].to(torch.float32) * frequency
    return nn.functional.pad(torch.cat([angle.cos(), angle.sin()], dim=-1), (0, width % 2))


class TimeEmbedding(nn.Module):
    """Sinusoid of 256 numbers, then a two-layer network to the hidden size.

    Args:
        hidden_size: D.
    """

    waves = 256

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(self.waves, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, t_N: Tensor) -> Tensor:
        """(N,) time inputs to (N, D)."""
        waves = sinusoid(t_N, self.waves).to(self.first.weight.dtype)
        hidden: Tensor = self.second(nn.functional.silu(self.first(waves)))
        return hidden
