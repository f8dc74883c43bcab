"""What the solvers share that expect the data to change slowly with log-SNR.

    l = log(alpha / sigma),   h = l' - l > 0,   D = E[x0 | x_t]
    x' = (sigma'/sigma) x + sigma' integral from l to l' of exp(m) D(m) dm
       = (sigma'/sigma) x + alpha' (1 - exp(-h)) D                              where D stays as it is

exactly. Source: Lu et al. 2022, "DPM-Solver++", proposition 4.1. At h = infinity, from noise alone or to data alone,
this holds too, and polynomials through earlier D have nothing to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from beeline.core.protocols import Process
from beeline.process.inverse import log_ratio


@dataclass(frozen=True)
class Stride:
    """From one node to the next.

    Args:
        length: h, above 0; infinite from noise alone and to data alone.
        kept: sigma'/sigma, share of the noise that is left.
        alpha: alpha', share of data at the end.
        sigma: sigma', share of noise at the end.
    """

    length: float
    kept: float
    alpha: float
    sigma: float

    @classmethod
    def between(cls, process: Process, t: Tensor, t_next: Tensor) -> Stride:
        """The stride from a time to an earlier one, best in float64."""
        length = (log_ratio(process, t) - log_ratio(process, t_next)).item()
        sigma = process.sigma(t_next).item()
        return cls(length, sigma / process.sigma(t).item(), process.alpha(t_next).item(), sigma)

    @property
    def is_finite(self) -> bool:
        """Whether both of its ends hold data and noise."""
        return math.isfinite(self.length)


@dataclass(frozen=True)
class Seen:
    """A node that lies behind.

    Args:
        x0: data that was expected there.
        length: h of the step that was taken from it.
    """

    x0: Tensor
    length: float
