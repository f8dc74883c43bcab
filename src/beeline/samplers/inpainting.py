"""Making the unknown part of samples whose other part is known.

After every step the known numbers are put back at the noise level that has been reached:

    x_t = alpha(t) x0 + sigma(t) e  where known,   e drawn anew at each t

never clean (E38): the network has been trained to find both parts at the same t. With resampling (RePaint) each step
from t to s is taken several times, noise being added in between,

    x_t = r x_s + sqrt(sigma_t^2 - r^2 sigma_s^2) z,   r = alpha_t / alpha_s

so that the unknown part hears of the known one before it has settled.

This is an approximation of the conditional distribution, exact where the parts are independent. For a Gaussian pair of
unit variance and correlation 0.8, of which one number y is known, the other should have mean 0.8 y and variance 0.36;
20 Heun steps on the linear path give

    steps taken     1       2       5       10      20      times each
    mean / y      0.331   0.482   0.650   0.723   0.761
    variance      0.619   0.509   0.420   0.388   0.371

and more steps without resampling do not help: 200 give 0.345 and 0.602. With one e throughout the means are the same
and the variances larger (0.693 in place of 0.619).

Sources: Song et al. 2021, "Score-based generative modeling through stochastic differential equations", appendix I.2;
Lugmayr et al. 2022, "RePaint", algorithm 1. The bias is that of replacement, Trippe et al. 2023, "Diffusion
probabilistic modeling of protein backbones in 3D", section 3.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.protocols import Process, Source
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.process.posterior import posterior
from beeline.samplers.config import SampleConfig

_MULTISTEP = ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m")


def check_inpainting(settings: SampleConfig, resample: int) -> None:
    """Refuse samplers between whose steps nothing can be put back.

    Args:
        settings: of the walk.
        resample: times that each step is taken.

    Raises:
        UserError: the sampler chooses its own steps, or remembers some that would be taken again.
    """
    if settings.sampler == "dopri5":
        raise UserError(
            "sampler dopri5: chooses steps of its own, between which known parts cannot be put back; use heun"
        )
    if resample > 1 and settings.sampler in _MULTISTEP:
        raise UserError(
            f"resample {resample}: sampler {settings.sampler} builds on earlier steps, which would no longer be those "
            "that were taken; use heun or euler, or resample 1"
        )


class Inpainting:
    """Puts known parts back between the steps of a walk; one object serves one walk.

    Args:
        process: the path.
        source: where noise comes from.
        x0: the data; what they hold where nothing is known does not matter.
        known: (B, L, C) True where they are known.
        key: names the draws.
        resample: times that each step is taken, at least 1.
    """

    def __init__(
        self, process: Process, source: Source, x0: Tokens, known: Tensor, key: Key, resample: int = 1
    ) -> None:
        self.process = process
        self.source = source
        self.x0 = x0
        self.known = known
        self.key = key
        self.resample = resample
        self._taken = 0

    def __call__(self, state: SamplerState) -> SamplerState:
        """The state to go on from: with the known part in it, and a step back up the grid where that is taken again."""
        self._taken += 1
        if self._taken % self.resample:
            state = self._back(state)
        return replace(state, x=self.restored(state.x, state.times[state.index]))

    def restored(self, x: Tokens, t: Tensor) -> Tokens:
        """Samples at time t with their known part at the noise level of t.

        Args:
            x: the samples.
            t: scalar time.
        """
        e = self.source.sample(x, self.key.fold("known", self._taken))
        noisy = self.process.mix(self.x0, e, t.to(x.values).expand(x.samples))
        return x.with_values(torch.where(self.known, noisy.values, x.values))

    def _back(self, state: SamplerState) -> SamplerState:
        s, t = state.times[state.index], state.times[state.index - 1]
        ratio = (self.process.alpha(t) / self.process.alpha(s)).item()
        deviation = posterior(self.process, t, s).step.sqrt().item()
        z = self.source.sample(state.x, self.key.fold("back", self._taken))
        x = state.x.with_values(ratio * state.x.values + deviation * z)
        return replace(state, x=x, index=state.index - 1, memory=None)
