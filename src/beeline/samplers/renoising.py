"""Walks that begin below t_max, with data to which noise has been added.

    x_t = alpha(t) x0 + sigma(t) e, then down from t

The more noise, the freer the result; whatever t, data of the distribution that was learned keep it, because x_t has the
distribution of the process at t. Source: Meng et al. 2022, "SDEdit", section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.errors import UserError


def remaining(times: Tensor, strength: float, levels: int = 0) -> Tensor:
    """(m + 1,) the nodes of a grid from a time on: that time, and those below it.

    Args:
        times: (n + 1,) descending nodes.
        strength: the time to begin at; of a discrete process its level nearest to that.
        levels: number of noise levels of a discrete process, 0 of a continuous one.

    Raises:
        UserError: it does not lie above the end of the grid and at most at its start.
    """
    start = round(strength * levels) / levels if levels else strength
    low, high = times[-1].item(), times[0].item()
    if not low < start <= high:
        raise UserError(f"strength {strength:g}: must lie above {low:g} and be at most {high:g}, a time of this model")
    return torch.cat([times.new_tensor([start]), times[times < start]])
