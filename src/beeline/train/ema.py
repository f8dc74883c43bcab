"""Averaged weights.

    d_n = min(decay, (1 + n) / (10 + n)),   average <- d_n average + (1 - d_n) weights

The warm-up, which can be left out, lets short runs forget their random start.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Ema:
    """Exponential moving average of named tensors.

    Args:
        weights: the tensors to follow, by name.
        decay: of the average, once warm.
        warmup: whether it begins smaller.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], decay: float, warmup: bool = True) -> None:
        self.decay = decay
        self.warmup = warmup
        followed = dict(weights)
        self.average = {name: tensor.detach().clone() for name, tensor in followed.items()}
        self._followed = list(followed.values())

    def decay_at(self, step: int) -> float:
        """d_n of update number ``step``, counted from 0."""
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay

    def update(self, step: int) -> None:
        """Move towards the weights as they stand after ``step`` updates before this one."""
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), self._followed, 1.0 - self.decay_at(step))

    def horizon(self) -> float:
        """About how many steps the average remembers, 1 / (1 - decay)."""
        return 1.0 / (1.0 - self.decay)
