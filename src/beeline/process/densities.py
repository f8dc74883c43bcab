"""How training times are distributed.

    uniform        t = u
    logit_normal   t = 1 / (1 + exp(-(mean + sd n))), for a share of the samples uniform instead
    shift          t' = s t / (1 + (s - 1) t), after either of them

Source: Esser et al. 2024, "Scaling rectified flow transformers", section 3.1 (logit-normal) and equation 23 (shift).
The result is stretched over the interval [t_min, t_max] of the process and prediction.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from beeline.core.errors import unknown
from beeline.core.random import Key
from beeline.process.config import Density, TimeConfig


def shift_time(t: Tensor, shift: float) -> Tensor:
    """t' = s t / (1 + (s - 1) t): more time near the noise for s > 1; 1 is off."""
    return shift * t / (1.0 + (shift - 1.0) * t)


class TimeDensity:
    """Draws training times.

    Args:
        config: which density and its numbers.
        interval: (t_min, t_max) to draw from.

    Raises:
        UserError: no density has that name.
    """

    def __init__(self, config: TimeConfig, interval: tuple[float, float]) -> None:
        if config.density not in get_args(Density):
            raise unknown("time density", config.density, get_args(Density))
        self.config = config
        self.interval = interval

    def sample(self, key: Key) -> Tensor:
        """Draw (N,) float32 times within the interval."""
        t = key.fold("uniform").uniform()[:, 0]
        if self.config.density == "logit_normal":
            normal = key.fold("normal").normal()[:, 0]
            chosen = key.fold("share").uniform()[:, 0] >= self.config.uniform_share
            t = torch.where(chosen, torch.sigmoid(self.config.mean + self.config.sd * normal), t)
        t = shift_time(t, self.config.shift)
        low, high = self.interval
        return (low + (high - low) * t).to(torch.float32)
