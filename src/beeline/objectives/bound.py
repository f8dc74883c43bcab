"""The variational bound of a discrete process, one step of it at a time, in bits a number.

    n >= 1   KL(q(x_s | x_t, x0) || N(mean_theta, V_theta)),   t and s the times of levels n and n - 1
    n = 0    -log P(x0), each number of x0 as one of K levels on [-1, 1] under N(mean_theta, V_theta)
    log V_theta = (v + 1)/2 log beta + (1 - v)/2 log beta-tilde

beta-tilde is 0 at n = 0 and is replaced there by that of n = 1. The cumulative normal is Page's
(1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, on which published bounds rest; it is off by 3e-4 at most.

Sources: Ho et al. 2020, equations 5 and 13; Nichol & Dhariwal 2021, equation 15; Page 1977.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from beeline.core.prediction import Prediction
from beeline.core.tokens import Tokens
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.posterior import posterior

_SMALLEST_PROBABILITY = 1e-12


def bound_term(
    process: DiscreteDDPM, data: Tokens, predicted: Prediction, learn_mean: bool, data_levels: int = 256
) -> Tensor:
    """(N,) the term of the bound that belongs to the level of each sample, in bits a number.

    Args:
        process: the levels.
        data: x0.
        predicted: at noisy samples of the levels, with a variance.
        learn_mean: whether gradients reach the prediction of the mean, or its variance alone.
        data_levels: K, values that a number of the data can take, evenly from -1 to 1.
    """
    level = process.level(predicted.t)
    factors = posterior(process, process.time(level), process.time(level - 1))
    shares = [data.expand(each).to(data.values) for each in (factors.data, factors.noisy)]
    expected = predicted.x0 if learn_mean else predicted.x0.detach()
    mean, exact = (shares[0] * x0 + shares[1] * predicted.x_t.values for x0 in (expected, data.values))
    small, log_variance = step_log_variance(process, predicted)
    ratio = small - log_variance
    # expm1(r) - r, not exp(r) - 1 - r: near the optimum the difference is far below the last digit of 1.
    divergence = 0.5 * (torch.expm1(ratio) - ratio + (exact - mean).square() / log_variance.exp())
    first = data.expand(level == 0)
    nats = torch.where(first, decoder_nll(data.values, mean, log_variance, data_levels), divergence)
    return data.sample_mean(nats) / math.log(2.0)


def step_log_variance(process: DiscreteDDPM, predicted: Prediction) -> tuple[Tensor, Tensor]:
    """log beta-tilde, (B, 1 or L, 1), and the learned log V_theta, (B, L, C)."""
    assert predicted.variance is not None
    level = process.level(predicted.t)
    above = level.clamp(min=1)
    small = posterior(process, process.time(above), process.time(above - 1)).variance.log()
    large = posterior(process, process.time(level), process.time(level - 1)).step.log()
    small, large = (predicted.x_t.expand(each).to(predicted.variance) for each in (small, large))
    share = 0.5 * (predicted.variance + 1.0)
    return small, share * large + (1.0 - share) * small


def decoder_nll(x: Tensor, mean: Tensor, log_variance: Tensor, data_levels: int = 256) -> Tensor:
    """-log of the probability that a Gaussian gives the level of x among those on [-1, 1]; the outer two are open."""
    centred, scale = x - mean, torch.exp(-0.5 * log_variance)
    half = 1.0 / (data_levels - 1)
    up_to = _cumulative(scale * (centred + half))
    below = _cumulative(scale * (centred - half))
    edge = 1.0 - 0.255 * half  # 0.999 for 256 levels, as published
    inside = torch.where(x < -edge, up_to, torch.where(x > edge, 1.0 - below, up_to - below))
    return -inside.clamp(min=_SMALLEST_PROBABILITY).log()


def _cumulative(x: Tensor) -> Tensor:
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x.pow(3))))
