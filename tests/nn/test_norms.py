"""Norms: the published formula, in fp32 whatever comes in."""

from __future__ import annotations

import torch
from torch.nn import functional

from beeline.nn.norms import RMSNorm


def shaken_norm() -> RMSNorm:
    """Weights away from one, so that leaving them out shows."""
    norm = RMSNorm(64)
    torch.nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))
    return norm


def test_the_root_mean_square_is_not_centred_and_is_weighted() -> None:
    norm = shaken_norm().double()
    x = 0.01 * (1 + torch.randn(4, 64, generator=torch.Generator().manual_seed(1)).double())
    torch.testing.assert_close(norm(x), functional.rms_norm(x, (64,), norm.weight, 1e-6))


def test_bf16_numbers_are_normalised_in_full_precision_and_rounded_once() -> None:
    norm, x = shaken_norm(), torch.randn(16, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert norm(x).dtype == torch.bfloat16
    torch.testing.assert_close(norm(x).double(), norm(x.double()), rtol=2**-8 + 1e-5, atol=0)
