"""Norms, in fp32 whatever the precision around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def layer_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """LayerNorm without affine parameters, at least in fp32: adaLN brings its own scale and shift."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return nn.functional.layer_norm(x, x.shape[-1:], eps=epsilon)


def modulated_layer_norm(x: Tensor, shift: Tensor, scale: Tensor, epsilon: float = 1e-6) -> Tensor:
    """LN(x) (1 + scale) + shift, at least in fp32; for the way back LN(x) is computed again rather than kept.

    Args:
        x: (B, L, D).
        shift: broadcastable to the shape of ``x``, which it does not widen.
        scale: the same.
        epsilon: keeps constant vectors finite.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return torch.addcmul(shift, layer_norm(x, epsilon), 1.0 + scale)
    found: Tensor = _Modulated.apply(x.to(torch.promote_types(x.dtype, torch.float32)), shift, scale, epsilon)
    return found


class _Modulated(torch.autograd.Function):
    """Layer norm and modulation as one operation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, epsilon: float) -> Tensor:
        """n = (x - mean) / deviation,  y = n (1 + scale) + shift."""
        normed, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, epsilon)
        ctx.save_for_backward(x, mean, inverse, shift, scale)
        return torch.addcmul(shift, normed, 1.0 + scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """dshift = sum dy,  dscale = sum n dy,  dn = (1 + scale) dy; dx by torch's layer norm."""
        x, mean, inverse, shift, scale = ctx.saved_tensors
        normed = (x - mean).mul_(inverse)
        of_normed = grad * (1.0 + scale)
        of_x = torch.ops.aten.native_layer_norm_backward(
            of_normed, x, x.shape[-1:], mean, inverse, None, None, [True, False, False]
        )[0]
        return of_x, grad.sum_to_size(shift.shape), normed.mul_(grad).sum_to_size(scale.shape), None


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
