"""Islands of full precision under autocast."""

from __future__ import annotations

import torch

from beeline.nn.precision import full_precision


def test_an_island_computes_in_fp32_and_leaves_autocast_as_it_was() -> None:
    x = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
    with full_precision(x):
        assert (x @ x).dtype == torch.float32
