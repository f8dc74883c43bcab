"""Descending grids of times: n steps have n + 1 nodes, from noise down to data.

On every path, from t_max to t_min:
u = 1, 1 - 1/n, ..., 0
uniform    t = u
quadratic  t = u^2                     dense near the data
cosine     t = (1 - cos(pi u)) / 2     dense at both ends
karras     (sigma/alpha)^(1/7) even    Karras et al. 2022, equation 5 with rho = 7
log_snr    log(alpha/sigma) even
shift      t' = s t / (1 + (s - 1) t)  after any of them

karras and log_snr spread their nodes over sigma/alpha from 0.002 to 80 where the interval has more, as it has where
one of the two is 0; the first and the last node are the interval's ends all the same.

On the levels of a discrete process, level i at t = (i + 1) / T, and at last t = 0:
respaced   n levels evenly spread, both ends among them     Nichol & Dhariwal 2021, section 4
strided    levels 0, k, 2 k, ... (n - 1) k, k = T div n     Song et al. 2021 (DDIM), appendix D.2
A single step goes from the last level straight to the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from beeline.core.errors import UserError, unknown
from beeline.core.protocols import Process
from beeline.process.densities import shift_time
from beeline.process.inverse import log_ratio, time_at
from beeline.process.respacing import respaced
from beeline.samplers.config import Grid

GRIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda u: u,
    "quadratic": lambda u: u.square(),
    "cosine": lambda u: 0.5 * (1.0 - torch.cos(math.pi * u)),
}
RATIO_GRIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "karras": lambda log: torch.exp(log / 7.0),
    "log_snr": lambda log: log,
}
_BACK: dict[str, Callable[[Tensor], Tensor]] = {
    "karras": lambda root: 7.0 * torch.log(root),
    "log_snr": lambda log: log,
}
_RATIOS = (0.002, 80.0)
LEVEL_GRIDS: dict[str, Callable[[int, int], list[int]]] = {
    "respaced": lambda levels, steps: respaced(levels, str(steps)),
    "strided": lambda levels, steps: [level * (levels // steps) for level in range(steps)],
}


def default_grid(sampler: str, levels: int) -> Grid:
    """The grid that ``auto`` means: on a process with levels that of the sampler's paper, else that of its variable.

    Multistep solvers extrapolate in log-SNR: where the lengths of their steps in it are very unequal, as near the data
    on an even grid of path vp, what they extrapolate is far off (the deviation 0.5 of a Gaussian becomes 0.43 in 50
    steps of dpmpp_3m, 0.50 on grid log_snr).
    """
    if sampler in ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m"):
        return "log_snr"
    if not levels or sampler not in ("ddpm", "ddim"):
        return "uniform"
    return "respaced" if sampler == "ddpm" else "strided"


def build_grid(
    name: str, steps: int, interval: tuple[float, float], shift: float = 1.0, process: Process | None = None
) -> Tensor:
    """(steps + 1,) float64 nodes.

    Args:
        name: ``uniform``, ``quadratic``, ``cosine``, ``karras``, ``log_snr``, ``respaced`` or ``strided``.
        steps: number of steps, above 0.
        interval: (t_min, t_max).
        shift: s, above 0; 1 is off.
        process: the path, for grids that depend on it: the last four.

    Raises:
        UserError: an argument is out of range or does not fit the others.
    """
    if name not in GRIDS and name not in RATIO_GRIDS and name not in LEVEL_GRIDS:
        raise unknown("grid", name, [*GRIDS, *RATIO_GRIDS, *LEVEL_GRIDS])
    if steps < 1:
        raise UserError(f"steps {steps}: need at least 1")
    if shift <= 0:
        raise UserError(f"shift {shift}: must be above 0")
    if name in LEVEL_GRIDS:
        return _level_grid(name, steps, shift, 0 if process is None else process.levels)
    u = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)
    unit = GRIDS[name](u) if name in GRIDS else _by_ratio(name, u, interval, process)
    unit = shift_time(unit, shift)
    low, high = interval
    times = low + (high - low) * unit
    times[0], times[-1] = high, low
    check_grid(times, interval)
    return times


def _by_ratio(name: str, u: Tensor, interval: tuple[float, float], process: Process | None) -> Tensor:
    """Nodes on the unit interval that are even in a function of sigma / alpha."""
    if process is None:
        raise UserError(f"grid {name}: needs the path whose noise it follows; use uniform, quadratic or cosine")
    low, high = interval
    if not low < high:
        raise UserError("a time grid must descend from noise to data; this one does not")
    limits = torch.tensor(_RATIOS, dtype=torch.float64).log()
    ends = log_ratio(process, torch.tensor(interval, dtype=torch.float64)).clamp(limits[0], limits[1])
    first, last = RATIO_GRIDS[name](ends)
    times = time_at(process, _BACK[name](first + (last - first) * u), interval)
    return (times - low) / (high - low)


def _level_grid(name: str, steps: int, shift: float, levels: int) -> Tensor:
    if not levels:
        raise UserError(f"grid {name}: needs the levels of path ddpm; use uniform, quadratic or cosine")
    if shift != 1:
        raise UserError(f"shift {shift:g}: means nothing to grid {name}, whose nodes are levels; use shift 1")
    if steps > levels:
        raise UserError(f"steps {steps}: this process has {levels} levels, and grid {name} takes at most one step each")
    kept = LEVEL_GRIDS[name](levels, steps) if steps > 1 else [levels - 1]
    times = torch.tensor([*reversed([level + 1 for level in kept]), 0], dtype=torch.float64) / levels
    check_grid(times, (0.0, (kept[-1] + 1) / levels))
    return times


def check_grid(times: Tensor, interval: tuple[float, float]) -> None:
    """Assert that a grid descends from the start of a walk to its end (E2).

    Args:
        times: the nodes.
        interval: (end, start): t_min and t_max; 0 and the time of the noisiest kept level where nodes are levels.

    Raises:
        UserError: it does not.
    """
    low, high = interval
    if times.dim() != 1 or len(times) < 2 or not bool((times[1:] < times[:-1]).all()):
        raise UserError("a time grid must descend from noise to data; this one does not")
    if times[0].item() != high or times[-1].item() != low:
        raise UserError(f"a time grid must run from t_max {high:g} to t_min {low:g}, not {times[0]:g} to {times[-1]:g}")
