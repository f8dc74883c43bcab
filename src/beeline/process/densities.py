"""How training times are distributed.

    uniform        t = u
    logit_normal   t = 1 / (1 + exp(-(mean + sd n))), for a share of the samples uniform instead
    log_normal     the t at which ln(sigma(t) / alpha(t)) = mean + sd n, the nearest end where the path has it not
    shift          t' = s t / (1 + (s - 1) t), after any of them

Sources: Esser et al. 2024, "Scaling rectified flow transformers", section 3.1 (logit-normal) and equation 23 (shift);
Karras et al. 2022, Table 1 (log-normal noise). The first two are stretched over the interval [t_min, t_max] of the
process and prediction. The quantiles u of the samples i of a run are independent draws, or

    antithetic     u_i = frac(u(seed) + i (sqrt(5) - 1) / 2)

a Kronecker sequence: any n samples in a row lie within O(1/n) of evenly spread, so that the mean over a batch of a
smooth function of t varies less, and each is uniform on its own. Kingma et al. 2021 ("Variational diffusion models",
appendix I.1) take u_i = frac(u + i/n) anew in every batch of n; this is that in effect, without a batch to know of: the
time of a sample depends on the seed and its number alone.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from beeline.core.errors import unknown
from beeline.core.protocols import Process
from beeline.core.random import Key
from beeline.process.config import Density, Draw, TimeConfig
from beeline.process.inverse import time_at

# (sqrt(5) - 1) / 2 in units of 2^-64, as the int64 of the same bits: products with it wrap modulo 1.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_BITS = 53


def shift_time(t: Tensor, shift: float) -> Tensor:
    """t' = s t / (1 + (s - 1) t): more time near the noise for s > 1; 1 is off."""
    return shift * t / (1.0 + (shift - 1.0) * t)


class TimeDensity:
    """Draws training times.

    Args:
        config: which density and its numbers.
        interval: (t_min, t_max) to draw from.
        process: the path, which log_normal needs.

    Raises:
        UserError: no density or draw has that name.
    """

    def __init__(self, config: TimeConfig, interval: tuple[float, float], process: Process) -> None:
        if config.density not in get_args(Density):
            raise unknown("time density", config.density, get_args(Density))
        if config.draw not in get_args(Draw):
            raise unknown("time draw", config.draw, get_args(Draw))
        self.config = config
        self.interval = interval
        self.process = process

    def sample(self, key: Key) -> Tensor:
        """Draw (N,) float32 times within the interval."""
        low, high = self.interval
        if self.config.density == "log_normal":
            ratio = self.config.mean + self.config.sd * self._normal(key)
            return shift_time(time_at(self.process, ratio, self.interval), self.config.shift).clamp(low, high).float()
        t = self._uniform(key) if self.config.density == "uniform" else self._logit_normal(key)
        return (low + (high - low) * shift_time(t, self.config.shift)).to(torch.float32)

    def _uniform(self, key: Key) -> Tensor:
        return kronecker(key) if self.config.draw == "antithetic" else key.fold("uniform").uniform()[:, 0]

    def _normal(self, key: Key) -> Tensor:
        return _quantile(kronecker(key)) if self.config.draw == "antithetic" else key.fold("normal").normal()[:, 0]

    def _logit_normal(self, key: Key) -> Tensor:
        share, mean, sd = self.config.uniform_share, self.config.mean, self.config.sd
        if self.config.draw == "antithetic":  # one quantile for both: below the share it is uniform
            u = kronecker(key)
            uniform, chosen = u / max(share, 1e-9), u >= share
            normal = _quantile((u - share) / max(1.0 - share, 1e-9))
        else:
            uniform, normal = key.fold("uniform").uniform()[:, 0], key.fold("normal").normal()[:, 0]
            chosen = key.fold("share").uniform()[:, 0] >= share
        return torch.where(chosen, torch.sigmoid(mean + sd * normal), uniform)


def kronecker(key: Key) -> Tensor:
    """(N,) float64 quantiles frac(u(seed) + i (sqrt(5) - 1) / 2) of the samples i, within [0, 1)."""
    start = Key(key.seed, torch.zeros_like(key.numbers[:1]), key.purpose).fold("start").uniform()[:, 0]
    turned = (key.numbers * _GOLDEN >> 64 - _BITS) & (2**_BITS - 1)
    return (start + turned.to(torch.float64) / 2.0**_BITS).frac()


def _quantile(u: Tensor) -> Tensor:
    """The standard normal number of which a share u lies below, within 6.6 deviations."""
    return torch.special.ndtri(u.clamp(2.0**-34, 1.0 - 2.0**-34))
