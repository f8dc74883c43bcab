"""Power-function averages, and how one of any width is rebuilt from a few kept ones. Mathematics only.

    profile   p(tau; t) = (gamma + 1) tau^gamma / t^(gamma + 1)     share of the weights of time tau in the average at t
    update    average <- beta_n average + (1 - beta_n) weights,     beta_n = (1 - 1/n)^(gamma + 1),  n = 1, 2, ...
    width     sigma_rel = (gamma + 1)^(1/2) (gamma + 2)^(-1) (gamma + 3)^(-1/2)     the profile's standard deviation / t

(Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C.)

After n updates the weights of step i have the share (i^(gamma+1) - (i-1)^(gamma+1)) / n^(gamma+1): the profile's
integral over (i-1, i]. What the updates of a run give is thus known exactly, and how far a combination lies from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

TRACK_WIDTHS = (0.05, 0.10)
NARROWEST, WIDEST = 0.05, 0.20
LARGEST_ERROR = 0.03
_MOST_INTERVALS = 4096


@cache
def exponent(width: float) -> float:
    """gamma of a relative width: the largest root of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / width^2.

    Args:
        width: sigma_rel, above 0 and at most 0.28.
    """
    inverse = width**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots.real.max())


def decay(width: float, number: int) -> float:
    """beta of update ``number``, counted from 1, of an average of this relative width."""
    return float((1.0 - 1.0 / number) ** (exponent(width) + 1.0))


def is_kept(step: int, steps: int, count: int) -> bool:
    """Whether the averages at a step are among the ``count``, evenly spread, that a run of ``steps`` steps keeps.

    The last step is one of them; a run shorter than ``count`` keeps them all.
    """
    return step * count // steps > (step - 1) * count // steps


@dataclass(frozen=True)
class Combination:
    """Averages of some widths as sums of kept ones.

    Args:
        coefficients: (kept, widths); each column adds up to 1, so that weights which never move come back as they are.
        errors: (widths,); L2 norm of (profile of the sum - exact profile), relative to that of the exact profile.
    """

    coefficients: Array
    errors: Array


def combine(widths: Sequence[float], step: int, kept: Sequence[tuple[float, int]]) -> Combination:
    """Least squares of wanted profiles on those of kept averages (Karras et al. 2024, appendix C).

    Solved by singular values rather than by the normal equations, whose condition is the square; the paper leaves the
    sum of the coefficients free, which shrinks all weights by up to 0.3 % where the fit is not exact.

    Args:
        widths: relative widths that are wanted.
        step: updates after which they are wanted.
        kept: (relative width, updates) of each average at hand, at least one; none later than ``step``.
    """
    edges = _edges(step, [at for _, at in kept])
    basis = np.stack([_profile(width, at, edges) for width, at in kept], axis=1)
    wanted = np.stack([_profile(width, step, edges) for width in widths], axis=1)
    last = basis[:, -1:]
    free = np.linalg.lstsq(basis[:, :-1] - last, wanted - last, rcond=1e-12)[0]
    coefficients = np.concatenate([free, 1.0 - free.sum(0, keepdims=True)])
    errors = np.linalg.norm(basis @ coefficients - wanted, axis=0) / np.linalg.norm(wanted, axis=0)
    return Combination(coefficients, errors)


def _edges(step: int, times: Sequence[int]) -> Array:
    """Every step; in long runs intervals of a few, between which the kept times lie."""
    if step <= _MOST_INTERVALS:
        return np.arange(step + 1, dtype=np.float64)
    return np.union1d(np.linspace(0, step, _MOST_INTERVALS + 1).round(), np.array(times, dtype=np.float64))


def _profile(width: float, step: int, edges: Array) -> Array:
    """Shares of the intervals, scaled so that their sum of squares is the profile's squared L2 norm."""
    below = np.minimum(edges / step, 1.0) ** (exponent(width) + 1.0)
    return np.diff(below) / np.sqrt(np.diff(edges))
