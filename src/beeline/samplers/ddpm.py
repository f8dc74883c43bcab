"""Ancestral sampling: each step draws from the posterior, with the expected data in place of the data.

    x_s = data x0_hat + noisy x_t + sqrt(V) z              factors of q(x_s | x_t, x0), see process/posterior.py
    large      V = step                                     beta
    small      V = variance                                 beta-tilde
    learned    log V = (v + 1)/2 log step + (1 - v)/2 log variance,   v the network's second output, -1 to 1

Sources: Ho et al. 2020, algorithm 2 and section 3.2 (the two fixed choices); Nichol & Dhariwal 2021, equation 15.
A step that leaves no noise draws none: the last one gives x0_hat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.process.posterior import Posterior, posterior
from beeline.samplers.solve import Walker, clipped, evaluate


@dataclass(frozen=True)
class Ancestral(Walker):
    """The sampler of DDPM, on any Gaussian path.

    Args:
        source: where the noise of each step comes from.
        variance: large or small, for predictors that say nothing of the variance.
        clip: bound on the size of the expected data; None for none.
    """

    source: Source
    variance: str = "large"
    clip: float | None = None

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        here = evaluate(state.x, t, predictor, conditions)
        factors = posterior(here.process, t, t_next)
        x = factors.data.item() * clipped(here.x0, self.clip) + factors.noisy.item() * state.x.values
        if factors.variance > 0:
            x = x + self._deviation(factors, here) * self.source.sample(state.x, key)
        return replace(state, x=state.x.with_values(x), index=state.index + 1, passes=state.passes + here.passes)

    def _deviation(self, factors: Posterior, here: Prediction) -> Tensor | float:
        if here.variance is None:
            chosen = factors.step if self.variance == "large" else factors.variance
            return chosen.sqrt().item()
        share = 0.5 * (here.variance + 1.0)
        large, small = factors.step.log().item(), factors.variance.log().item()
        return torch.exp(0.5 * (share * large + (1.0 - share) * small))
