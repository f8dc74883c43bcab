"""Norms, in fp32 whatever the precision around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def layer_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """LayerNorm without affine parameters, at least in fp32: adaLN brings its own scale and shift."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return nn.functional.layer_norm(x, x.shape[-1:], eps=epsilon)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon), times a trained weight (Zhang & Sennrich 2019).

    Args:
        size: length of the last axis.
        epsilon: keeps zero vectors finite.
    """

    def __init__(self, size: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as ``x``."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.epsilon)
        return (wide * scale * self.weight).to(x.dtype)
