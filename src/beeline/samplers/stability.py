"""Whether the steps of an SDE sampler are short enough for the noise that it draws.

On data that never vary, as the background of pictures, e = (x - alpha x0) / sigma is all that differs from walk to
walk, and what is left of it after a step is affine: with a = sigma'/sigma + w / (2 sigma^2), h = t - t' > 0 and D the
variance of x,

    euler_maruyama    D' = (1 - h a)^2 D + w h
    stochastic_heun   D' = (1 - h (a + a' - h a a') / 2)^2 D + (1 - h a' / 2)^2 W,   W = h (w + w') / 2

D should be sigma^2. Where h w / sigma^2 is large it is not: noise grows from step to step, and more of them do not
always help.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.protocols import Process
from beeline.samplers.config import SampleConfig
from beeline.samplers.diffusion import Rate, scaled

# Deviation of numbers that should not vary at all, in units of normalised data; what a walk ends with is the data
# expected there, which makes good of less.
_LARGEST_DEVIATION = 3.0


def check_steps(settings: SampleConfig, process: Process, times: Tensor) -> None:
    """Refuse walks whose noise runs away.

    Args:
        settings: of an SDE sampler.
        process: the path.
        times: (n + 1,) descending nodes.

    Raises:
        UserError: it does.
    """
    rate = scaled(settings.diffusion, settings.diffusion_scale)
    heun = settings.sampler == "stochastic_heun"
    found = last_deviation(process, rate, times, heun)
    if not bool(rate(process, times).any()) or found <= _LARGEST_DEVIATION:
        return
    calmer = "sigma_squared" if settings.diffusion != "sigma_squared" else "decreasing"
    mend = f"use diffusion {calmer} or a smaller diffusion_scale"
    if last_deviation(process, scaled("constant", 0.0), times, heun) > _LARGEST_DEVIATION:  # without any noise drawn
        mend = "take more of them"
    raise UserError(
        f"diffusion {settings.diffusion}: {settings.steps} steps of sampler {settings.sampler} are too long for so "
        f"much noise on this path: numbers that do not vary would come out {found:.2g} off; {mend}"
    )


def last_deviation(process: Process, rate: Rate, times: Tensor, heun: bool) -> float:
    """Deviation of x, on data that never vary, at the last node that holds noise.

    Args:
        process: the path.
        rate: w.
        times: (n + 1,) descending nodes.
        heun: stochastic_heun, not euler_maruyama.
    """
    times = times[process.sigma(times) > 0].to(torch.float64)
    sigma, w = process.sigma(times), rate(process, times)
    pull = process.sigma_derivative(times) / sigma + 0.5 * w / sigma.square()
    variance = sigma[0].square()
    for here, there in itertools.pairwise(range(len(times))):
        h = times[here] - times[there]
        a, b = pull[here], pull[there]
        if heun:
            kept, added = 1.0 - 0.5 * h * (a + b - h * a * b), (1.0 - 0.5 * h * b).square() * 0.5 * (w[here] + w[there])
        else:
            kept, added = 1.0 - h * a, w[here]
        variance = kept.square() * variance + h * added
    return variance.sqrt().item()
