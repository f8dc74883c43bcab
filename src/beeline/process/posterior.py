"""Where a noisy sample was a little earlier, given its data: the posterior that ancestral steps draw from.

    q(x_s | x_t, x0) = N(data x0 + noisy x_t, variance),   s < t
    r        = alpha_t / alpha_s
    step     = sigma_t^2 - r^2 sigma_s^2                   variance of q(x_t | x_s); beta of a discrete process
    noisy    = r sigma_s^2 / sigma_t^2
    data     = alpha_s step / sigma_t^2
    variance = step sigma_s^2 / sigma_t^2                  beta-tilde of a discrete process

Source: Ho et al. 2020, equations 6 and 7, for any Gaussian path as in Kingma et al. 2021, appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from beeline.core.protocols import Process


@dataclass(frozen=True)
class Posterior:
    """q(x_s | x_t, x0), tensors of the shape of t.

    Args:
        data: factor of x0 in the mean.
        noisy: factor of x_t in the mean.
        variance: of q(x_s | x_t, x0); 0 at s = 0.
        step: variance of q(x_t | x_s), above 0.
    """

    data: Tensor
    noisy: Tensor
    variance: Tensor
    step: Tensor


def posterior(process: Process, t: Tensor, s: Tensor) -> Posterior:
    """q(x_s | x_t, x0).

    Args:
        process: the path.
        t: times, best in float64: ``step`` is a small difference.
        s: earlier times, below t.
    """
    alpha, variance = process.alpha(s), process.sigma(s).square()
    ratio, total = process.alpha(t) / alpha, process.sigma(t).square()
    step = total - ratio.square() * variance
    return Posterior(alpha * step / total, ratio * variance / total, step * variance / total, step)
