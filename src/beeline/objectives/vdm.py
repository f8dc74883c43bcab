"""The variational bound along a path that is given by its log-SNR, gamma(t) = -log SNR(t), in bits a number.

    -log p(x) <= latent + reconstruction + diffusion
    latent           KL(q(x_1 | x) || N(0, I)) = 1/2 (sigma_1^2 + alpha_1^2 x^2 - 1 - log sigma_1^2)
    reconstruction   -log p(x | x_0), x_0 = alpha_0 x + sigma_0 e: number by number the softmax over the K levels of the
                     data on [-1, 1] of the Gaussian at x_0 / alpha_0 with variance sigma_0^2 / alpha_0^2
    diffusion        1/2 gamma'(t) |e - e_theta(x_t, t, c)|^2, t uniform on [0, 1]

Only the last depends on the network, and its mean, an integral over gamma, not on the path between the ends. Its
variance does, and that is what a learned gamma makes small. With h = 1/2 |e - e_theta|^2 and the ends of gamma fixed,

    d/dphi E[(gamma' h)^2] = E[h^2 gamma' (dgamma'/dphi - gamma''/gamma' dgamma/dphi)]

by parts, so that no gradient has to pass through the network: the derivative of E[h^2] along the path is traded for
that of its factors. Every sample therefore carries the surrogate

    V = h^2 (gamma' gamma'(t; phi) - gamma'' gamma(t; phi)) / (gamma(1) - gamma(0))^2

whose size is that of h^2, below 1, so that it leaves the clipping of gradients to the network.

Source: Kingma et al. 2021, "Variational diffusion models", equations 11 to 15 and appendix I.2, who send the gradient
of the square through the network instead.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.objectives.config import ObjectiveConfig
from beeline.process.densities import TimeDensity
from beeline.process.vdm import LearnedLogSNR, LogSNR

_LEFT_OUT = 40.0  # levels whose share is below exp(-40) of the largest are not looked at


class VDM:
    """The bound, one value a sample.

    Args:
        config: prediction, times and levels of the data.
        process: the path.
        source: where noise comes from.

    Raises:
        UserError: the noise cannot be read from the prediction at every time.
    """

    outputs = 1
    learned: nn.Module | None = None  # a learned path is the process itself

    def __init__(self, config: ObjectiveConfig, process: LogSNR, source: Source) -> None:
        low, high = process.interval(config.prediction)
        if (low, high) != (process.t_min, process.t_max):
            raise UserError(
                f"objective.prediction {config.prediction}: noise cannot be read from it at every time of this path, "
                f"only for t from {low:.4g} to {high:.4g}, and the bound needs all of them; use noise, data or v"
            )
        self.prediction = config.prediction
        self.data_levels = config.data_levels
        self.process = process
        self.source = source
        self.density = TimeDensity(config.time, (low, high), process)

    def times(self, key: Key) -> Tensor:
        """(N,) the times that ``__call__`` draws for these samples."""
        return self.density.sample(key.fold("time"))

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample: the bound, and what trains a learned path, whose value is zero."""
        error, known = self._error(predictor, batch, key), self._of_the_ends(batch, key)
        t = self.times(key)
        bound = self._diffusion(t, error) + known["latent"] + known["reconstruction"]
        if not torch.is_grad_enabled() or not isinstance(self.process, LearnedLogSNR):
            return bound
        surrogate = spread_surrogate(self.process, t, error.detach())
        return bound + (surrogate - surrogate.detach())

    def terms(self, predictor: Predictor, batch: Batch, key: Key) -> dict[str, Tensor]:
        """The (N,) terms of the bound by name, in bits a number: diffusion, latent and reconstruction."""
        diffusion = self._diffusion(self.times(key), self._error(predictor, batch, key))
        return {"diffusion": diffusion, **self._of_the_ends(batch, key)}

    def _diffusion(self, t: Tensor, error: Tensor) -> Tensor:
        """(N,) gamma' h in bits, times the length of the interval from which t is drawn."""
        low, high = self.density.interval
        return (high - low) * self.process.gamma_derivative(t).detach() * error / math.log(2.0)

    def _error(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) h, half the mean square by which the noise is missed."""
        t = self.times(key)
        noise = self.source.sample(batch.tokens, batch.noise_key(key))
        with held_fixed(self.process):
            x_t = self.process.mix(batch.tokens, noise, t)
            predicted = predictor(x_t, t, batch.conditions.drop(key.fold("drop")))
            return 0.5 * batch.tokens.sample_mean((noise - predicted.e).square())

    @torch.no_grad()
    def _of_the_ends(self, batch: Batch, key: Key) -> dict[str, Tensor]:
        """What no network has a say in: the latent and the reconstruction term."""
        data = batch.tokens
        first, last = (torch.full((data.samples,), end, device=data.values.device) for end in self.density.interval)
        alpha, variance = data.expand(self.process.alpha(last)), data.expand(self.process.sigma(last).square())
        latent = 0.5 * (variance + (alpha * data.values).square() - 1.0 - variance.log())
        ratio = data.expand(self.process.sigma(first) / self.process.alpha(first))
        seen = data.values + ratio * self.source.sample(data, key.fold("reconstruction"))
        reconstruction = level_nll(data.values, seen, ratio, self.data_levels)
        nats = {"latent": latent, "reconstruction": reconstruction}
        return {name: data.sample_mean(each) / math.log(2.0) for name, each in nats.items()}


@contextmanager
def held_fixed(process: LogSNR) -> Iterator[None]:
    """Let no gradient reach a learned path: the network sees its noise levels, which are not there to suit it."""
    parameters = process.parameters() if isinstance(process, LearnedLogSNR) else ()
    trained = [each for each in parameters if each.requires_grad]
    try:
        for each in trained:
            each.requires_grad_(False)
        yield
    finally:
        for each in trained:
            each.requires_grad_(True)


def spread_surrogate(process: LogSNR, t: Tensor, h: Tensor) -> Tensor:
    """(N,) values whose mean has, in the path, the gradient of E[(gamma' h)^2] / (gamma(1) - gamma(0))^2.

    Args:
        process: the path.
        t: (N,) times, uniform.
        h: (N,) half the squared error at these times.
    """
    rate, bend = _derivatives(process, t)
    ends = process.gamma(t.new_tensor([process.t_min, process.t_max])).detach()
    scale = (h / (ends[1] - ends[0])).square()
    return scale * (rate * process.gamma_derivative(t) - bend * process.gamma(t))


def _derivatives(process: LogSNR, t: Tensor) -> tuple[Tensor, Tensor]:
    """gamma' and gamma'' as plain numbers."""
    with torch.enable_grad():
        at = t.detach().requires_grad_()
        rate = process.gamma_derivative(at)
        bend = torch.zeros_like(t)
        if rate.requires_grad:  # of a straight path it does not even depend on t
            (found,) = torch.autograd.grad(rate.sum(), at, allow_unused=True)
            bend = bend if found is None else found
    return rate.detach(), bend


def level_nll(x: Tensor, seen: Tensor, deviation: Tensor, levels: int) -> Tensor:
    """-log of the share of the level of x in the softmax over all levels v of -(seen - v)^2 / (2 deviation^2).

    Args:
        x: data, of which each number is one of the levels.
        seen: the same with noise, of the same shape.
        deviation: of that noise, broadcast over the same shape.
        levels: how many there are, evenly from -1 to 1.
    """
    step = 2.0 / (levels - 1)
    nearest = ((seen + 1.0) / step).round().clamp(0, levels - 1)
    own = ((x + 1.0) / step).round().clamp(0, levels - 1)

    def logit(place: Tensor) -> Tensor:
        return -0.5 * ((seen - (place * step - 1.0)) / deviation).square()

    widest = deviation.max().item() / step
    reach = min(levels - 1, math.ceil(widest * math.sqrt(2.0 * _LEFT_OUT)) + 1)
    total = torch.full_like(seen, -math.inf)
    for offset in range(-reach, reach + 1):
        place = nearest + offset
        inside = (place >= 0) & (place <= levels - 1)
        total = torch.logaddexp(total, torch.where(inside, logit(place), -math.inf))
    return total - logit(own)
