"""What a network costs: parameters, tokens, floating-point operations."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from beeline.backbone.config import Sizes
from beeline.backbone.dit import DiT, count_parameters, position_table_size
from beeline.core.conditions import Conditions
from beeline.core.matmul import Matmul, multiplying
from beeline.core.tokens import Tokens
from beeline.model.codec import Codec
from beeline.model.network import Network

_PEAK_SECONDS, _SMALLEST_PRODUCT = 0.3, 256


@dataclass(frozen=True)
class Cost:
    """What one network pass over one sample takes.

    Args:
        parameters: trained numbers.
        position_table: numbers of a fixed position table, which the DiT paper counts as parameters.
        tokens: tokens of the most frequent form.
        width: numbers a token.
        flops: floating-point operations of a pass; one multiply or one add is one.
    """

    parameters: int
    position_table: int
    tokens: int
    width: int
    flops: int


def network_cost(network: Network, codec: Codec) -> Cost:
    """Count on a sample of the most frequent form of the training data.

    Args:
        network: any precision and device.
        codec: of the network.
    """
    blank = codec.tokenizer.blank(codec.forms[0][0])
    device = next(network.parameters()).device
    batch = codec.batch([codec.placeholder(blank)]).to(str(device))
    return Cost(
        count_parameters(network),
        position_table_size(network.backbone, network.space) if isinstance(network.backbone, DiT) else 0,
        blank.values.shape[1],
        blank.values.shape[2],
        count_flops(network, batch.tokens, batch.conditions),
    )


def expected_parameters(sizes: Sizes) -> int:
    """Trained numbers of the blocks, nearly all that a network has: 4 of attention, 2 r of the MLP, 6 of adaLN."""
    return int(sizes.depth * (10 + 2 * sizes.mlp_ratio) * sizes.hidden_size**2)


def expected_flops(sizes: Sizes, tokens: int) -> int:
    """Floating-point operations of a pass over one sample, without building the network: those of its blocks.

    Args:
        sizes: of the network.
        tokens: of the sample.
    """
    products = 2 * (4 + 2 * sizes.mlp_ratio) * sizes.hidden_size**2 * tokens
    attention = 4 * tokens**2 * sizes.hidden_size
    modulation = 12 * sizes.hidden_size**2  # once a sample
    return int(sizes.depth * (products + attention + modulation))


def count_flops(network: Network, tokens: Tokens, conditions: Conditions) -> int:
    """Floating-point operations of the matrix products and attention of one pass (multiply-adds count twice)."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # which the counter does not know
    counter = FlopCounterMode(display=False, custom_mapping={fused: _attention_flops})
    t = torch.full((tokens.samples,), 0.5, device=tokens.values.device)
    with torch.no_grad(), counter:
        network(tokens, t, conditions)
    return counter.get_total_flops()


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Of q k' and of the product with v, from the shapes (B, H, L, D)."""
    rows, heads, length, size = query
    return 2 * rows * heads * length * key[2] * (size + value[3])


@functools.cache
def gemm_peak(device: str, precision: str, threads: int | None = None, matmul: Matmul = "exact") -> float:
    """FLOPs a second of the fastest square matrix product found on this machine within a third of a second.

    One multiply or one add is one FLOP, so a product of n x n matrices counts 2 n^3. It is what the machine gives now,
    other work on it included, and measured once a process. The share of it that training reaches is its MFU (Chowdhery
    et al. 2022, appendix B).

    Args:
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``, of both factors.
        threads: CPU threads; as torch is set when None.
        matmul: how fp32 matrices are multiplied.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    begin, best, size = time.perf_counter(), 0.0, _SMALLEST_PRODUCT
    try:
        while (left := _PEAK_SECONDS - (time.perf_counter() - begin)) > 0:
            with multiplying(matmul, device):
                seconds = _product_seconds(size, device, torch.bfloat16 if precision == "bf16" else torch.float32)
            best = max(best, 2 * size**3 / seconds)
            if 32 * seconds < left:  # the product of twice the size takes 8 times as long, and is made 4 times
                size *= 2
        return best
    finally:
        torch.set_num_threads(before)


def _product_seconds(size: int, device: str, dtype: torch.dtype) -> float:
    """Seconds of the fastest of a few products, which neither warming up nor other work has slowed down."""
    # Not constant numbers: some chips multiply those faster.
    factor = torch.linspace(-1, 1, size * size, device=device).sin().to(dtype).view(size, size)
    seconds = math.inf
    for _ in range(4):
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        factor @ factor
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = min(seconds, time.perf_counter() - begin)
    return max(seconds, 1e-9)
