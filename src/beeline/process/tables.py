"""Noise rates of discrete processes as plain lists, so that options can be checked without torch.

    linear          beta_n = b0 + (b1 - b0) n / (T - 1),   n = 0 ... T - 1,  b0 = beta_min / T,  b1 = beta_max / T
    scaled_linear   beta_n = (sqrt(b0) + (sqrt(b1) - sqrt(b0)) n / (T - 1))^2
    cosine          beta_n = min(1 - f(n + 1) / f(n), 0.999),  f(n) = cos^2(pi/2 (n / T + 0.008) / 1.008)

Sources: Ho et al. 2020, section 4 (linear: 1e-4 to 0.02 at T = 1000); Rombach et al. 2022 (scaled linear); Nichol &
Dhariwal 2021, equation 17 (cosine).
"""

from __future__ import annotations

import math

LARGEST_COSINE_BETA = 0.999


def noise_rates(schedule: str, levels: int, beta_min: float, beta_max: float) -> list[float]:
    """beta_0 ... beta_(T-1).

    Args:
        schedule: ``linear``, ``scaled_linear`` or ``cosine``.
        levels: T, at least 2.
        beta_min: T times the first rate; of no effect on ``cosine``.
        beta_max: T times the last rate; of no effect on ``cosine``.
    """
    if schedule == "cosine":
        return [min(1.0 - _signal(n + 1, levels) / _signal(n, levels), LARGEST_COSINE_BETA) for n in range(levels)]
    first, last = beta_min / levels, beta_max / levels
    if schedule == "linear":
        return _evenly(first, last, levels)
    return [root**2 for root in _evenly(math.sqrt(first), math.sqrt(last), levels)]


def remaining_signal(betas: list[float]) -> float:
    """alpha at the noisiest level: the product of sqrt(1 - beta_n)."""
    return math.exp(0.5 * sum(math.log1p(-beta) for beta in betas))


def _signal(n: int, levels: int) -> float:
    return math.cos(0.5 * math.pi * (n / levels + 0.008) / 1.008) ** 2


def _evenly(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * n / (count - 1) for n in range(count)]
