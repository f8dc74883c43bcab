"""Low-rank additions to the weights of linear layers, and what they add up to.

    W + s B A,   s = alpha / rank,   A (rank, in),   B (out, rank)

B starts at zero, so that a layer computes at birth what it computed before. Source: Hu et al. 2021, "LoRA", section 4.
In files it is three tensors beside ``LAYER.weight``: ``LAYER.weight.lora_A``, ``.lora_B`` and ``.lora_scale``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from beeline.nn.precision import full_precision

_DOWN, _UP, _SCALE = (f".lora_{part}" for part in ("A", "B", "scale"))


def low_rank_sum(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """W + s B A in the precision of the weights: the one place where it is computed, so that merging changes no bit.

    Args:
        weight: (out, in).
        down: A, (rank, in).
        up: B, (out, rank).
        scale: s, a single number.
    """
    with full_precision(weight):
        return weight + scale * (up @ down)


class LowRank(nn.Module):
    """The addition to one weight, as a parametrization of it.

    Args:
        weight: (out, in), for sizes and device.
        rank: inner size, at least 1.
        alpha: s times the rank.
    """

    lora_scale: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.lora_A = nn.Parameter(weight.new_empty(rank, inputs))
        self.lora_B = nn.Parameter(weight.new_zeros(outputs, rank))
        self.register_buffer("lora_scale", torch.tensor(alpha / rank, dtype=weight.dtype, device=weight.device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """(out, in) to the same shape."""
        return low_rank_sum(weight, self.lora_A, self.lora_B, self.lora_scale)


def add_low_rank(layer: nn.Linear, rank: int, alpha: float) -> None:
    """Let a linear layer compute with W + s B A; its own W is kept under ``plain_name`` as before."""
    parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank, alpha))


def plain_name(name: str) -> str:
    """What a tensor of a network is called in files, whether or not something was added to its layer."""
    name = re.sub(r"\.parametrizations\.weight\.original$", ".weight", name)
    return re.sub(r"\.parametrizations\.weight\.0(\.lora_\w+)$", r".weight\1", name)


def is_low_rank(name: str) -> bool:
    """Whether a tensor, by its plain name, is part of an addition."""
    return name.endswith((_DOWN, _UP, _SCALE))


def merged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network without additions that computes the same, to the last bit on the same device.

    Args:
        tensors: by plain name; as they are where there is no addition among them.
    """
    whole = {name: tensor for name, tensor in tensors.items() if not is_low_rank(name)}
    for name in [name.removesuffix(_UP) for name in tensors if name.endswith(_UP)]:
        parts = (tensors[f"{name}{part}"].detach() for part in (_DOWN, _UP, _SCALE))
        whole[name] = low_rank_sum(tensors[name].detach(), *parts)
    return whole
