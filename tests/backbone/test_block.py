"""Attention inside a block, written out: norms, then rotations, of queries and keys alike."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from beeline.backbone.block import SelfAttention
from beeline.backbone.frame import Surroundings
from beeline.nn.positions import rotary_angles, rotate


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("qk_norm", [None, "rms", "layer"])
def test_queries_and_keys_are_normalised_then_turned_then_compared(
    qk_norm: str | None, adjacent: bool, rotary: bool
) -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(32, 4, qk_norm, adjacent).double(), torch.randn(2, 5, 32).double()
    q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in layer.qkv(x).chunk(3, dim=-1))
    if qk_norm:
        for norm in (layer.q_norm, layer.k_norm):
            nn.init.normal_(norm.weight)  # type: ignore[arg-type]
        q, k = layer.q_norm(q), layer.k_norm(k)
    angles = rotary_angles(9 * torch.rand(1, 5, 2), 8, 50.0) if rotary else None
    if angles is not None:
        q, k = rotate(q, angles, adjacent), rotate(k, angles, adjacent)
    mixed = torch.softmax(q @ k.mT / math.sqrt(8), dim=-1) @ v
    expected = layer.projection(mixed.transpose(1, 2).flatten(-2))
    torch.testing.assert_close(layer(x, Surroundings(rotary=angles)), expected)
