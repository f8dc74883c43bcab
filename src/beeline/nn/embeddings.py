"""The embedding of time, and embedders that every block has of its own.

Shapes: N samples, D hidden numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def sinusoid(t_N: Tensor, width: int = 256, max_period: float = 10000.0, divisor: int | None = None) -> Tensor:
    """Waves of t, cosines first: [cos(t w_k) | sin(t w_k)], w_k = max_period^(-k / divisor).

    Source: Peebles & Xie 2023, ``timestep_embedding``, where the divisor is width / 2; diffusers takes one less, and
    the same weights then see waves of other phases.

    Args:
        t_N: what ``Process.time_input`` gives, of order 1000.
        width: numbers of the embedding; an odd one ends with a zero.
        max_period: longest wave over 2 pi.
        divisor: width / 2 when None.
    """
    half = width // 2
    steps = torch.arange(half, device=t_N.device, dtype=torch.float32)
    frequency = torch.exp(-math.log(max_period) * steps / (divisor or half))
    angle = t_N[:, None].to(torch.float32) * frequency
    return nn.functional.pad(torch.cat([angle.cos(), angle.sin()], dim=-1), (0, width % 2))


class TimeEmbedding(nn.Module):
    """Sinusoid of 256 numbers, then a two-layer network to the hidden size.

    Args:
        hidden_size: D.
        divisor: of the exponents of the frequencies.
    """

    waves = 256

    def __init__(self, hidden_size: int, divisor: int = 128) -> None:
        super().__init__()
        self.divisor = divisor
        self.first = nn.Linear(self.waves, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, t_N: Tensor) -> Tensor:
        """(N,) time inputs to (N, D)."""
        waves = sinusoid(t_N, self.waves, divisor=self.divisor).to(self.first.weight.dtype)
        hidden: Tensor = self.second(nn.functional.silu(self.first(waves)))
        return hidden


class PerBlock(nn.Module):
    """An embedder for every block: what each of them says, side by side.

    Args:
        copies: one module for each block, of the same inputs.
    """

    def __init__(self, copies: Iterable[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The inputs of one embedder to (N, blocks, D)."""
        return torch.stack([copy(*inputs) for copy in self.copies], dim=1)
