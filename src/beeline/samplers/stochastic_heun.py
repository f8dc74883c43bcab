"""Heun's method for the SDE: second order in law, two evaluations a step, noise in every step.

    f  = v - 1/2 w score
    y  = x - h f(x, t) + sqrt(W) z
    x <- x - h (f(x, t) + f(y, t')) / 2 + sqrt(W) z,   h = t - t' > 0,   W = h (w(t) + w(t')) / 2

The same z in both lines, and the variance of the noise by the trapezium rule: with noise that does not depend on x
this is of weak order 2. Source: Kloeden & Platen 1992, "Numerical solution of stochastic differential equations",
chapter 15, for the SDE of diffusion.py. A step that leaves no noise draws none: it gives the data expected at its
start, at one evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.diffusion import Rate, drift
from beeline.samplers.solve import Walker, evaluate


@dataclass(frozen=True)
class StochasticHeun(Walker):
    """Solver of the SDE with the marginals of the path.

    Args:
        source: where the noise of each step comes from.
        rate: w, of the process and scalar times; at least 0.
    """

    source: Source
    rate: Rate

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        here = evaluate(state.x, t, predictor, conditions)
        process = here.process
        state = replace(state, index=state.index + 1, passes=state.passes + here.passes)
        if process.sigma(t_next) == 0:
            return replace(state, x=state.x.with_values(here.x0))
        step = (t_next - t).item()
        rates = [self.rate(process, each).item() for each in (t, t_next)]
        first = drift(here, rates[0], process.sigma(t).item())
        noisy = state.x.values
        if sum(rates) > 0:
            noisy = noisy + (-0.5 * step * sum(rates)) ** 0.5 * self.source.sample(state.x, key)
        there = evaluate(state.x.with_values(noisy + step * first), t_next, predictor, conditions)
        second = drift(there, rates[1], process.sigma(t_next).item())
        x = noisy + 0.5 * step * (first + second)
        return replace(state, x=state.x.with_values(x), passes=state.passes + there.passes)
