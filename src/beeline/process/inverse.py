"""Times from noise levels: where on a path the logarithm of sigma / alpha has a given value.

    log ratio(t) = log(sigma(t) / alpha(t)) = -log SNR(t) / 2

which rises from data to noise on every path, so that bisection finds the one time of each value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.protocols import Process

# Halvings of an interval within [0, 1] after which float64 has nothing left to halve, save very near 0.
_HALVINGS = 64


def log_ratio(process: Process, t: Tensor) -> Tensor:
    """log(sigma / alpha) at time t, half of -log SNR: -infinity where there is no noise, infinity where no data.

    Args:
        process: the path.
        t: times, best in float64.
    """
    return process.sigma(t).log() - process.alpha(t).log()


def time_at(process: Process, log_ratio_wanted: Tensor, interval: tuple[float, float]) -> Tensor:
    """The times within an interval at which log(sigma / alpha) has given values; its ends where it has them not.

    Args:
        process: the path.
        log_ratio_wanted: values of log(sigma / alpha), of any shape.
        interval: (t_min, t_max) to stay within.

    Returns:
        float64 times of the same shape, to within a few units in the last place of 1.
    """
    wanted = log_ratio_wanted.detach().to(torch.float64)
    low, high = (torch.full_like(wanted, end) for end in interval)
    with torch.no_grad():
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = log_ratio(process, middle) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    ends = [torch.full_like(wanted, end) for end in interval]
    result = 0.5 * (low + high)
    # Bisection comes as near to an end as halving brings it; who asks for more than there is gets the end itself.
    result = torch.where(high == ends[1], ends[1], result)
    return torch.where(low == ends[0], ends[0], result)
