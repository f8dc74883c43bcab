"""How much noise SDE samplers draw: any w(t) >= 0 leaves the marginals of a path as they are.

    dx = [v - 1/2 w(t) score] dt + sqrt(w(t)) dW,   t falling

sigma                 w = sigma(t)
sigma_squared         w = sigma(t)^2
vp                    w = 2 (sigma sigma' - sigma^2 alpha'/alpha), which is beta(t) on path vp and makes the flow there
                      the SDE of Song et al. 2021
constant              w = 1
linear                w = t
decreasing            w = ((1 - cos(pi t)) / 2)^2, from noise to data
increasing_decreasing w = sin(pi t)^2

Source: Ma et al. 2024, "SiT", section 2. SiT's code names half of w its diffusion: there ``sigma`` is
what ``diffusion_scale`` 2 is here, and ``SBDM`` is vp.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from beeline.core.prediction import Prediction
from beeline.core.protocols import Process

Rate = Callable[[Process, Tensor], Tensor]


def vp(process: Process, t: Tensor) -> Tensor:
    """2 (sigma sigma' - sigma^2 alpha'/alpha), what the noising SDE of a path adds; infinite where there is no data."""
    sigma = process.sigma(t)
    return 2.0 * sigma * (process.sigma_derivative(t) - sigma * process.alpha_derivative(t) / process.alpha(t))


RATES: dict[str, Rate] = {
    "sigma": lambda process, t: process.sigma(t),
    "sigma_squared": lambda process, t: process.sigma(t).square(),
    "vp": vp,
    "constant": lambda process, t: torch.ones_like(t),
    "linear": lambda process, t: t,
    "decreasing": lambda process, t: (0.5 - 0.5 * torch.cos(math.pi * t)).square(),
    "increasing_decreasing": lambda process, t: torch.sin(math.pi * t).square(),
}


def scaled(name: str, scale: float) -> Rate:
    """w(t) by name, times a factor."""
    rate = RATES[name]
    return lambda process, t: scale * rate(process, t)


def drift(here: Prediction, rate: float, sigma: float) -> Tensor:
    """v - 1/2 w score = v + w e / (2 sigma).

    Args:
        here: what is expected where the samples are.
        rate: w there.
        sigma: of the path there, above 0.
    """
    return here.velocity + 0.5 * rate / sigma * here.e
