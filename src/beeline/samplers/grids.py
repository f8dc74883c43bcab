"""Descending grids of times: n steps have n + 1 nodes, from t_max (noise) down to t_min (data).

u = 1, 1 - 1/n, ..., 0
uniform    t = u
quadratic  t = u^2                     dense near the data
cosine     t = (1 - cos(pi u)) / 2     dense at both ends
shift      t' = s t / (1 + (s - 1) t)  after any of them
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from beeline.core.errors import UserError, unknown
from beeline.process.densities import shift_time

GRIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda u: u,
    "quadratic": lambda u: u.square(),
    "cosine": lambda u: 0.5 * (1.0 - torch.cos(math.pi * u)),
}


def build_grid(name: str, steps: int, interval: tuple[float, float], shift: float = 1.0) -> Tensor:
    """(steps + 1,) float64 nodes.

    Args:
        name: ``uniform``, ``quadratic`` or ``cosine``.
        steps: number of steps, above 0.
        interval: (t_min, t_max).
        shift: s, above 0; 1 is off.

    Raises:
        UserError: an argument is out of range.
    """
    if name not in GRIDS:
        raise unknown("grid", name, GRIDS)
    if steps < 1:
        raise UserError(f"steps {steps}: need at least 1")
    if shift <= 0:
        raise UserError(f"shift {shift}: must be above 0")
    unit = GRIDS[name](torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64))
    unit = shift_time(unit, shift)
    low, high = interval
    times = low + (high - low) * unit
    times[0], times[-1] = high, low
    check_grid(times, interval)
    return times


def check_grid(times: Tensor, interval: tuple[float, float]) -> None:
    """Assert that a grid descends from t_max to t_min (E2).

    Raises:
        UserError: it does not.
    """
    low, high = interval
    if times.dim() != 1 or len(times) < 2 or not bool((times[1:] < times[:-1]).all()):
        raise UserError("a time grid must descend from noise to data; this one does not")
    if times[0].item() != high or times[-1].item() != low:
        raise UserError(f"a time grid must run from t_max {high:g} to t_min {low:g}, not {times[0]:g} to {times[-1]:g}")
