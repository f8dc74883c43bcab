"""What must hold where samples of several lengths share rows."""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.backbone.dit import DiT, TokenSpace
from beeline.core.batching import collate, pack, unbatch
from beeline.core.tokens import Layout, Tokens
from benchmarks.gpu.findings import Finding, Tensors, apart

_LENGTHS = (40, 200, 40, 200, 8)
_DEVIATION = 0.1  # of what starts at zero
_HALF = 2e-2  # bf16 keeps 8 bits of each number


def packing(device: str) -> list[Finding]:
    """Samples that share rows come out, and teach, as they do in rows of their own; in bf16.

    Args:
        device: cpu or cuda.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = DiT(ModelConfig(hidden_size=128, depth=2, num_heads=2), TokenSpace(4))
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=_DEVIATION)
        samples = [Tokens(torch.randn(1, each, 4), layout=(Layout((each,), (each,)),)) for each in _LENGTHS]
    model = model.to(device)

    def told(tokens: Tokens) -> Tensors:
        here, times = tokens.to(device), torch.linspace(100, 900, len(samples), device=device)
        with torch.autocast(device, torch.bfloat16):
            found: Tensor = model.over(here.values, times, None, model.frame_of(here))
        alone = [each.values.float() for each in unbatch(here.with_values(found))]
        loss = torch.cat(alone, dim=1).square().sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        learned = {str(place): each for place, each in enumerate(gradients)}
        return {**learned, "outputs": torch.cat(alone, dim=1).detach()}

    padded, packed = told(collate(samples)), told(pack(samples, 256))
    named = {"outputs": ["outputs"], "gradients": [name for name in padded if name != "outputs"]}
    return [
        Finding(
            f"{what} of samples in rows of their own and packed, bf16",
            apart({name: padded[name] for name in names}, {name: packed[name] for name in names}),
            _HALF,
        )
        for what, names in named.items()
    ]
