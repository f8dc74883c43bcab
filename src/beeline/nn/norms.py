"""Norms, in fp32 whatever the precision around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def layer_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """LayerNorm without affine parameters, at least in fp32: adaLN brings its own scale and shift."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return nn.functional.layer_norm(x, x.shape[-1:], eps=epsilon)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon), at least in fp32.

    Args:
        size: length of the last axis.
        epsilon: keeps constant vectors finite.
        affine: whether a trained weight and bias follow.
    """

    def __init__(self, size: int, epsilon: float = 1e-6, affine: bool = False) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.affine = affine
        if affine:
            self.weight = nn.Parameter(torch.ones(size))
            self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; fp32 where nothing trained follows, else the dtype of ``x``."""
        y = layer_norm(x, self.epsilon)
        return (y * self.weight + self.bias).to(x.dtype) if self.affine else y


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


def build_norm(kind: str, size: int, epsilon: float = 1e-6) -> nn.Module:
    """The norm before a modulated sub-layer: ``layer`` without parameters, or ``rms`` with weights."""
    return RMSNorm(size, epsilon) if kind == "rms" else LayerNorm(size, epsilon)
