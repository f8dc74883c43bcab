"""What must hold where samples of several lengths share rows."""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.tokens import Layout, Tokens
from beeline.nn.attention import Runs, attention, packed_mask
from benchmarks.gpu.findings import Finding, Tensors, apart

_HALF = 2e-2  # bf16 keeps 8 bits of each number


def packing(device: str) -> list[Finding]:
    """Samples of several lengths in one row are what they are by themselves, as they are attended to in bf16.

    Args:
        device: cpu or cuda.
    """
    lengths = [5, 32, 1, 17, 64, 9]
    segment = torch.full((2, 80), -1)
    for row, members in enumerate(((0, 1, 2, 3), (4, 5))):
        owners = torch.cat([torch.full((lengths[member],), member) for member in members])
        segment[row, : len(owners)] = owners
    tokens = Tokens(torch.empty(2, 80, 1), segment=segment, layout=(Layout((1,), (1,)),) * len(lengths)).to(device)
    starts = tokens.starts()
    assert tokens.segment is not None
    assert starts is not None
    generator = torch.Generator().manual_seed(0)
    shape = (2, 2, 80, 64)
    inputs = [torch.randn(shape, generator=generator).to(device, torch.bfloat16).requires_grad_() for _ in range(3)]

    def told(sight: Runs | Tensor) -> Tensors:
        q, k, v = inputs
        found = attention(q, k, v, sight).transpose(1, 2)[segment.to(device) >= 0]
        gradients = torch.autograd.grad(found.float().square().sum(), inputs)
        return {"attended": found.detach(), **dict(zip("qkv", gradients, strict=True))}

    found, expected = told(Runs(tokens.segment, starts)), told(packed_mask(tokens.segment))
    return [Finding("attention in packed rows, by lengths and under a mask, bf16", apart(expected, found), _HALF)]
