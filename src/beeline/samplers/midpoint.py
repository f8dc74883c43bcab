"""The midpoint method: second order, two evaluations a step.

    m  = x + (t' - t)/2 v(x, t)
    x <- x + (t' - t) v(m, (t + t')/2),  t' < t

Source: Hairer, Norsett & Wanner 1993, "Solving ordinary differential equations I", section II.1, equation 1.3. It never
evaluates at the end of a step, so a walk may end where the velocity is infinite.
"""

from __future__ import annotations

from dataclasses import replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.solve import Walker, evaluate


class Midpoint(Walker):
    """Second-order solver of the probability-flow ODE."""

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid; draws nothing."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        step = (t_next - t).item()
        here = evaluate(state.x, t, predictor, conditions)
        middle = state.x.with_values(state.x.values + 0.5 * step * here.velocity)
        half_way = evaluate(middle, 0.5 * (t + t_next), predictor, conditions)
        x = state.x.with_values(state.x.values + step * half_way.velocity)
        return replace(state, x=x, index=state.index + 1, passes=state.passes + here.passes + half_way.passes)
