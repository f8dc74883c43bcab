"""Averaged weights.

    Ema       d_n = min(decay, (1 + n) / (10 + n)),   average <- d_n average + (1 - d_n) weights,   n = 0, 1, ...
    Tracks    d_n = (1 - 1 / (n + 1))^(gamma + 1), see profiles.py

The warm-up of the first, which can be left out, lets short runs forget their random start; the others need none. In
both, n is the number of the step: a step that is skipped has d_n = 1, for nobody calls ``update``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from beeline.train.profiles import TRACK_WIDTHS, decay


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


class Tracks:
    """Averages of named tensors whose memory grows with the run, from which those of other widths are rebuilt.

    Args:
        weights: the tensors to follow, by name.
        widths: relative width of each average.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], widths: tuple[float, ...] = TRACK_WIDTHS) -> None:
        followed = dict(weights)
        self.averages = {
            width: {name: tensor.detach().clone() for name, tensor in followed.items()} for width in widths
        }
        self._followed = list(followed.values())

    def update(self, step: int) -> None:
        """Move towards the weights as they stand after ``step`` updates before this one."""
        with torch.no_grad():
            for width, average in self.averages.items():
                torch._foreach_lerp_(list(average.values()), self._followed, 1.0 - decay(width, step + 1))

    def tensors(self) -> dict[str, Tensor]:
        """All averages, each tensor under WIDTH/NAME."""
        return {
            track_name(width, name): tensor
            for width, average in self.averages.items()
            for name, tensor in average.items()
        }


def track_name(width: float, name: str) -> str:
    """What a tensor of a track is called in a file."""
    return f"{width:g}/{name}"
