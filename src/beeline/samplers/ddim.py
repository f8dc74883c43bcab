"""Denoising diffusion implicit models: from deterministic (eta 0) to the small variance of ancestral steps (eta 1).

    x_s = alpha_s x0_hat + sqrt(sigma_s^2 - d^2) e_hat + d z,   d = eta sqrt(variance of q(x_s | x_t, x0))

Source: Song et al. 2021, "Denoising diffusion implicit models", equations 12 and 16. Where x0_hat is clipped, e_hat
is read from x_t and the clipped x0_hat. At eta 0 it is Euler's method for d(x / alpha) / d(sigma / alpha) = e, so it
also walks up an ascending grid, from data to the noise that gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.process.posterior import posterior
from beeline.samplers.solve import Walker, clipped, evaluate


@dataclass(frozen=True)
class DDIM(Walker):
    """The implicit sampler, on any Gaussian path; what a network says of the variance is left aside.

    Args:
        source: where the noise of each step comes from.
        eta: share of the ancestral deviation, 0 to 1.
        clip: bound on the size of the expected data; None for none.
    """

    source: Source
    eta: float = 0.0
    clip: float | None = None

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step along the grid; draws nothing at eta 0 and where no noise is left."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        here = evaluate(state.x, t, predictor, conditions)
        process = here.process
        alpha, sigma = process.alpha(t_next).item(), process.sigma(t_next).item()
        x0, e = here.x0, here.e
        if self.clip is not None:
            x0 = clipped(x0, self.clip)
            e = (state.x.values - process.alpha(t).item() * x0) / process.sigma(t).item()
        deviation = self.eta * posterior(process, t, t_next).variance.sqrt().item() if self.eta else 0.0
        x = alpha * x0 + (sigma**2 - deviation**2) ** 0.5 * e
        if deviation:
            x = x + deviation * self.source.sample(state.x, key)
        return replace(state, x=state.x.with_values(x), index=state.index + 1, passes=state.passes + here.passes)
