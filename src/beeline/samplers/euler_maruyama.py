"""The Euler-Maruyama method: first order in law, one evaluation a step, noise in every step.

    x <- x - h (v - 1/2 w score) + sqrt(w h) z,   h = t - t' > 0,   w = w(t)

Source: Kloeden & Platen 1992, "Numerical solution of stochastic differential equations", section 10.2, for the SDE of
diffusion.py. A step that leaves no noise draws none: it gives the data expected.
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
class EulerMaruyama(Walker):
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
        step, rate = (t_next - t).item(), self.rate(process, t).item()
        x = state.x.values + step * drift(here, rate, process.sigma(t).item())
        if rate > 0:
            x = x + (-step * rate) ** 0.5 * self.source.sample(state.x, key)
        return replace(state, x=state.x.with_values(x))
